"""From the queue to the head to the table: exact rows, committed once.

Layers, lower ones know nothing of higher ones::

    resume, accepted            what a restart needs to go on exactly there; new bytes of a record
    gaps, accept, inherit       what is missing; which bytes of a record are new; what other queues brought before
    parse                       the runtime's lines of a buffer, as arrays
    pending, join, assemble     lines out of pieces; order within a run; a batch of rows
    metrics, deadletters        what is counted; records that are no packs, kept aside (deadtopic: by Kafka)
    shard                       records of a partition to batches
    threads, ownership          which shards are ours: taken, dropped, fenced
    flush                       head to table, one commit
    elsewhere, lag              how far other loggers' shards are complete; how far behind ours are
    loop                        fetch, keep, commit
"""
