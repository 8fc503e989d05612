"""Rows: the columns of a stored line.

A stored line is named by (source, offset, continuation). Two orders matter:

* reading order within an app: (order_ns, ordinal, source, offset, continuation). `order_ns` is the running maximum of
  the times of one container's run, so that a container's lines keep their byte order whatever its clock does;
* arrival order within a shard: (queue_offset, ordinal, source, offset, continuation). Follows and tombstones use it.
"""

import pyarrow as pa

_TEXT = pa.dictionary(pa.int32(), pa.string())

SCHEMA = pa.schema(
    [
        pa.field("app", _TEXT, nullable=False),
        pa.field("time_ns", pa.int64(), nullable=False),
        pa.field("order_ns", pa.int64(), nullable=False),
        pa.field("time", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("process", _TEXT, nullable=False),
        pa.field("release", _TEXT, nullable=False),
        pa.field("pod", _TEXT, nullable=False),
        pa.field("container", _TEXT, nullable=False),
        pa.field("node", _TEXT, nullable=False),
        pa.field("stream", _TEXT, nullable=False),
        pa.field("message", pa.string(), nullable=False),
        pa.field("raw", pa.binary(), nullable=True),
        pa.field("source", pa.dictionary(pa.int32(), pa.binary()), nullable=False),
        pa.field("ordinal", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("continuation", pa.int32(), nullable=False),
        pa.field("shard", pa.int32(), nullable=False),
        pa.field("queue_offset", pa.int64(), nullable=False),
    ]
)
"""A row of the table, less the partition column `date` (the day of arrival, which is part of the path).

`message` is the line as text, without its newline; bytes that are not UTF-8 are replaced there by U+FFFD, and `raw`
then holds the line as it was, and is null otherwise. `continuation` is 0 for the first row of a line and counts the
rows of a line over `pipeline.limits.LINE_BYTES`; `offset` is that of the line's first byte in its source for all of
them. Every row but the last of a line ends in the middle of it: whoever puts lines together joins consecutive rows of
one (source, offset). `time` is `time_ns` in microseconds, for people and SQL.
"""

READING_ORDER = ("order_ns", "ordinal", "source", "offset", "continuation")
ARRIVAL_ORDER = ("queue_offset", "ordinal", "source", "offset", "continuation")
