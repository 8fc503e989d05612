"""Containers without a cluster: log files exactly as containerd and kubelet make them, and what tries them out.

Layers, lower ones know nothing of higher ones::

    containers     one container's log files: pieces, rotation, gzip, copytruncate, restart
    corpus         seeded generators of realistic lines; a corpus of a given size on disk
    canaries       which of their releases are on trial
    apps           the apps of the demo: who writes what
    numbered       writers of numbered lines, and the check that each arrived once and in order
    stack          the services as processes of their own, for benchmarks, fault tests and tries by hand
    fetched        package clients, tried again
    server         a server program that is not ours, as such a process
    kafka          real Kafka brokers
    gateway        a real S3 gateway
    certificates   an authority and what it signs
    controlplane   a real Kubernetes control plane
    kubelet        stands in for the kubelets of its nodes
    cluster        brokers, gateway, agents and loggers, all on one machine
    follower       a reader that reconnects by its cursor
    __main__       `python -m demo FOLDER`: the apps, writing at a gentle rate
"""
