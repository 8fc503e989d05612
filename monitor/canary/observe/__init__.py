"""Observe: what both arms did in the same complete minutes.

Layers, lower ones know nothing of higher ones::

    rows         a minute as it is kept (pure)
    asking       which questions a minute is, and what the answers count (pure)
    promql       the same from Prometheus
    history      the noise between pods of one release (pure), and where it is kept
    freezing     by what an analysis judges, found out before it begins
    journal      the minutes of an analysis, kept in the store: each is written once
    historian    keeps histories
    verifying    before against after, when a dependency has changed
    observer     asks, keeps, and lays out what the decider takes
"""
