"""Measurements of the real services on a seeded corpus: `python -m bench [NAME ...] [--cluster] [--mb 1024]`.

::

    figures      one measurement as one JSON object, with its target
    material     the corpus and the queues that the measurements start from
    agent        files to queue: CPU, memory
    ingest       queue to committed table: CPU, size on disk
    reading      last lines, search
    latency      append to follower, CPU of the idle pipeline
    quiet        quiet pods' lines to their followers beside a pod at full speed   <- loud, a process that writes
    load         containers that write while something is measured
    cluster      files to brokers to a bucket by one to four loggers; catching up
    commits      commits in a second, and after 20,000 of them   <- committer, a process that commits
    queue        the client of a Kafka queue alone               <- queueclient, a process that sends or fetches
    peers        our agent and vlagent on a node: CPU, memory   <- node, sink, vlagent
    arrival      new and silent containers' lines to a follower, on such a node
    metrics      rules on lines, memory of series: `python -m bench.metrics`   <- mtail, the program compared with
    __main__     the command line

What is measured is always a service in a process of its own, and its CPU time is what the kernel says of that process
(`wait4`). MB are 10^6 bytes of container log files as the runtime writes them.
"""
