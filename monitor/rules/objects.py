"""Lines that are JSON objects, decoded as a whole chunk, and values in them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

Object = Mapping[str, Any]

_ERRORS: Final = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)
_decoder: Final = msgspec.json.Decoder(dict[str, Any])


def decode_objects(lines: Sequence[bytes]) -> Sequence[Object | None]:
    """What each line is; `None` for one that is no object. Bytes that are no UTF-8 are replaced."""
    try:
        read = _decoder.decode_lines(b"\n".join(lines))
    except _ERRORS:
        return [_decode(line) for line in lines]
    # A line of nothing but spaces is skipped.
    return read if len(read) == len(lines) else [_decode(line) for line in lines]


def _decode(line: bytes) -> Object | None:
    for text in (line, line.decode(errors="replace").encode()):
        try:
            return _decoder.decode(text)
        except _ERRORS:
            continue
    return None


def value_at(line: Object, field: str) -> Any:
    """The value of `a.b`: the key of that name, else `b` in the object `a`; `None` when there is none."""
    if field in line:
        return line[field]
    value: Any = line
    for key in field.split("."):
        if not isinstance(value, dict) or key not in value:
            return None
        value = value[key]
    return value


def text_of(value: Any) -> str | None:
    """A value of JSON as text; `None` for null, objects and lists."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, dict | list):
        return None
    return msgspec.json.encode(value).decode()
