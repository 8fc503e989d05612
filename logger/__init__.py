"""The logger: takes records from the queue, keeps the newest rows in memory, commits them to the table, answers.

Layers, lower ones know nothing of higher ones::

    rows, settings              the columns of a row and how rows wait in memory; what an operator can set
    resume, accepted, accept    what a restart needs to go on exactly there; which bytes of a record are new
    parse                       the runtime's lines of a buffer, as arrays
    pending, join, assemble     lines out of pieces; order within a run; a batch of rows
    head                        the newest rows, watermarks, the budget of bytes
    columns, parts              rows as Arrow tables; what a commit adds, sorted, built as it is written
    shard, deadletters          records of a partition to batches; what is none is kept aside (deadtopic: by Kafka)
    ownership, flush, ingest    which shards are ours; head to table; the loop: fetch, keep, commit
    elsewhere, lag              how far other loggers' shards are complete; how far behind ours are
    table, tombstones, upkeep   the Delta table: commits, pinned snapshots, deletion, merging, retention
    query, follow, api          questions about lines, over table and head; new lines as they come; HTTP
    aggregator                  everything put together and served
"""
