"""Canaries: a release beside the one before it, judged by what both do at the same time.

Layers, lower ones know nothing of higher ones::

    counts       what is judged, the policy, the verdict (the contract)
"""
