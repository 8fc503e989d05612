"""What the API server says of the pods of this node: whose lines they write, and whether and how they are read.

Layers, lower ones know nothing of higher ones::

    facts      what is read of a pod, as it comes over the wire
    naming     app, process and release of a pod, from its labels and its owner
    stating    which addresses it has since when, for `fluentd.lanes.statements`
    api        lists and watches pods
    pods       what is known; answers the agent's questions, without waiting
    kept       the same, on disk for the next start
    feed       keeps what is known up to date: list, watch, again, with patience

The connection is that of `pipeline.apiserver`.
"""
