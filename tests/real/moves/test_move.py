"""From the SQLite queue of one machine to Kafka while containers write: the ways that docs/operations.md describes."""

from typing import Any

import pytest

from demo.numbered import find_faults
from demo.stack import wait_until

pytestmark = [pytest.mark.real, pytest.mark.slow]


def test_a_move_to_kafka_in_midstream_loses_doubles_and_reorders_nothing(move: Any, kafka_url: str) -> None:
    move.start("", "agent", "logger")
    app = move.writers.apps[0]
    with move.tail(app) as tailed:
        move.writers.start()
        move.wait_rows(500)
        move.stop("agent")  # what is written from here on waits in its files
        move.wait_drained()
        move.stop("logger")
        before = move.written()
        move.start(kafka_url, "agent", "logger")
        move.wait_rows(before + 500)
        move.writers.stop()
        wanted = sum(move.writers.written(app).values())
        wait_until(lambda: len(tailed()) >= wanted, seconds=60, what="all lines with a tail", every_seconds=0.2)
    assert find_faults(tailed(), move.writers.written(app)) == []
    assert "its queue was replaced" in (move.stack.folder / "tail.err").read_text()
    move.verdict()


def test_a_move_that_is_taken_back_loses_doubles_and_reorders_nothing_either(move: Any, kafka_url: str) -> None:
    move.writers.start()
    for url in ("", kafka_url):
        before = move.written()
        move.start(url, "agent", "logger")
        move.wait_rows(before + 300)
        move.stop("agent")
        move.wait_drained(url)
        move.stop("logger")
    move.start("", "agent", "logger")
    move.wait_rows(move.written() + 100)
    move.verdict()


def test_the_agent_may_go_first_while_the_logger_reads_the_old_queue_to_its_end(move: Any, kafka_url: str) -> None:
    move.start("", "agent", "logger")
    move.writers.start()
    move.wait_rows(500)
    move.stop("logger")
    wait_until(lambda: int(move.command("groups")[0][0][1]) > 10, seconds=60, what="records", every_seconds=0.5)
    move.stack.processes["agent"].kill()  # what it sent last is in both queues
    move.start(kafka_url, "agent")
    before = move.written()
    wait_until(lambda: move.written() > before + 200, seconds=60, what="lines for Kafka alone")
    move.start("", "logger")
    move.wait_drained()
    move.stop("logger")
    move.start(kafka_url, "logger")
    move.verdict()


def test_a_logger_that_left_the_old_queue_too_early_says_what_is_missing_and_can_go_back_for_it(
    move: Any, kafka_url: str
) -> None:
    move.start("", "agent", "logger")
    move.writers.start()
    move.wait_rows(500)
    move.stop("logger")
    wait_until(lambda: int(move.command("groups")[0][0][1]) > 10, seconds=60, what="records", every_seconds=0.5)
    move.stop("agent")
    move.start(kafka_url, "agent", "logger")
    move.wait_metric("logger", "logger_open_gap_bytes", lambda size: size > 0)
    listed, told = move.command("gaps", url=kafka_url)
    assert told.startswith(f"{len(listed)} gaps, {sum(int(row[1]) for row in listed)} bytes; 0 bytes")
    assert move.complete_up_to() == ""
    move.stop("logger")
    move.start("", "logger")
    move.wait_drained()
    move.stop("logger")
    move.start(kafka_url, "logger")
    move.verdict()
    assert move.command("gaps", url=kafka_url) == ([], "0 gaps, 0 bytes; 0 bytes were accepted as lost before\n")
