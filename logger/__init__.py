"""The logger: takes records from the queue, keeps the newest rows in memory, commits them to the table, answers.

Layers, lower ones know nothing of higher ones (enforced by import-linter)::

    rows, settings     the columns of a row and how rows wait in memory; what an operator can set
    head               the newest rows, watermarks, the budget of bytes
    columns, parts     rows as Arrow tables; what a commit adds, as sorted rows for each day
    table              the Delta table: commits, pinned snapshots, deletion, merging, retention
    ingest | reading   from the queue to head and table; questions about lines, and new lines as they come
    api                HTTP: the contract of deis/logger, /v1, other loggers
    aggregator         everything put together and served
    commands           what an operator does by hand
"""
