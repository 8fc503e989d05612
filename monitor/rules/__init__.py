"""Rules: from batches of lines to samples of metrics.

Whole batches, not line by line: rows are chosen by who wrote them, and what the rules read of them are arrays.

Layers, lower ones know nothing of higher ones::

    builtin      the metrics that are made without anybody's rule
    codes        distinct values, and which of them each row has
    rows         some rows of a batch side by side
    traffic      lines and bytes
    own          rules that an app's pods state
    ruleset      all rules
"""
