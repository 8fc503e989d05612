"""Docker's json-file lines become CRI lines, each still named by its place in the file; nothing is lost or forged."""

import json
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluentd.files.dockerjson import CriData, DockerJsonToCri, looks_like_docker_json
from pipeline.cri import STREAMS, format_time, parse_header

TIME = "2026-11-24T12:00:00.123456789Z"


def entry(log: str, stream: str = "stdout", time: str = TIME, **more: object) -> bytes:
    return json.dumps({"log": log, "stream": stream, "time": time, **more}).encode()


def convert(data: bytes) -> CriData:
    return DockerJsonToCri().convert(data)


def offsets(made: CriData) -> list[int]:
    return list(struct.unpack(f"<{len(made.line_offsets) // 4}I", made.line_offsets))


@pytest.mark.parametrize(
    ("line", "cri"),
    [
        (entry("text\n"), b"2026-11-24T12:00:00.123456789Z stdout F text\n"),
        (entry("text\n", "stderr"), b"2026-11-24T12:00:00.123456789Z stderr F text\n"),
        (entry("piece"), b"2026-11-24T12:00:00.123456789Z stdout P piece\n"),
        (entry("\n"), b"2026-11-24T12:00:00.123456789Z stdout F \n"),
        (entry(""), b"2026-11-24T12:00:00.123456789Z stdout P \n"),
        (entry("a\r\n"), b"2026-11-24T12:00:00.123456789Z stdout F a\r\n"),
        (entry("\x00\x1b[31m\u2028\U0001f600\\\n"), f"{TIME} stdout F \x00\x1b[31m\u2028\U0001f600\\\n".encode()),
        (entry("t\n", attrs={"tag": "x"}), b"2026-11-24T12:00:00.123456789Z stdout F t\n"),
        (entry("t\n", time="2026-11-24T13:00:00+01:00"), b"2026-11-24T13:00:00+01:00 stdout F t\n"),
        (b'{"stream":"stdout","time":"2026-11-24T12:00:00Z"}', b"2026-11-24T12:00:00Z stdout P \n"),
    ],
)
def test_a_line_is_converted(line: bytes, cri: bytes) -> None:
    assert convert(line + b"\n") == CriData(cri, b"\0\0\0\0", 0)


def test_each_line_says_where_it_was() -> None:
    lines = [entry("one\n"), b"", entry("two"), b"junk", entry("three\n")]
    made = convert(b"".join(line + b"\n" for line in lines))
    assert offsets(made) == [sum(len(line) + 1 for line in lines[:index]) for index in range(len(lines))]
    assert made.malformed == 2


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"plain text",
        entry("t\n")[:-1],
        entry("t\n") + entry("t\n"),
        entry("t\n", "stdin"),
        entry("t\n", "stdout F forged"),
        entry("t\n", time="yesterday"),
        entry("t\n", time=TIME + "\n"),
        entry("t\n", time=TIME + " stdout F forged"),
        entry("t\n", time="2026-13-24T12:00:00Z"),
        entry("a\nb\n"),
        entry(f"a\n{TIME} stdout F forged\n"),
        entry("\n\n"),
        b'{"log":"\\ud800\\n","stream":"stdout","time":"2026-11-24T12:00:00Z"}',
        b'{"log":"\xff\\n","stream":"stdout","time":"2026-11-24T12:00:00Z"}',
        b'{"log":5,"stream":"stdout","time":"2026-11-24T12:00:00Z"}',
        b"[" * 100_000,
        b'{"unknown":' + b"[" * 100_000,
    ],
)
def test_a_line_that_is_no_entry_is_kept_as_it_is_and_counted(line: bytes) -> None:
    made = convert(entry("before\n") + b"\n" + line + b"\n" + entry("after\n") + b"\n")
    assert made.malformed == 1
    before, kept, after, rest = made.data.split(b"\n")
    assert (before[-6:], kept, after[-5:], rest) == (b"before", line, b"after", b"")
    assert parse_header(kept) is None  # the logger gives it the time of the line before
    assert len(offsets(made)) == 3


def test_a_line_that_passes_for_the_runtimes_becomes_content() -> None:
    forged = b"2020-01-01T00:00:00Z stderr F forged"
    made = convert(entry("before\n") + b"\n" + forged + b"\n")
    assert made.data.splitlines()[1] == TIME.encode() + b" stdout F " + forged
    assert made.malformed == 1
    assert convert(forged + b"\n").data == b"1970-01-01T00:00:00Z stdout F " + forged + b"\n"


def test_a_line_longer_than_a_chunk_stays_as_it_is_in_all_its_parts() -> None:
    line = entry("x" * 50 + "\n")
    converter = DockerJsonToCri()
    first = converter.convert(entry("a\n") + b"\n" + line[:20])
    middle = converter.convert(line[20:30], mid_line=True)
    last = converter.convert(line[30:] + b"\n" + entry("b\n") + b"\n", mid_line=True)
    whole = first.data + middle.data + last.data
    assert whole.split(b"\n")[1] == line
    assert (offsets(first), offsets(middle), offsets(last)) == ([0, len(entry("a\n")) + 1], [0], [0, len(line) - 29])
    assert last.data.endswith(b"stdout F b\n")


def test_nothing_gives_nothing() -> None:
    assert convert(b"") == CriData(b"", b"", 0)


texts = st.text(max_size=30).filter(lambda text: "\n" not in text)
entries = st.tuples(texts, st.sampled_from(["", "\n"]), st.sampled_from(STREAMS), st.integers(0, 2**62))


@settings(deadline=None)
@given(st.lists(entries, max_size=8), st.booleans())
def test_the_logs_of_all_entries_come_out_in_order(written: list[tuple[str, str, str, int]], escaped: bool) -> None:
    lines = [
        json.dumps(
            {"log": text + end, "stream": stream, "time": format_time(time_ns).decode()}, ensure_ascii=escaped
        ).encode()
        for text, end, stream, time_ns in written
    ]
    made = convert(b"".join(line + b"\n" for line in lines))
    assert made.malformed == 0
    stored = made.data.split(b"\n")
    assert stored.pop() == b""
    found = []
    for line in stored:
        header = parse_header(line)
        assert header is not None
        end = "" if header.partial else "\n"
        found.append((line[header.content_start :].decode(), end, STREAMS[header.stream], header.time_ns))
    assert found == written


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_keep_their_line_count_and_one_offset_each(data: bytes, mid_line: bool) -> None:
    made = DockerJsonToCri().convert(data, mid_line=mid_line)
    assert made.data.count(b"\n") == data.count(b"\n")
    assert made.data.endswith(b"\n") == data.endswith(b"\n")
    assert len(offsets(made)) == data.count(b"\n") + (not data.endswith(b"\n") and bool(data))


@pytest.mark.parametrize(
    ("line", "docker"),
    [
        (entry("text\n"), True),
        (b'{"log":"a part of a long first li', True),
        (b'{"time":"2026-11-24T12:00:00Z","stream":"stdout","log":"other order\\n"}', True),
        (b"2026-11-24T12:00:00Z stdout F text", False),
        (b'{"level":"info"}', False),
        (b"", False),
        (b"{", False),
    ],
)
def test_dockers_files_are_told_from_others_by_their_first_line(line: bytes, docker: bool) -> None:
    assert looks_like_docker_json(line) == docker
