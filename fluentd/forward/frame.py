"""A frame: tag, entries, options, in any of the four modes of the protocol.

Message `[tag, time, record, option?]`, Forward `[tag, [[time, record], ...], option?]`, PackedForward `[tag, bin,
option?]`, and that with `compressed: gzip`. Libraries write a packed stream as `str`, too, and `nil` for no option.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

import msgspec
from msgpack.exceptions import FormatError, OutOfData, StackError

from fluentd.forward.errors import RefusedError
from fluentd.forward.framing import READ_BYTES, new_scanner
from fluentd.forward.inflate import inflate
from pipeline.limits import KIB

_SHORTEST: Final = 2
_LONGEST: Final = 4
_TAG_BYTES: Final = 1 * KIB
_OPTION_BYTES: Final = 4 * KIB
"""`chunk`, `size`, `compressed`, `fluent_signal`: a hundred bytes."""

_PAIR: Final = b"\x92"
_PAIRS: Final = (_PAIR, b"\xdc\x00\x02", b"\xdd\x00\x00\x00\x02")
_PAIR_BYTES: Final = 5
"""An array of two, in the three forms of its header."""

_NIL: Final = 0xC0
_LENGTH_BYTES: Final = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
"""Of str and bin, by their first byte."""

_raws = msgspec.msgpack.Decoder(list[msgspec.Raw])
_any = msgspec.msgpack.Decoder()


class Mode(StrEnum):
    """How a frame carries its entries; a metric's label."""

    MESSAGE = "message"
    FORWARD = "forward"
    PACKED = "packed"
    COMPRESSED = "compressed"


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame, its entries not yet decoded.

    Attributes:
        tag: At most 1 KiB; bytes that are no UTF-8 as surrogates.
        mode: See `Mode`.
        body: What holds the entries; compressed as it came.
        chunk: The client's name of it, to be sent back when the queue has it; `None` when no answer is asked for.
    """

    tag: str
    mode: Mode
    body: memoryview
    chunk: str | bytes | None


def parse_frame(data: bytes | bytearray) -> Frame | None:
    """Parse one frame, complete msgpack; `None` for `nil`, which a client may send to keep its connection.

    Raises:
        RefusedError: It is of no mode, or a part of it is too long.
    """
    if data == b"\xc0":
        return None
    count = _array_length(data)
    if not _SHORTEST <= count <= _LONGEST:
        raise RefusedError("format", "no array of tag, entries and options")
    try:
        tag, body, *rest = [memoryview(one) for one in _raws.decode(data)]
    except (msgspec.MsgspecError, RecursionError) as error:
        raise RefusedError("format", f"no frame: {error}") from error
    kind = body[0]
    if _is_text(kind):
        mode, content = Mode.PACKED, text_of(body)
    elif _is_array(kind):
        mode, content = Mode.FORWARD, body
    else:
        mode, content = Mode.MESSAGE, _message(body, rest)
        rest = rest[1:]
    option = _option(rest)
    if mode is Mode.PACKED:
        mode = _compression(option)
    return Frame(_tag(tag), mode, content, _chunk(option))


async def inflated(frame: Frame, *, limit_bytes: int) -> Frame:
    """The frame with its entries decompressed, if they are compressed.

    Raises:
        RefusedError: See `inflate`.
    """
    if frame.mode is not Mode.COMPRESSED:
        return frame
    return replace(frame, mode=Mode.PACKED, body=memoryview(await inflate(frame.body, limit_bytes=limit_bytes)))


def entry_ends(frame: Frame) -> "array[int]":
    """Where each entry ends; the first begins at the array's end of a `FORWARD` frame, else at 0.

    All of them are looked at before the first is taken: a frame is taken whole or not at all, else a client that gets
    no answer would send its good beginning again and again.

    Returns:
        uint32 ascending; the first one is where the first entry begins.

    Raises:
        RefusedError: They are no msgpack, cut off, or no pairs of time and record.
    """
    body = frame.body
    if frame.mode is Mode.MESSAGE:
        return array("I", (0, len(body)))
    start = _header_bytes(body) if frame.mode is Mode.FORWARD else 0
    ends = array("I", [start])
    for end in _scan(body, start):
        if not _is_pair(body, ends[-1]):
            raise RefusedError("format", "an entry that is no pair of time and record")
        ends.append(end)
    if ends[-1] != len(body):
        raise RefusedError("format", "entries that are cut off")
    return ends


def _scan(body: memoryview, start: int) -> Iterator[int]:
    scanner, position = new_scanner(), start
    while position < len(body):
        scanner.feed(body[position : position + READ_BYTES])
        position += READ_BYTES
        try:
            while True:
                scanner.skip()
                yield start + scanner.tell()
        except OutOfData:
            continue
        except (StackError, RecursionError, FormatError, ValueError) as error:
            raise RefusedError("format", f"entries that are no msgpack: {error}") from error


def _is_pair(body: memoryview, start: int) -> bool:
    header = bytes(body[start : start + _PAIR_BYTES])
    return header.startswith(_PAIRS)


def _array_length(data: bytes | bytearray | memoryview) -> int:
    """Elements that an array's header claims; -1 when it is no array."""
    kind = data[0]
    if kind & 0xF0 == 0x90:  # noqa: PLR2004 - msgpack's fixarray
        return kind & 0x0F
    if not _is_array(kind):
        return -1
    return int.from_bytes(data[1 : _header_bytes(data)])


