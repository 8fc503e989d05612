"""How bytes of a run become chunks: as they are, cut where the app changes, or by rules.

Layers; a lower one knows nothing of a higher one::

    surroundings   what all runs share
    outgoing       a chunk made of bytes of a source
    appcut         chunks of the Deis controller's log, cut where the app changes
    ruling         rules at work on one run: what is sent, what waits
    sending        which of these it is for a run
"""
