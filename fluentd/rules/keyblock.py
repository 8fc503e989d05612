r"""Private keys in PEM: a block of lines from `BEGIN` to `END`, or one line with `\n` in it, as JSON has it.

A block may stand in many lines of the log, each with something before the key's bytes (a program's own time, say). So
inside of a block what looks like base64 is hidden, until the end mark, or until a few lines come that have none.
"""

import re
from typing import Final

from fluentd.rules.secrets import compile_pattern

HINT: Final = rb"BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY"

_LINES: Final = 400
"""Most lines of a block: 24 KiB of key in lines of 64."""

_MISSES: Final = 4
"""So many lines in a row without a key's bytes end a block; headers (`Proc-Type`, an empty line) are fewer."""

_BEGIN: Final = compile_pattern(rb"-{4,5} ?BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)? ?-{4,5}")
_END: Final = compile_pattern(rb"-{4,5} ?END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)? ?-{4,5}")
_BODY: Final = re.compile(rb"[A-Za-z0-9+/=\s\\]*")
_RUN: Final = re.compile(rb"[A-Za-z0-9+/]{32,}={0,2}")
_WHOLE: Final = re.compile(rb"\s*[\"']?([A-Za-z0-9+/]{1,76}={0,2})(?:\\+[nr])*[\"',\s]*")
_LAST_BYTES: Final = 128
_LAST: Final = re.compile(rb"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{1,100}={0,2}\s*\Z")

Span = tuple[int, int]


def find_keys(content: bytes, block: int) -> tuple[list[Span], int]:
    """Where the bytes of private keys are in one line.

    Args:
        content: Of the line.
        block: As it was returned for the line before on its stream; 0 at first.

    Returns:
        Spans, ascending, and the block that goes on in the next line: lines left times `_MISSES`, plus misses; or 0.
    """
    spans: list[Span] = []
    at = 0
    if block:
        end = _END.search(content)
        hidden, found = _body(content, end.start() if end else len(content))
        spans += hidden
        if end is None:
            return spans, _next(block, found=found)
        at = end.end()
    while (begin := _BEGIN.search(content, at)) is not None:
        start = begin.end()
        end = _END.search(content, start)
        if end is None:
            body = _BODY.match(content, start)
            if body is not None and _RUN.search(content, start, body.end()):
                spans.append((start, body.end()))
            return spans, _LINES * _MISSES
        if end.start() > start:
            spans.append((start, end.start()))
        at = end.end()
    return spans, 0


def _next(block: int, *, found: bool) -> int:
    left, misses = divmod(block, _MISSES)
    misses = 0 if found else misses + 1
    return 0 if left <= 1 or misses >= _MISSES else (left - 1) * _MISSES + misses


def _body(content: bytes, stop: int) -> tuple[list[Span], bool]:
    """Spans of a key's bytes in a line inside of a block, and whether the line is surely one of it."""
    if (whole := _WHOLE.fullmatch(content, 0, stop)) is not None:
        return [whole.span(1)], True
    spans = [run.span() for run in _RUN.finditer(content, 0, stop)]
    # A last, short line of a key with something before it.
    last = _LAST.search(content, max(spans[-1][1] if spans else 0, stop - _LAST_BYTES), stop)
    return [*spans, last.span()] if last is not None else spans, bool(spans)
