"""The runs of all containers: read in the order of writing, by turns, and remembered on disk.

Layers; a lower one knows nothing of a higher one::

    checkpoint   how far the queue has the bytes, on disk
    run          the files of one run of one container, in the order of writing
    tree         all runs: what discovery found, which of them are hot, up to when everything is read
    keeper       when the checkpoint is written
    turns        which run is read next
    restate      what an old queue was sent, told to a new one
    reader       discovers, looks at what is due, hands chunks to the lanes
"""
