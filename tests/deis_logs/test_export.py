"""An export is complete or can be resumed: after a lost connection, and after a crash at any step."""

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deis_logs import backoff, destination, export
from deis_logs.export import next_limit
from deis_logs.history import PAGE_LINES
from deis_logs.record import resume_path

Run = Callable[..., Any]
Row = Callable[..., dict[str, Any]]
COUNT = 20


class CrashError(BaseException):
    """The process ends here, without any clean-up that matters."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses of a millisecond; a first page of a few lines."""
    monkeypatch.setattr(backoff, "FIRST_SECONDS", 0.001)
    monkeypatch.setattr(export, "FIRST_PAGE_LINES", 3)


@pytest.fixture
def rows(server: Any, row: Row) -> list[dict[str, Any]]:
    """Lines of which some come in several rows, one is not UTF-8, and one is empty."""
    server.page_lines = 3
    server.rows = [row(number) for number in range(COUNT)]
    for first in (2, 7):  # a line of three rows, across the end of a page
        for number in range(3):
            server.rows[first + number] = row(first, f"part {number} ".encode(), continuation=number)
    server.rows[11] = row(11, b"\xff\xfe\x00\r\x1b[31m")
    server.rows[12] = row(12) | {"message": ""}
    return server.rows


def expected_raw(row: Row) -> bytes:
    texts = [f"line {number}\n".encode() for number in range(COUNT)]
    for first in (2, 7):
        texts[first : first + 3] = [b"part 0 part 1 part 2 \n", b"", b""]
    texts[11] = b"\xff\xfe\x00\r\x1b[31m\n"
    texts[12] = b"\n"
    return b"".join(texts)


def test_raw_is_byte_for_byte_what_was_written_and_nothing_is_left_beside(
    run: Run, rows: Any, row: Row, tmp_path: Path
) -> None:
    outcome = run("export", "-a", "demo", str(tmp_path / "out"), "-o", "raw")
    assert outcome.status == 0
    assert (tmp_path / "out").read_bytes() == expected_raw(row)
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "out"]
    assert outcome.out == b""
    assert "20 lines" in outcome.err


@pytest.mark.parametrize("arguments", [["-"], []], ids=["dash", "nothing"])
def test_stdout_takes_an_export(run: Run, rows: Any, row: Row, arguments: list[str]) -> None:
    assert run("export", "-a", "demo", "-o", "raw", *arguments).out == expected_raw(row)


@pytest.mark.parametrize("output", ["text", "json", "raw", "csv"])
@pytest.mark.parametrize("target", ["file", "-"])
def test_pages_that_break_off_leave_no_gap_and_no_double(
    *, server: Any, run: Run, rows: Any, tmp_path: Path, output: str, target: str
) -> None:
    whole = run("export", "-a", "demo", "-o", output).out
    server.cut_pages = 4
    file = tmp_path / "out"
    outcome = run("export", "-a", "demo", "-o", output, "-" if target == "-" else str(file))
    assert outcome.status == 0
    assert (outcome.out if target == "-" else file.read_bytes()) == whole


def steps_of(monkeypatch: pytest.MonkeyPatch, crash_at: int) -> list[int]:
    """Count the steps that reach the disk, and crash before number `crash_at`; none comes after it."""
    count = [0]

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **options: Any) -> Any:
            count[0] += 1
            if count[0] >= crash_at:  # a process that is gone does nothing more
                raise CrashError
            return real(*arguments, **options)

        return step

    monkeypatch.setattr(os, "fsync", counted(os.fsync))
    monkeypatch.setattr(Path, "replace", counted(Path.replace))
    monkeypatch.setattr(Path, "unlink", counted(Path.unlink))
    return count


