"""Series: what samples add up to. Totals are scraped; windows answer questions.

All of it is a function of the records of a shard in their order, and of the rules: no clock of this machine, no hash
order, and no place where a batch was cut is in it. Sums of floating point numbers are made sample by sample for that
reason, and what depends on the time changes at ticks, which the records define.

Layers, lower ones know nothing of higher ones::

    limits       every bound
    cells        numbers by series: of totals, and of one slot
    budget       how many label sets an app may have
    table        one metric: its label sets, totals and windows
    pending      samples that wait for their pod to be certain
    book         all metrics of a shard
    state        the same, written down
    totals       what a scrape shows
    part         what one shard knows of a question
    answer       parts of all shards, put together
    quantile     quantiles and rates of an amount
"""
