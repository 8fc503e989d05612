"""A follow whose cursor has become void, since the logger's queue was replaced, goes on from what it knows."""

from collections.abc import Callable
from typing import Any

import pytest

from deis_logs import backoff, follow
from deis_logs.follow import Position
from deis_logs.lines import LineEvent, Watermark

Run = Callable[..., Any]
Row = Callable[..., dict[str, Any]]
FAR = "2099-01-01T00:00:00.000000000Z"
VOID = (410, "cursor: its queue was replaced")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses of a millisecond."""
    monkeypatch.setattr(backoff, "FIRST_SECONDS", 0.001)


def at(number: int) -> str:
    """The time of a row."""
    return f"2026-11-24T12:00:{number:02d}.123456789Z"


@pytest.fixture
def event(row: Row) -> Callable[[int], LineEvent]:
    return lambda number: LineEvent(**row(number), cursor=f"f{number}")


@pytest.mark.parametrize("drop_after", [1, 5, 9])
@pytest.mark.parametrize("start", [("-n", "12"), ("--since", "2026-11-24T12:00:00Z")], ids=["lines", "since"])
def test_each_line_is_printed_once_when_a_cursor_becomes_void(
    server: Any, run: Run, row: Row, drop_after: int, start: tuple[str, str]
) -> None:
    server.rows = [row(number) for number in range(12)]
    server.drop_follow_after = drop_after
    server.later_refusals = [VOID]

    def revive() -> None:
        server.drop_follow_after, server.complete_up_to = None, FAR

    server.on_refusal = revive
    outcome = run("tail", "-a", "demo", *start, "--until", "2098-01-01T00:00:00Z")
    assert outcome.status == 0, outcome.err
    assert [text.split("| ")[1] for text in outcome.out.decode().splitlines()] == [f"line {n}" for n in range(12)]
    told = outcome.err.splitlines()
    assert told[1].startswith("deis-logs: the logger cannot go on from there (410: cursor: its queue was replaced); ")
    assert told[1].endswith(f"going on with what was not printed of the lines since {at(0)}")


def test_a_refusal_without_a_cursor_is_final(server: Any, run: Run) -> None:
    server.refusals = [VOID]
    outcome = run("tail", "-a", "demo")
    assert outcome.status == 1
    assert "its queue was replaced" in outcome.err


def test_it_begins_anew_at_the_watermark_and_leaves_out_what_was_printed_since(event: Any) -> None:
    position = Position([("since", "5")])
    position.advance([event(1), event(2), Watermark(at(2)), event(4), event(3)])
    assert position.begin_anew() == at(2)
    assert position.parameters() == [("since", at(2))]
    assert position.new([event(2), event(3), event(5), Watermark(None), event(4)]) == [event(5), Watermark(None)]
    position.advance([event(5)])
    assert position.parameters() == [("cursor", "f5")]


def test_it_begins_anew_no_earlier_than_it_began(event: Any) -> None:
    late = Position([("since", "1795521640000000000")])  # 12:00:40
    late.advance([Watermark(at(2)), event(45)])
    assert late.begin_anew() == "2026-11-24T12:00:40.000000000Z"
    last = Position([("lines", "2")])
    last.advance([event(7), event(8), Watermark(at(2))])
    assert last.begin_anew() == at(7)


def test_before_a_watermark_it_begins_anew_at_the_oldest_line_and_before_a_line_as_at_the_start(event: Any) -> None:
    position = Position([("since", "5")])
    position.advance([event(4), event(3)])
    assert position.begin_anew() == at(3)
    fresh = Position([("lines", "3")], cursor="f0")
    assert fresh.begin_anew() == ""
    assert fresh.parameters() == [("lines", "3")]


def test_a_watermark_that_steps_back_is_no_news(event: Any) -> None:
    position = Position([("since", "5")])
    position.advance([Watermark(at(5)), event(6), Watermark(at(3)), Watermark(None)])
    assert position.begin_anew() == at(5)


def test_what_is_remembered_is_bounded(event: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "RECENT_LINES", 10)
    position = Position([("since", "5")])
    for number in range(30):
        position.advance([event(number)])
        assert len(position._recent) <= 10
    assert event(29) in (known := [event(number) for number in range(30)])
    position.begin_anew()
    assert 20 <= len(position.new(known)) < 30
