"""A chunk: consecutive bytes of one container log file, as the runtime wrote them, with a header.

The unit of the pipeline. The agent cuts chunks at line ends and parses no line; the logger parses many chunks at once.
"""

from enum import IntFlag
from typing import NewType

import msgspec

AppId = NewType("AppId", str)
SourceId = NewType("SourceId", bytes)
"""16 bytes: BLAKE2b of pod uid, container, restart number and the file's first complete line (see `source_id`)."""


class Origin(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where lines come from: constant for one run of one container under one set of labels.

    Attributes:
        node: Name of the node.
        namespace: Kubernetes namespace.
        pod: Pod name.
        uid: Pod uid.
        container: Container name.
        restart: Restart number, as the log file's name states it.
        app: The app that the lines belong to.
        process: Process type (`web`, `worker`), empty when unknown.
        release: Release (`v3`), empty when unknown.
    """

    node: str
    namespace: str
    pod: str
    uid: str
    container: str
    restart: int
    app: str
    process: str = ""
    release: str = ""


class Flag(IntFlag):
    """Facts of a chunk that its bytes do not show."""

    NONE = 0
    MID_LINE = 1
    """The data goes on inside the physical line that the chunk before left open."""
    FINAL = 2
    """The source ends here for good: a line left open is complete as it stands."""
    DECLARED_LOSS = 4
    """The bytes `[prev_end, start)` are lost, and the agent has counted them: the gap is no alarm."""


class Chunk(msgspec.Struct, frozen=True, gc=False):
    """Consecutive bytes of one source.

    Attributes:
        origin: Where the lines come from.
        source: The file's identity, 16 bytes.
        ordinal: Position of this file among the files of its container's run, from 0; grows at each rotation.
        start: Offset of the first byte in the file (of the decompressed content for a gzip file).
        end: Offset after the last byte in the file.
        prev_end: `end` of the chunk before it in this source, 0 for the first.
        data: The bytes; ends with a newline unless the physical line goes on in the next chunk or the source ends.
        flags: See `Flag`.
        line_offsets: Empty when `data` is exactly the file's bytes `[start, end)`. Otherwise (docker JSON turned into
            CRI at the edge, or lines changed or dropped by a rule) one little-endian uint32 for each line of `data`:
            where that line starts in the file, from `start`. Empty as well when all lines were dropped: no data.
    """

    origin: Origin
    source: bytes
    ordinal: int
    start: int
    end: int
    prev_end: int
    data: bytes
    flags: Flag = Flag.NONE
    line_offsets: bytes = b""


def cut_chunk(data: memoryview | bytes, *, limit_bytes: int) -> int:
    """Find where the next chunk ends: after the last full line within `limit_bytes`.

    Args:
        data: Bytes of one container file from the read offset on, in the runtime's format.
        limit_bytes: Upper bound of a chunk.

    Returns:
        Length in bytes. 0 when there is no full line yet; `limit_bytes` when a single line is longer than that, which
        the next chunk continues (`Flag.MID_LINE`).

    Source: CRI log format (Kubernetes, kubelet container logs): one line each, ended by a newline.
    """
    window = bytes(data[:limit_bytes])
    end = window.rfind(b"\n") + 1
    if end == 0 and len(window) >= limit_bytes:
        return limit_bytes
    return end
