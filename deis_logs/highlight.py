"""Matches of a search, marked on a terminal."""

from collections.abc import Callable
from typing import Final

from deis_logs.safe import visible

_MATCH: Final = "\x1b[1;31m"
_RESET: Final = "\x1b[0m"


def highlighter(*, text: str, regex: str) -> Callable[[str], str] | None:
    """Make the function that marks what was searched for, on a terminal.

    Expressions are the logger's, RE2: they are marked only where that library is installed, since Python's own engine
    could be kept busy for ever by a hostile line.
    """
    if text:
        return lambda message: _mark_text(message, text)
    if not regex:
        return None
    try:
        import re2  # noqa: PLC0415 - optional, and only wanted here

        pattern = re2.compile(regex)  # type: ignore[no-untyped-call]
    except Exception:  # noqa: BLE001 - not there, or an expression that the logger will refuse with its reason
        return None
    return lambda message: _mark_spans(message, [match.span() for match in pattern.finditer(message)])


def _mark_text(message: str, text: str) -> str:
    return f"{_MATCH}{visible(text)}{_RESET}".join(map(visible, message.split(text)))


def _mark_spans(message: str, spans: list[tuple[int, int]]) -> str:
    shown: list[str] = []
    position = 0
    for start, stop in spans:
        if stop > start:
            shown += [visible(message[position:start]), _MATCH, visible(message[start:stop]), _RESET]
            position = stop
    return "".join([*shown, visible(message[position:])])