def _header_bytes(data: bytes | bytearray | memoryview) -> int:
    return {0xDC: 3, 0xDD: 5}.get(data[0], 1)


def _is_array(kind: int) -> bool:
    return kind & 0xF0 == 0x90 or kind in {0xDC, 0xDD}  # noqa: PLR2004 - msgpack's arrays


def _is_text(kind: int) -> bool:
    return kind & 0xE0 == 0xA0 or kind in _LENGTH_BYTES  # noqa: PLR2004 - msgpack's fixstr


def text_of(raw: memoryview) -> memoryview:
    """Content of a str or bin; empty for `nil`.

    Raises:
        RefusedError: It is something else.
    """
    kind = raw[0]
    if kind & 0xE0 == 0xA0 or kind == _NIL:  # noqa: PLR2004 - msgpack's fixstr
        return raw[1:]
    if kind not in _LENGTH_BYTES:
        raise RefusedError("format", "no text where there should be some")
    return raw[1 + _LENGTH_BYTES[kind] :]


def _message(time: memoryview, rest: list[memoryview]) -> memoryview:
    """Time and record of a Message as one entry."""
    if not rest:
        raise RefusedError("format", "a message without a record")
    return memoryview(b"".join((_PAIR, time, rest[0])))


def _tag(raw: memoryview) -> str:
    if not _is_text(raw[0]) or len(raw) > _TAG_BYTES:
        raise RefusedError("format", "no tag, or one that is too long")
    return bytes(text_of(raw)).decode(errors="surrogateescape")


def _option(rest: list[memoryview]) -> dict[Any, Any]:
    """The options; none where there is something else in their place."""
    if not rest or len(rest[0]) > _OPTION_BYTES:
        return {}
    try:
        option = _any.decode(rest[0])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TypeError):
        return {}
    return option if isinstance(option, dict) else {}


def _compression(option: dict[Any, Any]) -> Mode:
    named = option.get("compressed")
    if named == "gzip":
        return Mode.COMPRESSED
    if named is not None and named not in ("text", ""):
        raise RefusedError("compression", "a compression other than gzip")
    return Mode.PACKED


def _chunk(option: dict[Any, Any]) -> str | bytes | None:
    chunk = option.get("chunk")
    return chunk if isinstance(chunk, str | bytes) and chunk else None
