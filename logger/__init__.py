"""The logger: takes records from the queue, keeps the newest rows in memory, commits them to the table, answers reads.

Layers, lower ones know nothing of higher ones::

    rows, settings       the columns of a row and how rows wait in memory; what an operator can set
    accept, parse        which bytes are new; the runtime's lines in a buffer, as arrays
    assemble, resume     lines out of pieces, order within a run; what a restart needs to go on exactly there
    head, columns        the newest rows, watermarks, the bytes budget; rows as sorted Arrow tables
    ingest               the loop: fetch, parse, keep, commit
    aggregator           everything put together and served
"""
