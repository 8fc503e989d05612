"""Questions about lines, over table and head, here and at other loggers; and new lines as they come.

Layers, lower ones know nothing of higher ones::

    filter, search, lines        which rows are wanted; text and expressions; a row as it is answered
    cursor                       where a reader goes on
    pieces, headpiece, merge     rows of one app in one place, in reading order; many of them as one
    scan, page, context          the rows that match; a bounded answer; lines around a match
    peers...                     other loggers: who owns what, their heads, their arrivals
    gate, pinned, summary        how many at once; one version of everything; all apps
    query                        pages of history
    arrival, hub                 rows in the order of coming; one pass for all followers
    backlog, follow              what a follow begins with; one follower
"""
