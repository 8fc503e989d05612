"""Bytes come out as they went in: `deis-logs export -o raw` gives what the container wrote, whatever that was."""

import hashlib
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from demo.containers import Container, ContainerLog
from demo.stack import Stack, wait_until
from pipeline.cri import STDERR, STDOUT, format_time

MIB = 1024 * 1024
LONG_LINE_BYTES = 100_000_000
AGENT_RSS_BYTES = 160 * MIB
"""A line of 100 MB must not be held as a whole."""

ODD_LINES = {
    "empty": b"",
    "space": b" ",
    "spaces at both ends": b"  a  ",
    "carriage returns": b"\rloading\r50%\r100%\r",
    "NUL": b"a\0b\0",
    "ANSI": b"\x1b[31mred\x1b[0m \x1b]0;title\x07",
    "invalid UTF-8": b"\xff\xfe\x80 caf\xe9 \xc3",
    "cut UTF-8": "€".encode()[:2],
    "surrogate": b"\xed\xa0\x80",
    "vertical tab, form feed, NEL, LS": b"\x0b \x0c \x85 \xe2\x80\xa8",
    "looks like a header": b"2026-11-24T12:00:00Z stdout F nested",
    "all bytes": bytes(byte for byte in range(256) if byte != ord("\n")),
    "looks like a piece": b"P",
    "a megabyte": b"m" * MIB,
    "a megabyte and one": b"n" * (MIB + 1),
    "replacement character": "�".encode(),
}


def make_log(stack: Stack, app: str) -> ContainerLog:
    container = Container(app, f"{app}-web-abc-x1", f"uid-{app}", f"{app}-web")
    return ContainerLog(stack.pod_logs, container, rotate_bytes=0)


def export(stack: Stack, app: str, expected: Path) -> None:
    """Export an app, and hold it against the file of what was written."""
    target = stack.folder / f"{app}.exported"
    with target.open("wb") as file:
        done = subprocess.run(
            [sys.executable, "-m", "deis_logs", "export", "-a", app, "-o", "raw"],
            env={**os.environ, "DEIS_LOGS_URL": stack.url("logger")},
            stdout=file,
            stderr=subprocess.PIPE,
            cwd=stack.folder,
            timeout=300,
            check=False,
        )
    assert done.returncode == 0, done.stderr.decode()
    assert digest(target) == digest(expected), first_difference(target, expected)


def digest(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()


def wait_for_rows(stack: Stack, app: str, rows: int) -> None:
    # By number, not by the last line: asking for a line of 100 MB many times would take longer than the test.
    wait_until(lambda: rows_of(stack, app) >= rows, seconds=300, what=f"{rows} rows of {app}", every_seconds=0.2)


def rows_of(stack: Stack, app: str) -> int:
    answer = stack.get("logger", "/v1/apps")
    assert answer.status == 200, answer
    return sum(found["lines"] for found in json.loads(answer.body)["apps"] if found["app"] == app)


def restart_logger(stack: Stack) -> None:
    """Afterwards it answers from the table alone."""
    assert stack.processes["logger"].stop(120).status == 0, stack.last_words()
    stack.start("logger")
    stack.wait_ready("logger", seconds=60)


@pytest.mark.slow
def test_exported_bytes_equal_what_was_written(tmp_path: Path) -> None:
    expected = tmp_path / "expected"
    contents = [content for content in ODD_LINES.values() for _ in range(2)]
    expected.write_bytes(b"".join(content + b"\n" for content in contents))
    with Stack(tmp_path / "stack") as stack:
        log = make_log(stack, "odd")
        for number, content in enumerate(contents):
            log.write(content, stream=STDERR if number % 2 else STDOUT)
        log.close()
        stack.start("agent")
        stack.start("logger")
        stack.wait_ready("agent", "logger", seconds=60)
        wait_for_rows(stack, "odd", len(contents))
        export(stack, "odd", expected)
        restart_logger(stack)
        export(stack, "odd", expected)


@pytest.mark.slow
@pytest.mark.parametrize("in_pieces", [True, False], ids=["in pieces", "as one stored line"])
def test_a_line_of_100_mb_comes_out_whole_and_the_agent_never_holds_it(tmp_path: Path, in_pieces: bool) -> None:
    # Random bytes: no valid UTF-8, and nothing that compression could make small.
    long_line = random.Random(1).randbytes(MIB).replace(b"\n", b"_") * (LONG_LINE_BYTES // MIB)
    expected = tmp_path / "expected"
    expected.write_bytes(b"before\n" + long_line + b"\nafter\n")
    with Stack(tmp_path / "stack") as stack:
        log = make_log(stack, "long")
        log.write(b"before")
        if in_pieces:
            log.write(long_line)
        else:
            log.write_stored(format_time(time.time_ns()) + b" stdout F " + long_line + b"\n")
        log.write(b"after")
        log.close()
        agent = stack.start("agent")
        stack.start("logger")
        stack.wait_ready("agent", "logger", seconds=60)
        wait_for_rows(stack, "long", 2 + LONG_LINE_BYTES // MIB)
        assert agent.stop().peak_rss_bytes < AGENT_RSS_BYTES
        restart_logger(stack)
        export(stack, "long", expected)


def first_difference(found: Path, expected: Path) -> str:
    a, b = found.read_bytes(), expected.read_bytes()
    blocks = range(0, min(len(a), len(b)), MIB)
    at = next((index for index in blocks if a[index : index + MIB] != b[index : index + MIB]), len(blocks) * MIB)
    while at < min(len(a), len(b)) and a[at] == b[at]:
        at += 1
    return (
        f"{len(a)} bytes for {len(b)}; at {at}: {a[max(0, at - 40) : at + 40]!r} for {b[max(0, at - 40) : at + 40]!r}"
    )
