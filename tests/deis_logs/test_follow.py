"""A follow goes on where it was: after a lost connection, at each line, without gap or double."""

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from deis_logs import backoff
from deis_logs.follow import Position
from deis_logs.lines import End, LineEvent, Watermark, decode_events

Run = Callable[..., Any]
Row = Callable[..., dict[str, Any]]
FAR = "2099-01-01T00:00:00.000000000Z"
ALL = ("--since", "2026-11-24T12:00:00Z", "--until", "2098-01-01T00:00:00Z")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses of a millisecond."""
    monkeypatch.setattr(backoff, "FIRST_SECONDS", 0.001)


@pytest.mark.parametrize("drop_after", [0, 1, 2, 3, 7])
@pytest.mark.parametrize("end", [False, True], ids=["cut", "ended"])
def test_every_line_is_printed_once_when_each_connection_ends_after_some_lines(
    server: Any, run: Run, row: Row, drop_after: int, end: bool
) -> None:
    server.rows = [row(number) for number in range(12)]
    server.complete_up_to = FAR
    server.drop_follow_after, server.end_follow = drop_after, end
    if drop_after == 0:  # no connection would ever get anywhere: only the first one is cut
        server.drop_follow_after = None
        server.cut_follows = 1
    outcome = run("tail", "-a", "demo", *ALL)
    assert outcome.status == 0
    assert [text.split("| ")[1] for text in outcome.out.decode().splitlines()] == [f"line {n}" for n in range(12)]


def test_a_lost_connection_is_told_once(server: Any, run: Run, row: Row) -> None:
    server.rows = [row(number) for number in range(4)]
    server.complete_up_to = FAR
    server.drop_follow_after = 2
    outcome = run("tail", "-a", "demo", *ALL)
    assert outcome.err == (
        f"deis-logs: the connection to {server.url} broke off; going on from the last line when it answers again\n"
    )


def test_a_stream_that_the_logger_ends_is_told_with_its_reason(server: Any, run: Run, row: Row) -> None:
    server.rows = [row(number) for number in range(4)]
    server.complete_up_to = FAR
    server.drop_follow_after, server.end_follow = 2, True
    outcome = run("tail", "-a", "demo", *ALL)
    assert outcome.err.count("\n") == 1
    assert "ended the stream: slow client; going on from the last line" in outcome.err


def test_refusals_while_the_logger_restarts_are_waited_out(server: Any, run: Run, row: Row) -> None:
    server.rows = [row(number) for number in range(3)]
    server.complete_up_to = FAR
    server.drop_follow_after = 2
    server.later_refusals = [(503, "starting"), (429, "busy")]
    outcome = run("tail", "-a", "demo", *ALL)
    assert outcome.status == 0
    assert len(outcome.out.splitlines()) == 3


def test_a_refusal_that_is_final_ends_the_follow(server: Any, run: Run, row: Row) -> None:
    server.rows = [row(number) for number in range(3)]
    server.drop_follow_after = 2
    server.later_refusals = [(401, "token withdrawn")]
    outcome = run("tail", "-a", "demo")
    assert outcome.status == 1
    assert len(outcome.out.splitlines()) == 2
    assert "token withdrawn" in outcome.err


def test_new_lines_come_as_they_are_written(server: Any, run: Run, row: Row) -> None:
    server.rows = [row(0)]

    def write() -> None:
        server.rows.append(row(1))
        server.complete_up_to = FAR

    timer = threading.Timer(0.2, write)
    timer.start()
    outcome = run("tail", "-a", "demo", "--until", "2098-01-01T00:00:00Z")
    timer.join()
    assert [text.split("| ")[1] for text in outcome.out.decode().splitlines()] == ["line 0", "line 1"]


def test_a_long_line_that_waits_for_nothing_more_still_ends_with_a_newline(server: Any, run: Run, row: Row) -> None:
    server.rows = [row(0, b"x" * 200_000), row(0, b"y", continuation=1), row(1)]
    server.complete_up_to = FAR
    outcome = run("tail", "-a", "demo", "-o", "raw", *ALL)
    assert outcome.out == b"x" * 200_000 + b"y\nline 1\n"


def test_before_its_first_line_a_follow_goes_on_from_the_watermark() -> None:
    position = Position([("lines", "0")])
    assert position.parameters() == [("lines", "0")]
    position.advance([Watermark(None)])
    assert position.parameters() == [("lines", "0")]
    position.advance([Watermark(FAR)])
    assert position.parameters() == [("since", FAR)]
    position.advance([Watermark(None)])
    assert position.parameters() == [("since", FAR)]


def test_a_follow_since_a_time_keeps_that_time_until_its_first_line() -> None:
    position = Position([("since", "5")])
    position.advance([Watermark(FAR)])
    assert position.parameters() == [("since", "5")]


def test_the_cursor_is_that_of_the_last_line_and_a_watermark_may_carry_one(row: Row) -> None:
    position = Position([("lines", "0")])
    line = json.dumps({"type": "line", "cursor": "a", **row(0)}).encode()
    position.advance(decode_events(line + b"\n"))
    assert position.parameters() == [("cursor", "a")]
    position.advance([Watermark(FAR), End("slow")])
    assert position.parameters() == [("cursor", "a")]
    position.advance([Watermark(FAR, cursor="b")])
    assert position.parameters() == [("cursor", "b")]


def test_events_of_kinds_not_known_here_are_left_out(row: Row) -> None:
    events = decode_events(
        b'{"type":"news","x":1}\n'
        + json.dumps({"type": "line", "cursor": "a", "new_field": 1, **row(0)}).encode()
        + b'\n\n{"type":"end","reason":"r"}\n'
    )
    assert [type(event) for event in events] == [LineEvent, End]


def test_pauses_double_up_to_a_bound_and_have_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "FIRST_SECONDS", 0.25)
    pauses = backoff.Backoff()
    seconds = [pauses.next_seconds() for _ in range(40)]
    assert 0.125 <= seconds[0] <= 0.25
    assert all(5.0 <= pause <= 10.0 for pause in seconds[6:])
    assert len(set(seconds[6:])) > 1
    pauses.reset()
    assert pauses.next_seconds() <= 0.25
