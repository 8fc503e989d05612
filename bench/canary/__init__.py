"""Trials of the canary decider: `python -m bench.canary [CELL ...] [--runs 2000] [--seed 1]`.

::

    streams      counts of simulated analyses and of their A/A history, by a model of noise
    rules        who decides: ours, and the rules of Flagger and Kayenta as they are described
    cells        what is tried, by name, with its targets
    trial        runs of one cell, all at once
    silence      good canaries whose data is missing, by the whole decider
    table        results beside targets
    __main__     the command line

Our decider is the very code that decides in the monitor, run on arrays of analyses. It is never told the noise: each
run has its own history of twelve hours, from which it estimates the over-dispersion as the monitor does.
"""
