"""The Fluent Forward protocol, version 1: lines from Fluentd, Fluent Bit and logger libraries, and copies to a Fluentd.

Layers; a lower one knows nothing of a higher one::

    settings      what can be set
    errors        why a frame or a client is refused
    walk          msgpack from value to value, without building it
    framing       bytes of a connection -> frames, by a scan that builds nothing
    inflate       gzip, as far as a limit
    frame         a frame -> tag, entries, options
    record        an entry -> time and message
    naming        tag and record -> app and process
    batch         entries of a frame -> lines by app, in portions
    gathered      what the frames of one read become
    access        shared keys, users, and the apps that they may write
    doubles       frames that came before
    metrics       what is counted
    connection    one client: frames in, acknowledgements out
    server        listens: TCP, TLS, and the UDP heartbeat
    whole         lines of chunks, their pieces joined
    copies        lines -> an existing Fluentd

`docs/forward.md` tells operators what of it they see.
Source: fluent/fluentd wiki, Forward Protocol Specification v1.
"""
