"""What the API server says of the pods of this node: whose lines they write, and whether and how they are read.

Layers, lower ones know nothing of higher ones::

    facts      a pod's metadata, as it comes over the wire
    naming     app, process and release of a pod, from its labels and its owner
    api        lists and watches pods; the API server's errors turned into ours
    pods       what is known; answers the agent's questions, without waiting
    kept       the same, on disk for the next start
    feed       keeps what is known up to date: list, watch, again, with patience

The connection is `kubernetes.aio`'s `ApiClient`; its typed classes load every model there is (130 MB) and stay out.
"""
