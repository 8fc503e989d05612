"""Series: what samples add up to. Totals are scraped; windows answer questions.

All of it is a function of the records of a shard in their order, and of the rules: no clock of this machine, no hash
order, and no place where a batch was cut is in it. Sums of floating point numbers are made sample by sample for that
reason, and what depends on the time changes at ticks, which the records define.

Layers, lower ones know nothing of higher ones::

    limits      every bound
    times       what the time is in a shard
    totals      what a scrape shows
    cells       numbers by series: of totals, and of one slot
    names       which series there are
    budget      how many label sets an app may have
    pending     samples that wait for their pod to be certain
    table       one metric: its label sets, totals and windows
    arrival     samples as they come, metric by metric
    book        all metrics of a shard
    state       the same, written down
    part        what one shard answers to a question
    gather      series added up by what a question tells apart
    asking      windows looked up
    answer      parts of all shards, put together
    quantile    quantiles and rates of what is in a window
"""
