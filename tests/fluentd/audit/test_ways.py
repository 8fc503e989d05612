"""Writing, following and asking: what each does with a line, without a network."""

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from fluentd.audit.answers import AnswerJudge, Question
from fluentd.audit.client import Answer, AnswerError, Row, parse_time
from fluentd.audit.judge import NS, Judge, Patience
from fluentd.audit.stamp import Stamp, format_stamp, parse_stamp
from fluentd.audit.ways import Asker, Follower, Writer
from pipeline.errors import FatalError
from pipeline.service import Health

if TYPE_CHECKING:
    from conftest import Figures

RUN, OTHER_RUN = "0" * 16, "1" * 16
PATIENCE = Patience(settle_ns=1 * NS, wait_ns=60 * NS, late_ns=60 * NS)
NOW_NS = 1_000 * NS


def line(sequence: int, *, run: str = RUN) -> str:
    return format_stamp(Stamp(run, sequence, NOW_NS - 3 * NS), line_bytes=100)


def expecting(lines: int) -> Judge:
    judge = Judge(PATIENCE)
    for sequence in range(lines):
        judge.written(sequence, NOW_NS - 3 * NS)
    return judge


def make_follower(judge: Judge, figures: "Figures") -> Follower:
    return Follower(run=RUN, judge=judge, client=None, metrics=figures.metrics, health=Health(), clock=lambda: NOW_NS)


def make_asker(judge: Judge, figures: "Figures", *, age_seconds: float = 0.0) -> Asker:
    return Asker(
        "query",
        run=RUN,
        judge=AnswerJudge(judge),
        client=None,
        metrics=figures.metrics,
        health=Health(),
        every_seconds=1,
        age_seconds=age_seconds,
        clock=lambda: NOW_NS,
    )


def test_a_followed_line_is_counted_and_timed_and_a_copy_is_a_duplicate(figures: "Figures") -> None:
    follower = make_follower(expecting(2), figures)
    for _ in range(2):
        follower.take(Row(message=line(0)))
    assert figures.value("seen_lines_total", "follow") == 1
    assert figures.value("duplicated_lines_total", "follow") == 1
    assert figures.value("latency_seconds_sum", "follow") == 3.0
    assert figures.value("latency_seconds_count", "follow") == 1


@pytest.mark.parametrize("message", [line(0)[:-1], line(0).replace("A", "B"), line(0, run=OTHER_RUN), f"x{line(0)}"])
def test_a_line_that_is_not_as_it_was_written_is_unexpected_and_the_true_one_is_still_waited_for(
    message: str, figures: "Figures"
) -> None:
    judge = expecting(1)
    make_follower(judge, figures).take(Row(message=message))
    assert figures.value("unexpected_lines_total", "follow", reason="altered") == 1
    assert judge.waiting.keys() == {0}


def test_a_watermark_decides_what_is_missing_and_a_line_that_comes_after_all_is_late(figures: "Figures") -> None:
    judge = expecting(1)
    follower = make_follower(judge, figures)
    follower.take(Row(type="watermark"))
    assert not judge.missing
    follower.take(Row(type="watermark", complete_up_to="1970-01-01T00:16:39.999000000Z"))
    assert judge.given_up.total() == 1
    follower.take(Row(message=line(0)))
    assert judge.given_up.total() == 0
    assert figures.value("late_lines_total", "follow") == 1
    assert figures.value("seen_lines_total", "follow") == 0


def test_an_end_is_an_error_that_names_the_reason(figures: "Figures") -> None:
    with pytest.raises(AnswerError, match="slow client") as raised:
        make_follower(expecting(0), figures).take(Row(type="end", reason="slow client"))
    assert raised.value.reason == "ended"


def test_what_a_new_queue_sends_again_is_no_double_and_what_comes_twice_after_it_is(figures: "Figures") -> None:
    judge = expecting(2)
    follower = make_follower(judge, figures)
    follower.take(Row(message=line(0)))
    follower._begin_anew()
    judge.written(2, NOW_NS)
    for sequence in (0, 1, 2, 2):
        follower.take(Row(message=line(sequence)))
    assert figures.value("seen_lines_total", "follow") == 3
    assert figures.value("duplicated_lines_total", "follow") == 1


def test_an_answer_is_judged_as_a_whole(figures: "Figures") -> None:
    judge = expecting(4)
    asker = make_asker(judge, figures)
    answer = Answer([line(0), line(2), line(1), line(1), "deis-audit broken"], complete_ns=NOW_NS)
    for _ in range(2):
        asker.take(Question(0, NOW_NS - 3 * NS, NOW_NS), answer)
    assert figures.value("seen_lines_total", "query") == 3
    assert figures.value("out_of_order_lines_total", "query") == 1
    assert figures.value("duplicated_lines_total", "query") == 1
    assert figures.value("unexpected_lines_total", "query", reason="altered") == 1
    assert figures.value("latency_seconds_count", "query") == 3
    assert judge.missing.keys() == {3}


def test_lines_asked_for_late_have_no_latency(figures: "Figures") -> None:
    asker = make_asker(expecting(1), figures, age_seconds=5)
    asker.take(Question(0, NOW_NS - 3 * NS, NOW_NS), Answer([line(0)], complete_ns=0))
    assert figures.value("seen_lines_total", "query") == 1
    assert figures.value("latency_seconds_count", "query") == 0


async def test_each_line_is_expected_on_all_ways_before_it_is_written(figures: "Figures") -> None:
    judges = (Judge(PATIENCE), Judge(PATIENCE))
    reading, writing = os.pipe()
    writer = make_writer(judges, figures, writing, clock_ns=[5, 3])
    await writer.write()
    await writer.write()
    os.close(writing)
    stamps = [parse_stamp(written) for written in os.read(reading, 10_000).decode().splitlines()]
    os.close(reading)
    assert stamps == [Stamp(RUN, 0, 5), Stamp(RUN, 1, 6)], "a clock set back does not turn the order round"
    assert [judge.waiting for judge in judges] == [{0: 5, 1: 6}] * 2


async def test_an_output_that_nobody_reads_ends_the_audit(figures: "Figures") -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        async with asyncio.timeout(30):
            with pytest.raises(FatalError, match="cannot write to stdout: Broken pipe"):
                await make_writer((Judge(PATIENCE),), figures, writing, clock_ns=[1]).run()
    finally:
        os.close(writing)


def make_writer(judges: tuple[Judge, ...], figures: "Figures", output: int, *, clock_ns: list[int]) -> Writer:
    times = iter(clock_ns)
    return Writer(
        run=RUN,
        judges=judges,
        metrics=figures.metrics,
        lines_per_second=1000,
        line_bytes=150,
        output=output,
        clock=lambda: next(times),
    )


def test_times_are_read_to_the_nanosecond() -> None:
    assert parse_time("2026-11-24T12:00:01.000000007Z") == 1_795_521_601_000_000_007
    assert parse_time(None) == 0
    for text in ("soon", "2026-99-24T12:00:01.000000007Z", "2026-11-24T12:00:01Z"):
        with pytest.raises(AnswerError):
            parse_time(text)
