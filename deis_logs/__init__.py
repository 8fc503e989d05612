"""`deis-logs`, the command that people type: read the logs of an app from the logger's `/v1` interface.

Layers, lower ones know nothing of higher ones::

    __main__                              the process
    cli                                   the command line; loads what follows only when a command needs it
    commands | options                    what a command does; what its options mean
    export, follow, progress, table       an export that resumes; a stream that survives its connection; rich's parts
    history, destination, process         bounded reads; where an export writes; how the process ends
    client, record, highlight             HTTP, and its errors as words; `FILE.resume`; matches marked
    render, output, profile               lines to bytes; bytes to stdout; which logger, which token, which app
    lines, query, safe, times, backoff    what comes, what is asked for; visible escapes; moments; pauses
    errors                                the error tree, each with its exit status
"""
