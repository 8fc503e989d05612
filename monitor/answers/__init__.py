"""What is asked, over all shards, wherever they are owned.

Layers, lower ones know nothing of higher ones::

    peerswire   what monitors send each other
    answering   what this one answers of its shards
    peers       questions over all shards (`Reader`)
    api         HTTP, and who may ask
    overview    what there is of an app, for people
"""
