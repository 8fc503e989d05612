"""The agent: finds container log files on a node and sends their bytes to the queue, untouched, none lost, none twice.

Layers, in the order in which bytes pass; a lower one knows nothing of a higher one::

    discovery      names of files and directories -> which files there are, oldest first (lists, opens nothing)
    content        an open file, plain or gzip: bytes at an offset
    source         the identity of a file (its beginning), and how far it was read and acknowledged
    tail           one look at one file: the next chunk's bytes, its end, or "this is another file now"
    openfile       a file of a run while it is held open
    identity       which source an open file is: new, known, or a copy
    held           the files of one run that are held open, in order
    outgoing       a chunk made of bytes of a source
    controller     whose line of the Deis controller's log it is
    appcut         chunks of that log, cut where the app changes
    rules          on whole chunks: hide secrets, drop, sample and limit lines (a package of its own)
    ruling         rules at work on one run: what is sent, what waits
    sending        how bytes of a run become chunks: as they are, cut by apps, or by rules
    surroundings   what all runs share
    run            the files of one run of one container, in the order of writing
    tree           all runs: what discovery found, which of them are hot, up to when everything is read
    watch          inotify: which directories changed
    statements     what is said of the node's pods, to each partition
    sender         packs, one lane for each partition, one byte budget for everything in flight
    checkpoint     how far the queue has the bytes, on disk
    keeper         when the checkpoint is written
    heartbeat      up to when everything is sent, told to every partition
    restate        what an old queue was sent, told to a new one
    turns          which run is read next
    reader         discovers, looks at what is due, hands chunks to the lanes
    memory         what a burst left behind, given back
    inputs         what network inputs share: virtual sources, acknowledgement
    syslog         syslog over TCP, TLS and UDP
    forward        the Fluent Forward protocol
    network        the inputs that the settings ask for
    agent          the tasks, and what they share
    audit          beside all this: a service of its own that writes lines and reads them back, see `fluentd.audit`
    pods, dockerjson   whose log a file is; docker's format turned into the runtime interface's
    podrules, selection, gate   what a pod's annotations ask for; which pods are collected; which containers are read
    kubernetes     what the API server says of all that (a package of its own)
    metadata       names, a file of labels or the API server, as the settings say
"""
