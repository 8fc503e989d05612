"""Container log files on a node: which there are, which each one is, and what one look at one of them finds.

Layers; a lower one knows nothing of a higher one::

    discovery   names of files and directories -> which files there are, oldest first (lists, opens nothing)
    watch       inotify: which directories changed
    content     an open file, plain or gzip: bytes at an offset
    dockerjson  docker's format turned into the runtime interface's
    source      the identity of a file (its beginning), and how far it was read and acknowledged
    openfile    a file of a run while it is held open
    identity    which source an open file is: new, known, or a copy
    held        the files of one run that are held open, in order
    tail        one look at one file: the next chunk's bytes, its end, or "this is another file now"
"""
