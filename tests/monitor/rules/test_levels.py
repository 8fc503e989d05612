"""Levels of lines."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.rules.ruleset import RuleSet

LINES = [
    (b"INFO started", "info"),
    (b"[warn] slow", "warning"),
    (b"ERROR", "error"),
    (b"WARNING:root:x", "warning"),
    (b"information", ""),
    (b"ERRand", ""),
    (b"2026-11-24 19:00:00,123 DEBUG [main] x", "debug"),
    (b"2026-11-24 19:00:00 [CRITICAL] x", "fatal"),
    (b"2026-11-24T19:00:00.123456Z ERROR x", "error"),
    (b'{"level":"error","msg":"x"}', "error"),
    (b'{"msg":"x", "level": "Warn"}', "warning"),
    (b'{"level":30,"time":1}', "info"),
    (b'{"time":1,"level":60}', "fatal"),
    (b'{"severity":"NOTICE"}', "info"),
    (b'{"msg":"\\"level\\":\\"error\\""}', ""),
    (b'{"msg":"level=error"}', ""),
    (b'time=1 level=warn msg="level=error"', "warning"),
    (b'msg="x" level="debug"', "debug"),
    (b"level=info", "info"),
    (b"mylevel=info", ""),
    (b'say "level":"error"', ""),
    (b"ERROR level=info", "error"),
    (b'{"level":"info","b":{"level":"error"}}', "info"),
    (b'{"levels":"error"}', ""),
    (b'{"level_of":"error"}', ""),
    (b'{"levelab info":1}', ""),
    (b"level", ""),
    (b"level=", ""),
    (b"", ""),
    (b"v", ""),
    (b"{", ""),
]


@pytest.mark.parametrize(("content", "level"), LINES)
def test_a_level_is_seen_where_it_is_usually_written(
    batch_of: Any, line: Any, added: Any, content: bytes, level: str
) -> None:
    found = added(RuleSet().samples(batch_of([line(content)])))
    assert [labels.labels for labels in found["app_lines"]] == [("stdout", level)]


@given(st.lists(st.sampled_from(LINES) | st.tuples(st.binary(max_size=30), st.none()), min_size=1, max_size=10))
@settings(max_examples=50)
def test_a_level_does_not_depend_on_the_lines_around(batch_of: Any, line: Any, made: Any) -> None:
    (lines, _) = RuleSet().samples(batch_of([line(content.replace(b"\n", b"")) for content, _ in made]))
    for number, (content, level) in enumerate(made):
        alone = RuleSet().samples(batch_of([line(content.replace(b"\n", b""))]))[0].sets[0]
        assert lines.sets[lines.index[number]] == alone
        assert level is None or alone.labels == ("stdout", level)


def test_a_word_does_not_begin_in_one_line_and_end_in_the_next(batch_of: Any, line: Any, added: Any) -> None:
    lines = [line(content) for content in (b"D", b"BG x", b"level=", b"info x", b"lev", b"el=info")]
    found = added(RuleSet().samples(batch_of(lines)))
    assert {labels.labels[1]: count for labels, (count, _) in found["app_lines"].items()} == {"": 5, "info": 1}
