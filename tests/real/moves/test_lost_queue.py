"""A SQLite queue that is deleted with records in it: what was lost is counted to the byte, and the rest goes on."""

from typing import Any

import pytest

from demo.numbered import find_faults
from demo.stack import wait_until

pytestmark = [pytest.mark.slow]

ENDED, SILENT = 0, 1
"""Writers that write nothing after the loss: one whose container has ended, one that is only quiet."""


def test_what_a_lost_queue_had_is_counted_and_alarmed_and_the_rest_goes_on(quiet_move: Any) -> None:
    move = quiet_move
    writers = range(4)
    move.start("", "agent", "logger")
    for writer in writers:
        move.writers.write(writer, 50)
    move.wait_rows(200)
    move.stop("logger")
    sizes = {path: path.stat().st_size for path in move.stack.pod_logs.rglob("*.log")}
    for writer in writers:
        move.writers.write(writer, 30)
    lost_bytes = sum(path.stat().st_size - sizes[path] for path in sizes)
    wait_until(
        lambda: move.stack.metric("agent", "fluentd_read_bytes_total") == sum(sizes.values()) + lost_bytes,
        seconds=60,
        what="read",
    )
    move.stop("agent")
    for path in move.stack.queue.iterdir():
        path.unlink()
    move.writers.restart(ENDED)
    move.start("", "agent", "logger")
    for writer in writers[2:]:
        move.writers.write(writer, 20)
    move.wait_rows(240)
    move.wait_metric("logger", "logger_open_gaps", lambda gaps: gaps == 4)
    assert move.stack.metric("logger", "logger_open_gap_bytes") == lost_bytes
    assert move.stack.metric("logger", "logger_gap_bytes_total") == lost_bytes
    assert move.complete_up_to() == ""
    listed, _ = move.command("gaps")
    assert sum(int(row[1]) for row in listed) == lost_bytes
    assert move.gap_lines(listed) == [(writer, number) for writer in writers for number in range(50, 80)]
    with move.followers() as followed:
        for writer in writers[2:]:
            move.writers.write(writer, 5)
        _, told = move.command("accept-gap", *[row[0] for row in listed])
        move.wait_metric("logger", "logger_accepted_gap_bytes", lambda size: size == lost_bytes)
        for writer in writers[2:]:
            move.writers.write(writer, 5)
        wait_until(lambda: sum(map(len, followed.values())) >= 260, seconds=60, what="all lines with followers")
    for app, seen in followed.items():
        faults = find_faults(seen, move.writers.written(app))
        assert [fault for fault in faults if not fault.startswith("lost: ")] == []
    move.wait_rows(260)
    move.stack.processes["logger"].kill()
    move.start("", "logger")
    assert told.count("are declared lost") == len({row[0].partition(":")[0] for row in listed})
    move.wait_metric("logger", "logger_accepted_gap_bytes", lambda size: size == lost_bytes)
    wait_until(lambda: bool(move.complete_up_to()), seconds=60, what="completeness", every_seconds=0.2)
    move.stop("agent", "logger")
    assert move.lost_lines() == [(writer, number) for writer in writers for number in range(50, 80)]