@pytest.mark.parametrize("output", ["raw", "csv", "text"])
def test_an_export_that_crashed_at_any_step_resumes_to_the_same_bytes(
    run: Run, rows: Any, tmp_path: Path, output: str
) -> None:
    whole = run("export", "-a", "demo", "-o", output).out
    crash_at = 0
    crashed = True
    while crashed:
        crash_at += 1
        file = tmp_path / f"{output}{crash_at}"
        with pytest.MonkeyPatch.context() as patch:
            steps_of(patch, crash_at)
            try:
                run("export", "-a", "demo", "-o", output, str(file))
                crashed = False
            except CrashError:
                pass
        if file.exists() and not resume_path(file).exists():
            assert file.read_bytes() == whole  # complete, and nothing to resume
            continue
        assert run("export", "-a", "demo", "-o", output, str(file), "--resume").status == 0
        assert file.read_bytes() == whole
        assert not resume_path(file).exists()
    assert crash_at > 20  # it did crash at many steps


def test_a_record_never_tells_of_bytes_that_a_power_failure_could_take(
    run: Run, rows: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "out"
    durable, told = [0], []
    real_sync, real_replace = os.fsync, Path.replace

    def sync(fd: int) -> None:
        real_sync(fd)
        if Path(f"/proc/self/fd/{fd}").readlink() == file:
            durable[0] = os.fstat(fd).st_size

    def replace(path: Path, target: Path) -> Path:
        told.append(json.loads(path.read_bytes())["place"]["size_bytes"])
        assert told[-1] <= durable[0]
        return real_replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", sync)
        patch.setattr(Path, "replace", replace)
        assert run("export", "-a", "demo", "-o", "raw", str(file)).status == 0
    assert len(told) > 5
    assert durable[0] == file.stat().st_size


def test_an_answer_that_ends_inside_a_line_is_asked_for_again(server: Any, run: Run, rows: Any, row: Row) -> None:
    server.torn_pages = 3
    assert run("export", "-a", "demo", "-o", "raw").out == expected_raw(row)


def test_an_export_that_never_began_leaves_nothing_behind(server: Any, run: Run, rows: Any, tmp_path: Path) -> None:
    server.refusals = [(503, "starting")]
    assert run("export", "-a", "demo", str(tmp_path / "out")).status == 1
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    assert run("export", "-a", "demo", str(tmp_path / "out")).status == 0


def test_an_export_of_nothing_is_an_empty_file(run: Run, tmp_path: Path) -> None:
    assert run("export", "-a", "demo", str(tmp_path / "out")).status == 0
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["home", "out"]
    assert (tmp_path / "out").read_bytes() == b""


def test_a_disk_that_is_full_is_one_line_and_the_export_can_be_resumed(
    run: Run, rows: Any, row: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "out"
    real, calls = os.fsync, iter(range(100))

    def full(fd: int) -> None:
        if next(calls) == 10:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        outcome = run("export", "-a", "demo", "-o", "raw", str(file))
    assert (outcome.status, outcome.err.count("\n")) == (1, 1)
    assert "No space left" in outcome.err
    assert run("export", "-a", "demo", "-o", "raw", str(file), "--resume").status == 0
    assert file.read_bytes() == expected_raw(row)


def test_bytes_after_the_last_complete_page_are_cut_off(run: Run, rows: Any, row: Row, tmp_path: Path) -> None:
    file = interrupted(run, tmp_path)
    with file.open("ab") as more:
        more.write(b"half a page" * 1000)
    assert run("export", "-a", "demo", "-o", "raw", str(file), "--resume").status == 0
    assert file.read_bytes() == expected_raw(row)


def interrupted(run: Run, folder: Path, *arguments: str) -> Path:
    """Leave an export that crashed in the middle."""
    file = folder / "out"
    with pytest.MonkeyPatch.context() as patch:
        steps_of(patch, 9)
        with pytest.raises(CrashError):
            run("export", "-a", "demo", "-o", "raw", str(file), *arguments)
    assert file.stat().st_size > 0
    return file


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-a", "other", "-o", "raw"], "begun with --app 'demo', not 'other'"),
        (["-a", "demo", "-o", "text"], "begun with --output 'raw', not 'text'"),
        (["-a", "demo", "-o", "raw", "--grep", "x"], "begun with --grep '', not 'x'"),
        (["-a", "demo", "-o", "raw", "--since", "5m"], "begun with --since '', not '5m'"),
    ],
    ids=["app", "output", "filter", "range"],
)
def test_another_export_does_not_go_on_in_this_file(
    run: Run, rows: Any, tmp_path: Path, arguments: list[str], words: str
) -> None:
    file = interrupted(run, tmp_path)
    before = file.read_bytes()
    outcome = run("export", *arguments, str(file), "--resume")
    assert outcome.status == 2
    assert words in outcome.err
    assert file.read_bytes() == before


