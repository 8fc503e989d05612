"""The queue in one SQLite file, for the services of one machine: many producers, consumers and processes.

::

    send --> Writer (one thread: group commit, then retention) --> queue.db (WAL) --> fetch (short reads in a thread)
                                            `-- rings the bell: the file's own time -->   wakes a waiting fetch

URL: `sqlite:///relative/path.db` or `sqlite:////absolute/path.db`, with these options as query parameters
(see `options.SqliteOptions`): `partitions`, `max_bytes`, `max_age_seconds`, `keep_seconds`, `groups`.

Never put the file on NFS or another network file system: WAL needs memory that all who
have it open share, and locks that work.

Modules, lower ones know nothing of higher ones::

    options              what the URL says
    database             connection, schema, translation of errors
    room                 how much of the disk the queue leaves free
    append, retention    one transaction each: records in, records out (and counted when nobody had read them)
    bell                 wakes a waiting consumer
    writer               the thread that owns the writing connection
    producer, consumer   the two interfaces of `pipeline.queue`
    lag                  what /metrics shows of all this
    groups               consumer groups, listed and forgotten by hand
"""

from pipeline.queue.sqlite.consumer import SqliteConsumer
from pipeline.queue.sqlite.lag import QueueCollector
from pipeline.queue.sqlite.options import SqliteOptions, parse_url
from pipeline.queue.sqlite.producer import SqliteProducer

__all__ = ["QueueCollector", "SqliteConsumer", "SqliteOptions", "SqliteProducer", "parse_url"]
