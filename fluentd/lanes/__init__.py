"""From chunks to the queue: one lane for each partition, one byte budget for everything in flight.

Layers; a lower one knows nothing of a higher one::

    statements   what a pack says of the node's pods, beside its chunks
    sender       packs, and lanes that send them in order until the queue has them
    heartbeat    up to when everything is sent, told to every partition
"""
