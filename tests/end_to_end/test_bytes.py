"""Bytes come out as they went in: `deis-logs export -o raw` gives what the container wrote, whatever that was."""

import hashlib
import os
import random
import subprocess
import sys
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


def export(stack: Stack, app: str, target: Path) -> None:
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


def digest(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()


@pytest.mark.slow
def test_exported_bytes_equal_what_was_written(tmp_path: Path) -> None:
    container = Container("odd", "odd-web-abc-x1", "uid-1", "odd-web")
    expected = tmp_path / "expected"
    with Stack(tmp_path / "stack") as stack, expected.open("wb") as file:
        log = ContainerLog(stack.pod_logs, container, rotate_bytes=0)

        def write(content: bytes, *, stream: int = STDOUT) -> None:
            log.write(content, stream=stream)
            file.write(content + b"\n")

        for content in ODD_LINES.values():
            write(content)
            write(content, stream=STDERR)
        long_line = random.Random(1).randbytes(MIB).replace(b"\n", b"_") * (LONG_LINE_BYTES // MIB)
        write(long_line)
        write(b"after the long line in pieces")
        log.write_stored(format_time(1_800_000_000_000_000_000) + b" stdout F " + long_line + b"\n")
        file.write(long_line + b"\n")
        write(b"last")
        log.close()
        agent = stack.start("agent")
        stack.start("logger")
        stack.wait_ready("agent", "logger", seconds=60)
        wait_until(lambda: b": last\n" in last_lines(stack), seconds=300, what="the last line")
        file.flush()
        target = tmp_path / "head"
        export(stack, "odd", target)
        assert digest(target) == digest(expected), first_difference(target, expected)
        # Once more, from the table alone.
        assert stack.processes["logger"].stop(120).status == 0, stack.last_words()
        stack.start("logger")
        stack.wait_ready("logger", seconds=60)
        export(stack, "odd", target)
        assert digest(target) == digest(expected), first_difference(target, expected)
        ended = agent.stop()
        assert ended.peak_rss_bytes < AGENT_RSS_BYTES


def last_lines(stack: Stack) -> bytes:
    return stack.get("logger", "/logs/odd?log_lines=1").body


def first_difference(found: Path, expected: Path) -> str:
    a, b = found.read_bytes(), expected.read_bytes()
    blocks = range(0, min(len(a), len(b)), MIB)
    at = next((index for index in blocks if a[index : index + MIB] != b[index : index + MIB]), len(blocks) * MIB)
    while at < min(len(a), len(b)) and a[at] == b[at]:
        at += 1
    return (
        f"{len(a)} bytes for {len(b)}; at {at}: {a[max(0, at - 40) : at + 40]!r} for {b[max(0, at - 40) : at + 40]!r}"
    )
