"""The commands as people run them, against a logger that answers by docs/api.md."""

import json
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

from deis_logs import history

Run = Callable[..., Any]
Row = Callable[..., dict[str, Any]]
FAR = "2099-01-01T00:00:00.000000000Z"


def test_tail_without_follow_prints_the_last_hundred_lines_in_reading_order(server: Any, run: Run, row: Row) -> None:
    server.rows = [row(number) for number in range(150)]
    outcome = run("tail", "-a", "demo", "--no-follow")
    lines = outcome.out.decode().splitlines()
    assert outcome.status == 0
    assert len(lines) == 100
    assert lines[0] == "2026-11-24T12:00:50.123456Z web.x7k2p | line 50"
    assert lines[-1].endswith("| line 149")


def test_tail_of_zero_lines_without_follow_prints_nothing(server: Any, run: Run, row: Row) -> None:
    server.rows = [row(0)]
    assert run("tail", "-a", "demo", "-n", "0", "--no-follow").out == b""


def test_tail_ends_when_the_watermark_has_passed_until(server: Any, run: Run, row: Row) -> None:
    server.rows = [row(number) for number in range(5)]
    server.complete_up_to = FAR
    outcome = run("tail", "-a", "demo", "--since", "2026-11-24T12:00:01Z", "--until", "2026-11-24T12:00:03Z")
    assert [line.split("| ")[1] for line in outcome.out.decode().splitlines()] == ["line 1", "line 2"]


def test_tail_of_last_lines_before_a_past_moment_waits_until_they_are_complete(server: Any, run: Run, row: Row) -> None:
    server.rows = [row(number, offset=-100 * 86400 * 365 * 5 + number * 100) for number in range(5)]
    server.complete_up_to = FAR
    outcome = run("tail", "-a", "demo", "-n", "2", "--until", "1s")
    assert [line.split("| ")[1] for line in outcome.out.decode().splitlines()] == ["line 3", "line 4"]


def test_search_says_when_there_is_more(server: Any, run: Run, row: Row) -> None:
    server.rows = [row(number) for number in range(30)]
    newest = run("search", "-a", "demo", "--limit", "10")
    oldest = run("search", "-a", "demo", "--limit", "10", "--oldest")
    assert newest.out.decode().splitlines()[0].endswith("line 20")
    assert oldest.out.decode().splitlines()[-1].endswith("line 9")
    assert "more match" in newest.err
    assert "more match" in oldest.err


def test_search_goes_through_pages_also_when_one_breaks_off(server: Any, run: Run, row: Row) -> None:
    server.rows = [row(number) for number in range(30)]
    server.page_lines = 7
    whole = run("search", "-a", "demo")
    assert len(whole.out.splitlines()) == 30
    assert whole.err == ""


NOTHING = [("search", "--grep", "x"), ("tail", "--no-follow"), ("tail", "--no-follow", "--grep", "x")]


@pytest.mark.parametrize("arguments", NOTHING)
def test_what_finds_nothing_says_so_and_succeeds(server: Any, run: Run, arguments: tuple[str, ...]) -> None:
    server.apps = [{"app": "demo"}]
    outcome = run(*arguments, "-a", "demo")
    assert (outcome.status, outcome.out) == (0, b"")
    assert outcome.err == "deis-logs: no line matches\n"


@pytest.mark.parametrize("arguments", NOTHING)
def test_an_app_that_nobody_knows_is_named_and_scripts_go_on(server: Any, run: Run, arguments: tuple[str, ...]) -> None:
    server.apps = [{"app": "demo"}]
    outcome = run(*arguments, "-a", "dmeo")
    assert (outcome.status, outcome.out) == (0, b"")
    assert outcome.err == "deis-logs: there is no line of an app dmeo: `deis-logs apps` lists those that there are\n"


def test_no_lines_asked_for_is_no_question_either(server: Any, run: Run) -> None:
    outcome = run("tail", "--no-follow", "-n", "0", "-a", "demo")
    assert (outcome.status, outcome.err, server.requests) == (0, "", [])


def test_pages_without_a_line_are_not_the_end(server: Any, run: Run, row: Row) -> None:
    server.rows = [row(number) for number in range(3)]
    server.empty_pages = 3
    assert len(run("search", "-a", "demo").out.splitlines()) == 3
    server.empty_pages = 3
    assert len(run("export", "-a", "demo").out.splitlines()) == 3


def test_a_search_that_would_fill_the_memory_stops_with_the_newest_lines_and_says_so(
    server: Any, run: Run, row: Row, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "MEMORY_BYTES", 1_000_000)
    server.rows = [row(number, b"x" * 100_000) for number in range(100)] + [row(100)]
    outcome = run("search", "-a", "demo", "--limit", "1000")
    assert outcome.out.splitlines()[-1].endswith(b"line 100")
    assert 10 <= len(outcome.out.splitlines()) < 60
    assert "more match" in outcome.err


