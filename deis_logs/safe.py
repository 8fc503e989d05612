"""Text from outside, made safe for a terminal: what would act on it is shown as an escape.

A log line can hold anything: sequences that recolour, rename or query a terminal, carriage returns that overwrite what
was printed before, characters that turn the reading direction. All of these become visible; printable text in any
script, and tabs, stay as they are.
"""

import re
from typing import Final

_UNSAFE = re.compile(
    "["
    "\x00-\x08\x0a-\x1f\x7f-\x9f"  # C0 without tab, DEL, C1 (CSI, OSC and others as one character)
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f"  # BiDi marks, embeddings, isolates; deprecated format characters
    "\u2028\u2029"  # line and paragraph separator
    "\ud800-\udfff"  # lone surrogates, which no terminal could be sent
    "]"
)
_SHORT: Final = {"\n": "\\n", "\r": "\\r"}


def visible(text: str) -> str:
    r"""Show control characters of `text` as `\r`, `\x1b`, `\u202e`; a tab stays."""
    if text.isprintable():  # twice as fast as the search, and true of nearly every line
        return text
    return _UNSAFE.sub(_escape, text)


def visible_json(data: bytes) -> bytes:
    r"""Replace control characters in encoded JSON by their `\u` escapes: the value stays the same.

    JSON itself demands that only of C0; DEL, C1 and BiDi characters may stand in a string as they are.
    """
    if data.isascii() and b"\x7f" not in data:
        return data
    return _UNSAFE_IN_JSON.sub(_escape_json, data.decode()).encode()


_UNSAFE_IN_JSON = re.compile(_UNSAFE.pattern.replace("\x0a-\x1f", "\x0b-\x1f"))  # newlines end the objects


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    code = ord(character)
    return _SHORT.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")  # noqa: PLR2004 - Latin-1


def _escape_json(match: re.Match[str]) -> str:
    return f"\\u{ord(match.group()):04x}"
