"""The agent: finds container log files on a node and sends their bytes to the queue, untouched, none lost, none twice.

Packages, in the order in which bytes pass; a lower one knows nothing of a higher one::

    pods         whose log a file is: what names, labels and annotations say     <- kubernetes, what the API server says
    files        which files there are, which each one is, one look at one of them
    controller   whose line of the Deis controller's log it is
    rules        on whole chunks: hide secrets, drop, sample and limit lines
    chunks       how bytes of a run become chunks: as they are, cut by apps, or by rules
    lanes        packs, one lane for each partition; heartbeats
    runs         the runs of all containers, by turns; the checkpoint; the reader
    inputs       what network inputs share: virtual sources, acknowledgement
    syslog       syslog over TCP, TLS and UDP
    forward      the Fluent Forward protocol
    network      the inputs that the settings ask for
    agent        the tasks, and what they share                                  <- memory, metrics, settings
    audit        beside all this: a service of its own that writes lines and reads them back

What a source remembers (`files.source`) includes what `controller` and `rules` know of the bytes before.
"""
