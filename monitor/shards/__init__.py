"""Shards: records in; totals, answers and a state out; and which of them are ours.

Layers, lower ones know nothing of higher ones::

    shardstate, shard   one shard, and how it is written down
    states              states of shards in the store
    held, owning        which shards are ours, and which of them may be shown
    intake, writing     records into shards; shards into states
    lag, suspects       how far the queue has grown; nodes that are silent
"""
