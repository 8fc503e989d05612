"""An entry, `[time, record]`: its time, its record, and the message that they become.

A record that has nothing but a text in `log` or `message` (and the fields that name its app) becomes that text; any
other becomes compact JSON, whole. Nothing is refused: a value that JSON cannot tell becomes text that tells it, bytes
that are no UTF-8 stay as they are, and an entry that no decoder takes is kept in base64.
"""

import base64
import json
import math
import struct
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from msgpack import ExtType, fallback
from msgpack.exceptions import UnpackException

from fluentd.forward.walk import has_more_values
from pipeline.limits import KIB

TEXT_FIELDS: Final = ("log", "message")

MANY_VALUES: Final = 32 * KIB
"""More values than this in one record are not built: each takes up to 72 bytes where it came as one."""

_FEW_BYTES: Final = 64 * KIB  # a record that is no longer has few enough values, whatever they are
_NS: Final = 1_000_000_000
_LAST_SECOND: Final = 2**63 // 10**9 - 1  # in the year 2262: nanoseconds have 64 bits
_EVENT_TIME: Final = struct.Struct(">II")
_PLAIN: Final = frozenset((str, int, float, bool, type(None)))

_decode = msgspec.msgpack.Decoder().decode
_encode = msgspec.json.Encoder().encode


class UndecodableError(ValueError):
    """An entry cannot be decoded, or what it holds cannot be told."""


def decode_entry(raw: memoryview) -> tuple[Any, Any]:
    """Time and record of one entry, a complete msgpack array of two.

    Returns:
        As `msgspec` decodes them, with text as bytes where one is no UTF-8.

    Raises:
        UndecodableError: No msgpack that can be built, nested too deeply, or more than `MANY_VALUES`.
    """
    if len(raw) > _FEW_BYTES and has_more_values(raw, MANY_VALUES):
        raise UndecodableError("too many values")
    try:
        time, record = _decode(raw)
    except UnicodeDecodeError:
        return _decode_bytes(raw)
    except (msgspec.MsgspecError, RecursionError, TypeError, ValueError, OverflowError) as error:
        raise UndecodableError(str(error)) from error
    return time, record


def _decode_bytes(raw: memoryview) -> tuple[Any, Any]:
    """The same for an entry with text that is no UTF-8: slow, and as safe."""
    unpacker = fallback.Unpacker(raw=True, strict_map_key=False, timestamp=3, max_buffer_size=len(raw))
    try:
        unpacker.feed(raw)
        time, record = unpacker.unpack()
        return time, _text_keys(record)
    except (UnpackException, RecursionError, TypeError, ValueError, OverflowError) as error:
        raise UndecodableError(str(error)) from error


def _text_keys(value: Any) -> Any:
    """With keys of maps as text, as the other decoder has them."""
    if isinstance(value, dict):
        return {_key(key): _text_keys(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_text_keys(one) for one in value]
    return value


def _key(key: Any) -> Any:
    return key.decode(errors="surrogateescape") if isinstance(key, bytes) else key


def time_ns_of(time: Any, *, now_ns: int) -> tuple[int, bool]:
    """Nanoseconds since the epoch that an entry's time states, or `now_ns` where it states none.

    Takes seconds, the protocol's EventTime (extension 0), msgpack's own timestamp, and Fluent Bit's `[time, metadata]`.

    Returns:
        The time, and whether what is in its place is no time of the years 1970 to 2262.
    """
    if isinstance(time, list) and time:
        time = time[0]
    if time is None or time == 0:
        return now_ns, False
    if isinstance(time, msgspec.msgpack.Ext | ExtType):
        data = bytes(memoryview(time.data))
        if time.code == 0 and len(data) == _EVENT_TIME.size:
            seconds, fraction = _EVENT_TIME.unpack(data)
            return seconds * _NS + min(fraction, _NS - 1), False
    elif isinstance(time, datetime):
        return _checked(int((time - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()), time.microsecond * 1000, now_ns)
    elif isinstance(time, int) and not isinstance(time, bool):
        return _checked(time, 0, now_ns)
    elif isinstance(time, float) and math.isfinite(time):
        return _checked(math.floor(time), int(time % 1 * _NS), now_ns)
    return now_ns, True


def _checked(seconds: int, fraction: int, now_ns: int) -> tuple[int, bool]:
    if 0 <= seconds <= _LAST_SECOND:
        return seconds * _NS + fraction, False
    return now_ns, True


def message_of(record: Any, *, own_fields: frozenset[str]) -> bytes:
    """The message that a record becomes; see the module.

    Args:
        record: Of `decode_entry`.
        own_fields: Fields that only name the app, beside which a text is still alone.

    Raises:
        UndecodableError: It is nested too deeply to be told.
    """
    if not isinstance(record, dict):
        return _bytes_of(record) if isinstance(record, str | bytes) else _json(record)
    text = _lone_text(record, own_fields)
    if text is not None:
        return _bytes_of(text)
    if _PLAIN.issuperset(map(type, record.values())):
        try:
            return _encode(record)
        except (TypeError, ValueError, OverflowError, msgspec.MsgspecError):
            return _json(record)
    return _json(record)


def undecodable(raw: memoryview) -> bytes:
    """The message of an entry that was not decoded: all of its bytes."""
    return b'{"msgpack":"' + base64.b64encode(raw) + b'"}'


def _lone_text(record: Mapping[Any, Any], own_fields: frozenset[str]) -> str | bytes | None:
    text: str | bytes | None = None
    for key, value in record.items():
        if key in own_fields:
            continue
        if text is not None or key not in TEXT_FIELDS or not isinstance(value, str | bytes):
            return None
        text = value
    return text


def _bytes_of(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode(errors="surrogateescape")


def _json(value: Any) -> bytes:
    """Compact JSON of anything that msgpack can say; bytes stand in it as they are, escaped where JSON must be."""
    try:
        told = json.dumps(_tellable(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except RecursionError as error:
        raise UndecodableError("nested too deeply") from error
    return told.encode(errors="surrogateescape")


def _tellable(value: Any) -> Any:
    """The same, of what JSON has: text, numbers, maps with text for keys, lists."""
    if isinstance(value, dict):
        return {_tellable_key(key): _tellable(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_tellable(one) for one in value]
    return value if isinstance(value, str | int | None) else _told(value)


def _told(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="surrogateescape")
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, msgspec.msgpack.Ext | ExtType):
        return _told_extension(value.code, bytes(memoryview(value.data)))
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _told_extension(code: int, data: bytes) -> Any:
    if code == 0 and len(data) == _EVENT_TIME.size:
        seconds, fraction = _EVENT_TIME.unpack(data)
        return seconds + fraction / _NS
    return {"ext": code, "data": base64.b64encode(data).decode()}


def _tellable_key(key: Any) -> str:
    told = _tellable(key)
    return told if isinstance(told, str) else json.dumps(told, separators=(",", ":"))
