"""Rules: from batches of lines to samples of metrics.

Whole batches, not line by line: rows are chosen by who wrote them, laid side by side, and split by where their quotes
and spaces are; the few lines where that does not tell everything are read one by one.

Layers, lower ones know nothing of higher ones::

    builtin             the metrics that are made without anybody's rule
    codes, yamltext     distinct values, and which of them each row has; YAML that somebody wrote
    rows                some rows of a batch side by side
    numbers, columns    numbers that stand in lines; label sets of many rows
    units, traces       units of values; trace ids
    places              whose lines a rule reads
    traffic, access     lines and bytes; access lines of any format as columns, and their samples
    levels, objects     levels of lines; lines that are JSON
    misses, readers     what rules could not read; fields of lines: patterns, JSON, logfmt
    requests, spec      access lines to columns: the usual ones at once, the others one by one; what people write
    nginx               what nginx writes of tries
    router, ingress, traefik, envoy, applines    formats of access lines
    sources, linerule   which pods are routers; a rule that somebody wrote, compiled
    rulesfile           the operator's file
    own                 rules that an app's pods state
    ruleset             all rules
"""
