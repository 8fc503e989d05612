"""The decider: counts in, a verdict out, no clock and no I/O.

Layers, lower ones know nothing of higher ones::

    verdict      all metrics and signals to one verdict (`decide`)
    words        the verdict in a sentence
    metric       one metric of one analysis
    interval     which ratios of the arms are excluded
    evidence     minutes multiplied, alternatives and onsets averaged
    likelihood   one minute: how much likelier under "worse"
    atonce       total outage, crash loops

All arithmetic takes any number of analyses along leading axes, so that trials of thousands of them run the very code
that decides. `docs/canary-decider.md` says what is promised, and what was measured.
"""

from monitor.canary.decide.verdict import decide

__all__ = ["decide"]
