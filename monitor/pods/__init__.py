"""Pods and nodes: who was at an address when, what rules apps have, and which nodes are gone.

Layers, lower ones know nothing of higher ones::

    stays, ownrules   how long a pod was at an address; what rules the pods of an app state
    attribution       both, learned from what agents state in the records
    nodes             which silent nodes the API server does not know any more
"""
