"""The monitor: reads the queue as a consumer group of its own and says on /metrics what passes through.

Layers, lower ones know nothing of higher ones::

    settings     read once from the environment
    tally        what was seen: bytes, lines, watermarks (pure)
    exposition   the tally as metrics, at scrape
    monitor      the consumer and the listener
"""
