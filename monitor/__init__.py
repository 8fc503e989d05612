"""The monitor: reads the queue as a consumer group of its own, makes metrics of lines, and says what they are.

Layers, lower ones know nothing of higher ones::

    monitor           all of it, put together
    hpa, canary       who decides: autoscalers, canaries
    scraping          shards as metrics
    answers           questions over all shards, of people and other monitors, over HTTP
    shards            records in; totals, answers and states out; which of them are ours
    pods              who was at an address when; nodes that are gone
    series            samples to totals and windows
    rules             lines to samples
    values, meaning   windows as the values that people decide by
    reading, metric   questions about windows; what rules give and series keep
"""
