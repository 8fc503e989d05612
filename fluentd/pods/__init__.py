"""Whose log a file is, and what is asked for about it: by names, by a file of labels, or by the API server.

Layers; a lower one knows nothing of a higher one::

    podrules    what a pod's annotations ask for
    names       app, process and release of a pod, from what its path says or from a file of labels
    selection   which pods are collected
    gate        which containers are read, and which wait
    metadata    names, a file of labels or `fluentd.kubernetes`, as the settings say
"""
