"""What is scraped.

Layers, lower ones know nothing of higher ones::

    shown        what a shard says of itself
    exposition   metrics of lines as Prometheus takes them
    scrape       `/metrics`
"""