def test_durations_count_from_the_first_start(server: Any, run: Run, rows: Any, tmp_path: Path) -> None:
    file = interrupted(run, tmp_path, "--since", "9999d")
    first = server.requests[0][1]["since"]
    assert run("export", "-a", "demo", "-o", "raw", str(file), "--resume", "--since", "9999d").status == 0
    assert {parameters["since"] for _, parameters in server.requests} == {first}


def test_a_file_that_is_there_is_never_overwritten(run: Run, rows: Any, tmp_path: Path) -> None:
    file = tmp_path / "out"
    file.write_text("mine")
    for arguments in ([], ["--resume"]):
        outcome = run("export", "-a", "demo", str(file), *arguments)
        assert outcome.status == 2
        assert str(file) in outcome.err
    assert file.read_text() == "mine"


def test_a_file_shorter_than_its_record_is_told(run: Run, rows: Any, tmp_path: Path) -> None:
    file = interrupted(run, tmp_path)
    file.write_bytes(b"")
    outcome = run("export", "-a", "demo", "-o", "raw", str(file), "--resume")
    assert outcome.status == 1
    assert "begin again" in outcome.err


@pytest.mark.parametrize("content", ["", "{}", '{"version":2,"typed":{},"parameters":[]}', "\udcff"])
def test_a_record_that_is_none_is_told(run: Run, rows: Any, tmp_path: Path, content: str) -> None:
    file = interrupted(run, tmp_path)
    resume_path(file).write_bytes(content.encode("utf-8", "surrogateescape"))
    outcome = run("export", "-a", "demo", "-o", "raw", str(file), "--resume")
    assert outcome.status == 1
    assert "out.resume" in outcome.err


def test_two_exports_do_not_write_one_file(run: Run, rows: Any, tmp_path: Path) -> None:
    file = interrupted(run, tmp_path)
    held = destination._open_locked(file, os.O_RDWR)
    try:
        outcome = run("export", "-a", "demo", "-o", "raw", str(file), "--resume")
    finally:
        held.close()
    assert outcome.status == 1
    assert "being written by another export" in outcome.err


def test_a_folder_that_is_not_there_is_one_line(run: Run, rows: Any, tmp_path: Path) -> None:
    outcome = run("export", "-a", "demo", str(tmp_path / "no" / "out"))
    assert outcome.status == 1
    assert outcome.err.count("\n") == 1
    assert "No such file or directory" in outcome.err


def test_a_cursor_that_stands_still_is_told(server: Any, run: Run, row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    server.rows = [row(number) for number in range(5)]
    server.page_lines = 0
    outcome = run("export", "-a", "demo")
    assert outcome.status == 1
    assert "does not move" in outcome.err


def test_pages_grow_to_their_size_and_shrink_for_large_lines() -> None:
    assert next_limit(500, 100_000) == 1000
    assert next_limit(8000, 1_000_000) == PAGE_LINES
    assert next_limit(10_000, 80 * 2**20) == 1000
    assert next_limit(1, 2**30) == 1


@pytest.mark.parametrize("kill_after", [1, 4])
def test_a_killed_process_s_export_resumes(
    *, server: Any, run: Run, rows: Any, row: Row, tmp_path: Path, kill_after: int
) -> None:
    file = tmp_path / "out"
    server.kill_after = kill_after + 1
    with subprocess.Popen(
        [sys.executable, "-m", "deis_logs", "export", "-a", "demo", "-o", "raw", str(file), "--url", server.url],
        stderr=subprocess.DEVNULL,
    ) as process:
        server.victims.put(process)
        assert process.wait(20) == -signal.SIGKILL
    assert run("export", "-a", "demo", "-o", "raw", str(file), "--resume").status == 0
    assert file.read_bytes() == expected_raw(row)
