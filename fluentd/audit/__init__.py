"""The self-audit: writes stamped lines to its own stdout, reads them back, and says what became of them.

Layers, in the order in which a line passes; a lower one knows nothing of a higher one::

    settings     read once from the environment
    stamp        a line: who wrote it, which one it is, when, and that nothing of it was changed (pure)
    judge        what was written against what came back on one way (pure)
    answers      the same for a way that asks again and again for what it has seen before (pure)
    metrics      the figures
    client       the logger over HTTP
    ways         writing; reading by following; reading by asking
    audit        the tasks
"""
