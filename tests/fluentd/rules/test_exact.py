"""What becomes of a line depends on the bytes alone: not on where chunks are cut, nor on what is read again."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluentd.pods.podrules import RateLimit, Unit
from fluentd.rules.compiled import RunRules
from fluentd.rules.linerules import LineRule
from fluentd.rules.redact import Redactor, UserPattern
from fluentd.rules.rulesfile import compile_user_pattern
from fluentd.rules.secrets import PACKS
from fluentd.rules.state import Verdict

NOTICE = re.compile(rb"(\d+) lines dropped since 2026-11-24T12:\d\d:\d\dZ \(rate limit\)")
KEY = b"AKIAIOSFODNN7EXAMPLE"

_rule = st.builds(
    lambda verdict, stream, pattern, keep: LineRule(
        verdict, stream, compile_user_pattern("", "", pattern).pattern, floating=True, keep=keep
    ),
    st.sampled_from([Verdict.DROP, Verdict.SAMPLE]),
    st.sampled_from([None, 0, 1]),
    st.sampled_from(["drop", "a+", "[x-z]1"]),
    st.sampled_from([0.0, 0.5]),
)
_limit = st.none() | st.builds(RateLimit, st.just(Unit.LINES), st.integers(1, 3), st.integers(1, 5)) | st.builds(
    RateLimit, st.just(Unit.BYTES), st.integers(20, 300), st.integers(20, 500)
)  # fmt: skip
_redactors = st.sampled_from(
    [
        None,
        Redactor(PACKS["default"], keys=True),
        Redactor((), keys=False, patterns=[UserPattern.of("x", "x[0-9]"), UserPattern.of("start", "^start")]),
    ]
)
_rules = st.builds(
    lambda lines, limit, redactor: RunRules(lines=lines, limit=limit, redactor=redactor),
    st.lists(_rule, max_size=2),
    _limit,
    _redactors,
)
_content = st.sampled_from(
    [
        b"",
        b"drop",
        b"aa",
        b"x1 y",
        b"start 1",
        b"key " + KEY,
        KEY[:8],
        KEY[8:],
        b"-----BEGIN PRIVATE KEY-----",
        b"q" * 60,
    ]
)
_line = st.tuples(st.integers(0, 2), st.sampled_from([b"stdout", b"stdout", b"stderr", b""]), st.booleans(), _content)


def written(lines: list[tuple[int, bytes, bool, bytes]]) -> bytes:
    second, out = 0, []
    for step, stream, partial, content in lines:
        second += step
        head = b"2026-11-24T12:%02d:%02dZ %s %s " % (second // 60, second % 60, stream, b"P" if partial else b"F")
        out.append((head if stream else b"") + content + b"\n")
    return b"".join(out)


def whole_lines(lines: list[tuple[int, bytes, bool, bytes]]) -> list[list[int]]:
    """Indices of the physical lines of each line, by the tags."""
    found: list[list[int]] = []
    open_lines: dict[bytes, list[int]] = {}
    for index, (_, stream, partial, _) in enumerate(lines):
        pieces = open_lines.pop(stream, None) if stream else None
        if pieces is None:
            found.append(pieces := [])
        pieces.append(index)
        if stream and partial:
            open_lines[stream] = pieces
    return found


@settings(max_examples=80, deadline=None)
@given(rules=_rules, lines=st.lists(_line, max_size=30), data=st.data())
def test_cuts_and_crashes_change_nothing(
    rules: RunRules, lines: list[tuple[int, bytes, bool, bytes]], data: st.DataObject, make_stream: type[Any]
) -> None:
    source = written(lines)
    wanted = make_stream(rules, source).finish()
    stream = make_stream(rules, source)
    ends = [match.end() for match in re.finditer(rb"\n", source)]
    marks = [(0, None)]
    for _ in range(data.draw(st.integers(0, 12))):
        later = [end for end in ends if end > stream.position]
        if later:
            stream.send(data.draw(st.sampled_from(later)))
        marks.append((stream.position, stream.state))
        if data.draw(st.integers(0, 3)) == 0:
            at = data.draw(st.integers(0, len(marks) - 1))
            del marks[at + 1 :]
            stream.go_back(*marks[at])
    assert stream.finish() == wanted


@settings(max_examples=80, deadline=None)
@given(rules=_rules, lines=st.lists(_line, max_size=30))
def test_a_line_is_kept_whole_or_dropped_whole_and_every_drop_is_counted(
    rules: RunRules, lines: list[tuple[int, bytes, bool, bytes]], make_stream: type[Any]
) -> None:
    source = written(lines)
    stream = make_stream(rules, source)
    sent = stream.finish()
    starts = [0, *(match.end() for match in re.finditer(rb"\n", source))][: len(lines)]
    told, gone = 0, 0
    for pieces in whole_lines(lines):
        kept = [piece for piece in pieces if starts[piece] in sent and not NOTICE.search(sent[starts[piece]])]
        assert kept in ([], pieces)
        gone += not kept
    told = sum(int(match[1]) for line in sent.values() if (match := NOTICE.search(line)))
    counts = [judged.dropped for judged in stream.judged if judged.taken]
    limited = sum(dropped.get(Verdict.LIMIT, [0, 0])[0] for dropped in counts)
    assert gone == sum(count[0] for dropped in counts for count in dropped.values())
    untold = stream.state.dropped if stream.state is not None else 0
    assert told + untold == limited
    assert not untold or lines[-1][1] == b"" or any(lines[-1][2] for _ in lines)


@settings(max_examples=80, deadline=None)
@given(lines=st.lists(_line, max_size=30), rules=_rules)
def test_a_line_that_no_rule_concerns_arrives_byte_for_byte_at_its_offset(
    lines: list[tuple[int, bytes, bool, bytes]], rules: RunRules, make_stream: type[Any]
) -> None:
    plain = [(step, stream, False, b"plain %d" % index) for index, (step, stream, _, _) in enumerate(lines)]
    source = written(plain)
    stream = make_stream(rules, source)
    for offset, line in stream.finish().items():
        if not NOTICE.search(line):
            assert source[offset : offset + len(line) + 1] == line + b"\n"


def test_notices_come_once_for_each_second_at_its_last_line(
    make_stream: type[Any], write: Callable[..., bytes], contents: Callable[..., list[bytes]]
) -> None:
    source = write([(0, b"%d" % number) for number in range(5)] + [(1, b"a"), (1, b"b"), (1, b"c"), (9, b"d")])
    stream = make_stream(RunRules(limit=RateLimit(Unit.LINES, 2, 2)), source)
    assert contents(stream.finish()) == [
        b"0",
        b"1",
        b"3 lines dropped since 2026-11-24T12:00:00Z (rate limit)",
        b"a",
        b"b",
        b"1 lines dropped since 2026-11-24T12:00:01Z (rate limit)",
        b"d",
    ]


@pytest.mark.parametrize("count", [3, 4000])
def test_a_flood_is_counted_without_a_look_at_each_line(
    make_stream: type[Any], write: Callable[..., bytes], contents: Callable[..., list[bytes]], count: int
) -> None:
    source = write([(0, b"x")] * count + [(5, b"quiet")])
    stream = make_stream(RunRules(limit=RateLimit(Unit.LINES, 1, 2)), source)
    flood = source.index(b"T12:00:05") - len(b"2026-11-24")
    for part in (1, 2, 3):
        stream.send(source.rindex(b"\n", 0, max(200, flood * part // 3)) + 1)
    stream.send(flood)
    told = b"%d lines dropped since 2026-11-24T12:00:00Z (rate limit)" % (count - 2)
    assert contents(stream.finish()) == [b"x", b"x", told, b"quiet"]


def test_a_line_that_goes_on_keeps_the_verdict_on_its_first_piece(make_stream: type[Any]) -> None:
    rules = RunRules(lines=[LineRule(Verdict.DROP, None, compile_user_pattern("", "", "drop").pattern, floating=True)])
    head = b"2026-11-24T12:00:00Z stdout "
    source = head + b"P keep\n" + head + b"F drop\n" + head + b"P drop\n" + head + b"F keep\n"
    stream = make_stream(rules, source)
    for number in range(1, 5):
        stream.send([match.end() for match in re.finditer(rb"\n", source)][number - 1])
    assert list(stream.finish().values()) == [head + b"P keep", head + b"F drop"]
