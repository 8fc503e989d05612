"""Measurements of the real services on a seeded corpus: `python -m bench [NAME ...] [--mb 1024]`.

::

    figures      one measurement as one JSON object, with its target
    material     the corpus and the queues that the measurements start from
    agent        files to queue: CPU, memory
    ingest       queue to committed table: CPU, size on disk
    reading      last lines, search
    latency      append to follower, CPU of the idle pipeline
    __main__     the command line

What is measured is always a service in a process of its own, and its CPU time is what the kernel says of that process
(`wait4`). MB are 10^6 bytes of container log files as the runtime writes them.
"""
