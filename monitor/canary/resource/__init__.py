"""The `Canary` resource as it comes from the API server and goes back to it.

Layers, lower ones know nothing of higher ones::

    names        group, kind, labels and annotations
    duration     `1h30m` to seconds
    spec         what a person asks for, with defaults
    status       what is so, as the controller writes it: phase, intent, evidence
    conditions   the same in Kubernetes' words
    canary       the whole object, read from JSON
"""
