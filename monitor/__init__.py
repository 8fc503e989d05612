"""The monitor: reads the queue as a consumer group of its own, makes metrics of lines, and says what they are.

Layers, lower ones know nothing of higher ones::

    metric, reading            what rules give and series keep; questions about windows of it
    attribution (stays, ownrules)  who was at an address when, and what rules apps have
    rules                      lines to samples
    series                     samples to totals and windows
    shard (shardstate)         one shard: records in; totals, answers and a state out
    states                     states of shards in the store
    held, owning               which shards are ours, and which of them may be shown
    intake, writing, lag       records into shards; shards into states; how far the queue has grown
    shown, exposition, scrape  shards as metrics
    peerswire, answering       what other monitors ask, and what is answered
    peers                      questions over all shards
    nodes, suspects            nodes that are gone
    meaning, values            windows as the values that people decide by
    hpa, canary                who decides: autoscalers, canaries
    api, overview              HTTP
    monitor                    all of it, put together
"""
