"""The command as a process: pipes, signals, statuses, colours, and what is wrong with a command line."""

import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from deis_logs.output import use_colour

Run = Callable[..., Any]
Row = Callable[..., dict[str, Any]]
ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "deis_logs"]
WAIT_SECONDS = 20.0


@contextmanager
def started(*arguments: str, url: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    env = {**os.environ, "DEIS_LOGS_URL": url, "TERM": "xterm"}
    env.pop("NO_COLOR", None)
    with subprocess.Popen([*COMMAND, *arguments], stderr=subprocess.PIPE, env=env, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_follow_writes_at_once_and_ends_quietly_when_its_reader_goes(server: Any, row: Row) -> None:
    server.rows = [row(0)]
    with started("tail", "-a", "demo", url=server.url, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline().endswith(b"| line 0\n")
        process.stdout.close()  # no line comes after that: the closed pipe itself ends it
        assert process.wait(WAIT_SECONDS) == 0
        assert process.stderr
        assert process.stderr.read() == b""


@pytest.mark.parametrize("flood", [False, True], ids=["waiting for lines", "blocked in a write"])
def test_ctrl_c_ends_a_follow_with_130_and_without_a_word(server: Any, row: Row, flood: bool) -> None:
    server.rows = [row(number, b"x" * 5000) for number in range(200 if flood else 1)]
    with started("tail", "-a", "demo", "-n", "200", url=server.url, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.read(10)
        if flood:
            wait_full(process.stdout.fileno())
        process.send_signal(signal.SIGINT)
        assert process.wait(WAIT_SECONDS) == 130
        assert process.stderr
        assert process.stderr.read() == b""


def wait_full(pipe: int) -> None:
    """Wait until a pipe holds all that it can hold."""
    size = fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ)
    for _ in range(int(WAIT_SECONDS * 100)):
        held = int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)
        if held > size - 8192:
            return
        select.select([], [], [], 0.01)
    raise AssertionError("the pipe does not fill")


@pytest.mark.parametrize(
    ("arguments", "status"), [(["search", "-a", "demo"], 0), (["export", "-a", "demo"], 1)], ids=["search", "export"]
)
def test_a_closed_stdout_is_quiet_and_an_export_says_that_it_is_not_complete(
    server: Any, row: Row, arguments: list[str], status: int
) -> None:
    server.rows = [row(0)]
    read, write = os.pipe()
    os.close(read)
    with started(*arguments, url=server.url, stdout=write) as process:
        os.close(write)
        assert process.wait(WAIT_SECONDS) == status
        assert process.stderr
        words = process.stderr.read()
        assert (b"before the export was complete" in words) is (status == 1)
        assert b"Traceback" not in words


def on_terminal(*arguments: str, url: str) -> str:
    """Run the command with a terminal as its stdout; returns what it prints there."""
    ours, theirs = pty.openpty()
    with started(*arguments, url=url, stdout=theirs) as process:
        os.close(theirs)
        printed = b""
        try:
            while data := os.read(ours, 4096):
                printed += data
        except OSError:  # the terminal's other side is closed
            pass
        os.close(ours)
        assert process.wait(WAIT_SECONDS) == 0
    return printed.decode()


def test_on_a_terminal_labels_are_coloured_matches_marked_and_lines_harmless(server: Any, row: Row) -> None:
    server.rows = [row(0, b"\x1b]0;owned\x07 needle \x1b[2J\r")]
    printed = on_terminal("search", "-a", "demo", "--grep", "needle", url=server.url)
    assert re.search(r"\x1b\[\d+mweb\.x7k2p\x1b\[0m \|", printed)
    assert "\x1b[1;31mneedle\x1b[0m" in printed
    assert "\\x1b]0;owned\\x07" in printed
    assert set(re.findall(r"\x1b[^m]*m?", printed)) <= {"\x1b[0m", "\x1b[2m", "\x1b[1;31m"} | {
        f"\x1b[{shade}m" for shade in (*range(32, 37), *range(92, 97))
    }


def test_apps_on_a_terminal_are_a_table(server: Any) -> None:
    server.apps = [{"app": "de\x1bmo", "first_time": "2026-01-01T00:00:00Z", "last_time": "x", "lines": 1234}]
    printed = on_terminal("apps", url=server.url)
    assert "LAST LINE" in printed
    assert "de\\x1bmo" in printed
    assert "1,234" in printed


def test_a_pipe_gets_no_colour_unless_told(server: Any, row: Row, run: Run) -> None:
    server.rows = [row(0)]
    assert b"\x1b" not in run("search", "-a", "demo").out
    assert b"\x1b[" in run("search", "-a", "demo", "--color", "always").out
    assert b"\x1b" not in run("search", "-a", "demo", "--color", "never").out


@pytest.mark.parametrize(
    ("choice", "env", "terminal", "colour"),
    [
        ("auto", {}, True, True),
        ("auto", {}, False, False),
        ("auto", {"NO_COLOR": "1"}, True, False),
        ("auto", {"NO_COLOR": ""}, True, True),
        ("auto", {"TERM": "dumb"}, True, False),
        ("always", {"NO_COLOR": "1"}, False, True),
        ("never", {}, True, False),
    ],
)
def test_when_there_is_colour(choice: str, env: dict[str, str], terminal: bool, colour: bool) -> None:
    assert use_colour(choice, env, terminal=terminal) is colour


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tail", "-a", "demo", "--since", "soon"], "--since"),
        (["search", "-a", "demo", "--until", "5 minutes"], "--until"),
        (["search", "-a", "demo", "--since", "5m", "--until", "10m"], "--until"),
        (["tail", "-a", "demo", "-n", "-1"], "-n"),
        (["tail", "-a", "demo", "-n", "10001"], "-n"),
        (["tail", "-a", "demo", "-n", "5", "--since", "5m"], "-n"),
        (["search", "-a", "demo", "--limit", "0"], "--limit"),
        (["search", "-a", "demo", "-C", "2"], "-A/-B/-C"),
        (["search", "-a", "demo", "--grep", "x", "-A", "1001"], "-A"),
        (["search", "-a", "demo", "--grep", "x" * 2001], "--grep"),
        (["search", "-a", "demo", "--regex", "x" * 2001], "--regex"),
        (["search", "-a", "demo", "--grep", "\udcff"], "--grep"),
        (["search", "-a", "demo", "-p", ""], "--process"),
        (["search", "-a", "demo", "-p", "\udcff"], "--process"),
        (["search", "-a", "demo", *["--pod", "p"] * 60, *[f"--pod={n}" for n in range(60)]], "--pod"),
        (["search", "-a", "demo", "--stream", "both"], "--stream"),
        (["search", "-a", "demo", "-o", "csv"], "-o"),
        (["search", "-a", "../x"], "--app"),
        (["search", "-a", ""], "--app"),
        (["search", "-a", "demo", "--url", "nowhere"], "--url"),
        (["search", "-a", "demo", "--token-file", "/gone"], "--token-file"),
        (["search", "-a", "demo", "--token-file", "/dev/null"], "--token-file"),
        (["export", "-a", "demo", "--resume"], "--resume"),
        (["export", "-a", "demo", "one", "two"], "two"),
        (["tale"], "tale"),
        ([], "Usage"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_wrong_usage_ends_with_2_names_the_option_and_asks_nobody(
    server: Any, run: Run, arguments: list[str], words: str
) -> None:
    outcome = run(*arguments)
    assert outcome.status == 2
    assert words in outcome.err + outcome.out.decode()
    assert "Traceback" not in outcome.err
    assert server.requests == []


def test_help_loads_neither_the_network_nor_rich() -> None:
    check = (
        "import sys; from deis_logs.__main__ import main; assert main(['tail', '--help']) == 0;"
        "print(*sorted({'aiohttp', 'rich', 'numpy', 'pyarrow', 'uvloop'} & set(sys.modules)),"
        "file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, check=True)
    assert done.stderr.strip() == b""


def test_the_wrapper_runs_through_a_link_and_says_when_it_is_not_set_up(tmp_path: Path) -> None:
    (tmp_path / "linked").symlink_to(ROOT / "deis-logs")
    done = subprocess.run([tmp_path / "linked", "--help"], capture_output=True, check=False)
    assert (done.returncode, b"Usage: deis-logs" in done.stdout) == (0, True)
    (tmp_path / "copy").write_bytes((ROOT / "deis-logs").read_bytes())
    (tmp_path / "copy").chmod(0o755)
    done = subprocess.run([tmp_path / "copy", "--help"], capture_output=True, check=False)
    assert done.returncode == 1
    assert b"make -C" in done.stderr
