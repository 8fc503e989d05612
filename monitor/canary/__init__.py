"""Canaries: a release beside the one before it, judged by what both do at the same time.

Layers, lower ones know nothing of higher ones::

    decide       counts to a verdict (pure)
    noise        over-dispersion from history (pure)
    arms         counts as arrays over minutes
    counts       what is judged, the policy, the verdict (the contract)
"""