def test_a_follow_of_the_past_says_what_it_waits_for(
    server: Any, run: Run, row: Row, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.rows = [row(0)]
    monkeypatch.setattr(history, "SETTLE_SECONDS", 0.01)
    for arguments in (["--since", "2000-01-01"], ["-n", "1"]):
        server.complete_up_to = ""
        timer = threading.Timer(0.6, lambda: setattr(server, "complete_up_to", FAR))
        timer.start()
        outcome = run("tail", "-a", "demo", "--until", "1s", *arguments)
        timer.join()
        assert (outcome.status, outcome.err.count("\n")) == (0, 1)
        assert "waiting until all lines of that time have arrived" in outcome.err


def test_filters_travel_as_parameters(server: Any, run: Run) -> None:
    run(
        *("search", "-a", "demo", "-p", "web", "--release", "v3", "--pod", "p", "--container", "c"),
        *("--stream", "stderr", "--grep", "a b&c", "--regex", "x+", "-C", "3", "-A", "0"),
    )
    path, parameters = server.requests[0]
    assert path == "/v1/apps/demo/logs"
    assert parameters == {
        "format": "ndjson",
        "process": "web",
        "release": "v3",
        "pod": "p",
        "container": "c",
        "stream": "stderr",
        "text": "a b&c",
        "regex": "x+",
        "before": "3",
        "order": "desc",
        "limit": "100",
    }


def test_json_is_what_the_logger_gave_with_control_characters_escaped(server: Any, run: Run, row: Row) -> None:
    rows = [row(0, "\x1b[31m\x9b\u202e\x7f tab\t".encode()), row(1, b"\xff\x00"), row(2, context=True)]
    server.rows = rows
    outcome = run("search", "-a", "demo", "-o", "json")
    assert [json.loads(line) for line in outcome.out.splitlines()] == rows
    assert not set(outcome.out.decode()) & {"\x1b", "\x9b", "\u202e", "\x7f"}


def test_a_followed_line_as_json_is_the_same_as_one_of_history(server: Any, run: Run, row: Row) -> None:
    server.rows = [row(number) for number in range(3)]
    server.complete_up_to = FAR
    followed = run("tail", "-a", "demo", "-o", "json", "--since", "2026-11-24T12:00:00Z", "--until", "2098-01-01")
    assert followed.out == run("search", "-a", "demo", "-o", "json").out


def test_apps_are_listed_as_text_and_as_json(server: Any, run: Run) -> None:
    server.apps = [{"app": "demo", "first_time": "2026-01-01T00:00:00Z", "last_time": None, "lines": 3}]
    assert run("apps").out == b"demo\t-\n"
    assert json.loads(run("apps", "-o", "json").out) == server.apps[0]


@pytest.mark.parametrize(
    ("status", "exit_status", "words"),
    [
        (400, 2, "refuses the request: regex: missing )"),
        (401, 1, "a valid token is needed"),
        (403, 1, "may not read this app"),
        (404, 1, "no logger at"),
        (302, 1, "points to http://other.test"),
        (429, 1, "try again later"),
        (503, 1, "try again later"),
        (418, 1, "418"),
    ],
)
@pytest.mark.parametrize("command", [["search"], ["tail"], ["export", "-"]], ids=["search", "tail", "export"])
def test_a_refusal_is_one_line_that_says_what_to_do(
    *, server: Any, run: Run, command: list[str], status: int, exit_status: int, words: str
) -> None:
    server.refusals = [(status, "regex: missing )")]
    outcome = run(*command, "-a", "demo")
    assert outcome.status == exit_status
    assert outcome.out == b""
    assert words in outcome.err
    assert outcome.err.count("\n") == 1


def test_no_logger_is_one_line_and_at_once(run: Run) -> None:
    outcome = run("tail", "-a", "demo", "--url", "http://127.0.0.1:1")
    assert outcome.status == 1
    assert outcome.err == (
        "deis-logs: cannot connect to http://127.0.0.1:1 (Connection refused): is the logger running, is --url right?\n"
    )


def test_an_answer_that_is_no_logger_s_is_told(server: Any, run: Run, row: Row) -> None:
    server.rows = [row(0, time=5)]
    outcome = run("search", "-a", "demo")
    assert outcome.status == 1
    assert "not that of a logger" in outcome.err


def test_a_full_disk_behind_stdout_is_one_line(
    server: Any, run: Run, row: Row, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.rows = [row(0)]
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - its descriptor is what counts
        real = os.write
        monkeypatch.setattr(os, "write", lambda fd, data: real(full.fileno() if fd == 1 else fd, data))
        outcome = run("search", "-a", "demo")
    assert outcome.status == 1
    assert "No space left on device" in outcome.err
