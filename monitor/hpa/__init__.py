"""The metrics APIs of Kubernetes, which the HorizontalPodAutoscaler reads: custom and external metrics.

Layers, lower ones know nothing of higher ones::

    settings            where it listens, and with what
    quantity, selector  the API's numbers and label selectors (pure)
    paths, shapes       what a path asks for; the objects that answer (pure)
    naming              whose app and process an object is (pure)
    refusal, cached     what is answered in place of a value; a bounded memory of answers that age
    cluster             what is asked of the API server: reviews, pods, objects
    fronted, tls        whose certificates count, and our own, read again when they change
    callers, rights     who asks, and whether he may
    catalog, source     which metrics there are; values of the series that a namespace may see
    custom, external    answers made of values
    fallback            another adapter, for what is not known here
    api                 a request from its first check to its answer
    server              the tasks: listen, and keep certificates and authorities fresh

Nothing is ever 0 for want of data: see `monitor.values`.
"""
