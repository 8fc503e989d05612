"""A pack: many chunks of one partition and one node, in one compressed queue record.

Wire format, version 1: the byte 0x01, then one zstd frame that holds a msgpack array (see `PackBody`). Header and data
of the chunks are kept apart, so that a reader parses all lines of a pack in one pass over one buffer, without a copy.
Fields are only ever added at the end, with a default: a reader that does not know them passes them over.
"""

import operator
import struct
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
import zstandard

from pipeline.chunk import Chunk, Flag, Origin
from pipeline.errors import FormatError
from pipeline.limits import NAME_BYTES, PACK_BYTES, PACK_DECODED_BYTES, PACK_RAW_BYTES
from pipeline.names import PACK_MAGIC
from pipeline.podstatement import NO_NEWS, PodNews, PodStatement, check_statements

HEADER_BYTES: Final = 64
"""What a header counts for against `PACK_RAW_BYTES`: source, five varints and the framing."""

SOURCE_BYTES: Final = 64
"""Longest name of a source that a decoder takes; today's have 16."""

_INT32_MAX: Final = 2**31 - 1
_INT64_MAX: Final = 2**63 - 1
_FLAGS: Final = 255  # room for flags that are not known here


class Header(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A chunk without its data; `length` bytes of the pack's data belong to it, in the order of the headers."""

    origin: int  # index into PackBody.origins
    source: bytes
    ordinal: int
    start: int
    end: int
    prev_end: int
    length: int
    flags: int
    line_offsets: bytes = b""


class PackBody(msgspec.Struct, frozen=True, array_like=True):
    """What the compressed frame holds.

    Attributes:
        node: The node whose agent made the pack.
        heartbeat_ns: 0, or a time T in nanoseconds since the epoch: every byte that containers of this node wrote
            before T and that belongs to this partition is in this record or in one before it.
        origins: The distinct origins of the chunks.
        headers: One for each chunk, in order.
        data: All chunks' data, one after the other.
        pods: See `PodNews.statements`.
        pods_complete: See `PodNews.complete`.
        pods_ns: See `PodNews.known_ns`.
    """

    node: str
    heartbeat_ns: int
    origins: list[Origin]
    headers: list[Header]
    data: bytes
    pods: tuple[PodStatement, ...] = ()
    pods_complete: bool = False
    pods_ns: int = 0


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(PackBody)


def encoded_size(chunk: Chunk) -> int:
    """Bytes that `chunk` counts for against `PACK_RAW_BYTES`."""
    return len(chunk.data) + len(chunk.line_offsets) + HEADER_BYTES


def pack_is_full(raw_bytes: int) -> bool:
    """Whether a pack of `raw_bytes` (sum of `encoded_size`) has no room for another full chunk."""
    return raw_bytes >= PACK_RAW_BYTES // 2


def encode_pack(
    chunks: Sequence[Chunk],
    *,
    node: str,
    heartbeat_ns: int = 0,
    news: PodNews = NO_NEWS,
    compressor: zstandard.ZstdCompressor,
) -> bytes:
    """Encode chunks of one partition as one queue record.

    Args:
        chunks: In the order in which they were read; may be empty when `heartbeat_ns` is set.
        node: The node whose agent made the pack.
        heartbeat_ns: See `PackBody`.
        news: What is said about the node's pods.
        compressor: Reused by the caller, since making one costs more than compressing a small pack.

    Raises:
        FormatError: The pack is larger than `PACK_BYTES`; the caller put too much into it.
    """
    origins: dict[Origin, int] = {}
    headers = [
        Header(
            origins.setdefault(chunk.origin, len(origins)),
            chunk.source,
            chunk.ordinal,
            chunk.start,
            chunk.end,
            chunk.prev_end,
            len(chunk.data),
            int(chunk.flags),
            chunk.line_offsets,
        )
        for chunk in chunks
    ]
    data = b"".join([chunk.data for chunk in chunks])
    body = PackBody(node, heartbeat_ns, list(origins), headers, data, news.statements, news.complete, news.known_ns)
    record = PACK_MAGIC + compressor.compress(_encoder.encode(body))
    if len(record) > PACK_BYTES:
        raise FormatError(f"a pack of {len(record)} bytes is over the limit of {PACK_BYTES}")
    return record


def decode_pack(record: bytes, *, decompressor: zstandard.ZstdDecompressor) -> PackBody:
    """Decode one queue record.

    Raises:
        FormatError: Not a pack of a known version, over `PACK_DECODED_BYTES`, or its parts contradict each other.
    """
    if record[:1] != PACK_MAGIC:
        raise FormatError(f"not a pack: first byte {record[:1]!r}")
    try:
        frame = memoryview(record)[1:]
        if zstandard.get_frame_parameters(frame).content_size > PACK_DECODED_BYTES:
            raise FormatError("a pack claims more than the decoded limit")
        body = _decoder.decode(decompressor.decompress(frame, max_output_size=PACK_DECODED_BYTES))
    except (zstandard.ZstdError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise FormatError(f"not a pack: {error}") from error
    _validate(body)
    return body


def _validate(body: PackBody) -> None:
    if not 0 <= body.heartbeat_ns <= _INT64_MAX or len(body.node) > NAME_BYTES:
        raise FormatError("a heartbeat or a node's name is out of range")
    if not 0 <= body.pods_ns <= _INT64_MAX or ((body.pods or body.pods_complete) and not body.pods_ns):
        raise FormatError("what is said of pods has no time")
    check_statements(body.pods)
    for origin in body.origins:
        _validate_origin(origin)
    total = 0
    for header in body.headers:
        _validate_header(header, origins=len(body.origins))
        if header.line_offsets:
            _validate_line_offsets(header, body.data, total)
        total += header.length
    if total != len(body.data):
        raise FormatError(f"headers state {total} bytes of data, the pack has {len(body.data)}")


def _validate_origin(origin: Origin) -> None:
    names = (origin.node, origin.namespace, origin.pod, origin.uid, origin.container, origin.app, origin.process)
    if max(map(len, names)) > NAME_BYTES or len(origin.release) > NAME_BYTES or not 0 <= origin.restart <= _INT32_MAX:
        raise FormatError("a name or restart number of an origin is out of range")


def _validate_header(header: Header, *, origins: int) -> None:
    if not 0 <= header.origin < origins:
        raise FormatError(f"header names origin {header.origin} of {origins}")
    if header.length < 0 or not 0 <= header.prev_end <= header.start <= header.end <= _INT64_MAX:
        raise FormatError(f"header out of order: {header.prev_end}, {header.start}, {header.end}")
    # No data at all is a chunk whose lines were all dropped by a rule: its range is told, so that nothing is missing.
    if not header.line_offsets and header.length not in (0, header.end - header.start):
        raise FormatError(f"header of {header.length} bytes spans {header.end - header.start}")
    if not 0 <= header.ordinal <= _INT32_MAX or not 0 <= header.flags <= _FLAGS or len(header.source) > SOURCE_BYTES:
        raise FormatError(f"ordinal {header.ordinal}, flags {header.flags} or the source's name is out of range")


def _validate_line_offsets(header: Header, data: bytes, start: int) -> None:
    """One for each line, ascending, inside the chunk's bytes: readers index by them."""
    stop = start + header.length
    lines = data.count(b"\n", start, stop) + (header.length > 0 and data[stop - 1 : stop] != b"\n")
    if len(header.line_offsets) != 4 * lines:
        raise FormatError(f"{len(header.line_offsets)} bytes of line offsets for {lines} lines")
    offsets = struct.unpack(f"<{lines}I", header.line_offsets)
    if any(map(operator.ge, offsets, offsets[1:])) or offsets[-1] >= header.end - header.start:
        raise FormatError("line offsets do not ascend within their chunk")


def chunks_of(body: PackBody) -> Iterable[Chunk]:
    """The pack's chunks, one by one: for tests and rules on single chunks. The logger parses the body as a whole."""
    position = 0
    for header in body.headers:
        data = body.data[position : position + header.length]
        position += header.length
        yield Chunk(
            body.origins[header.origin],
            header.source,
            header.ordinal,
            header.start,
            header.end,
            header.prev_end,
            data,
            Flag(header.flags),
            header.line_offsets,
        )
