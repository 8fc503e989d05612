"""The Delta table: commits, pinned snapshots, deletion, merging, retention.

Objects lie in a `pipeline.store`. Layers, lower ones know nothing of higher ones::

    snapshot, damage             what the table has at one version; what stands in for a file that cannot be read
    datafile, readfile           rows to a Parquet file and back, with an index of its apps
    state, deltalog, actions     resume states; the log's entries, read and made
    catalog, catalogfile, view   what footers say, kept for a day of files; states of the log to snapshots
    commit                       one version more, on one that was looked at
    writer, reader               the one handle for ingest, with the fence; handles for readers
    tombstones, retention        what is deleted; how long lines are kept
    plan, rewrite, vacuum        what upkeep does next, and does; what nobody names any more
    upkeep                       the task that does it
"""
