"""From the queue to the head to the table: exact rows, committed once.

What is new of a record and the lines of it are found by `pipeline.lines`. Layers, lower ones know nothing of higher
ones::

    inherit                     what other queues brought before
    metrics, deadletters        what is counted; records that are no packs, kept aside (deadtopic: by Kafka)
    shard                       records of a partition to batches
    ownership                   which shards are ours: taken, dropped, fenced
    flush                       head to table, one commit
    elsewhere, lag              how far other loggers' shards are complete; how far behind ours are
    loop                        fetch, keep, commit
"""
