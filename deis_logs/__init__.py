"""`deis-logs`, the command that people type: read the logs of an app from the logger's `/v1` interface.

Layers, lower ones know nothing of higher ones::

    errors                     the error tree, each with its exit status
    safe, times, lines         visible escapes; moments that people type; what the logger sends
    query, profile             what is asked for; which logger, which token, which app
    highlight, render, output  matches marked; lines to bytes in four formats; bytes to stdout
    client                     HTTP, and its errors as words
    follow, history, export    a stream that survives its connection; bounded reads; an export that resumes
    options, cli, __main__     the command line

Nothing below `cli` decides by the environment; `cli` loads aiohttp and rich only when a command needs them.
"""
