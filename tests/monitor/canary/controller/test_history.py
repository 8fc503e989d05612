"""The noise between pods of one release, kept for a day and read back."""

from pathlib import Path

import pytest

from monitor.canary.counts import MINUTE_NS
from monitor.canary.observe.freezing import policy_of
from monitor.canary.observe.history import BLOCK_NS, Block, History, Past, Side, drawn, past_of, read, write
from monitor.canary.resource.spec import MetricSpec, Source
from monitor.reading import Amount
from pipeline.store import open_store


def test_pods_stand_for_a_canary_by_the_hour_and_are_the_same_whoever_draws() -> None:
    pods = [f"p{number}" for number in range(10)]
    hours = [drawn(pods, start_ns=hour * 60 * MINUTE_NS, share=0.2) for hour in range(40)]
    assert all(len(some) == 2 for some in hours)
    assert len(set(hours)) > 10, "drawn anew each hour"
    assert drawn(pods[::-1], start_ns=59 * MINUTE_NS, share=0.2) == hours[0]
    assert len(drawn(["a", "b"], start_ns=0, share=0.9)) == 1, "there is always a rest"


def test_a_minute_is_split_by_pods_and_one_pod_is_no_history() -> None:
    requests = {("a", "200"): Amount(9, 0.0), ("a", "503"): Amount(1, 0.0), ("b", "200"): Amount(5, 0.0)}
    durations = {("a",): Amount(10, 1.0, (8, 2)), ("b",): Amount(5, 1.0, (5, 0))}
    past = past_of(0, requests, durations, share=0.1)
    assert past is not None
    assert sorted([(past.rest.n, past.rest.e), (past.some.n, past.some.e)]) == [(5, 0), (10, 1)]
    assert past_of(0, {("a", "200"): Amount(9, 0.0)}, {}, share=0.1) is None


def test_twelve_hours_give_an_over_dispersion_and_less_gives_none() -> None:
    minutes = [Past(at * MINUTE_NS, Side(90, at % 2, (80, 10)), Side(10, 0, (9, 1))) for at in range(800)]
    edges = (0.1,)
    assert History(minutes[:700], edges).noise(Source.ERRORS, None) is None
    known = History(minutes, edges)
    for source, limit in [(Source.ERRORS, None), (Source.LATENCY, 0.1)]:
        noise = known.noise(source, limit)
        assert noise is not None
        assert noise.phi >= 1.0
        assert noise.size == pytest.approx(9.0), "90 and 10 requests compare as much as 9 and very many"
        metric = policy_of(MetricSpec(name="one", source=source), noise)
        assert (metric.phi, metric.phi_size) == (noise.phi, noise.size)
    assert known.noise(Source.LATENCY, None) is None
    assert known.noise(None, None) is None


def test_blocks_are_written_once_and_forgotten_after_a_day(tmp_path: Path) -> None:
    store = open_store(str(tmp_path), directory="monitor")
    first = Block((Past(0, Side(1, 0), Side(1, 0)),), (0.1,))
    write(store, "history/a.b", 0, first)
    write(store, "history/a.b", 0, Block(()))
    assert [one.start_ns for one in read(store, "history/a.b").minutes] == [0]
    write(store, "history/a.b", 200 * BLOCK_NS, Block((Past(5, Side(), Side()),), (0.1,)))
    assert [one.start_ns for one in read(store, "history/a.b").minutes] == [5]


@pytest.mark.parametrize("edges", [(0.2,), (0.1, 0.2)])
def test_what_was_counted_in_other_buckets_is_not_added_to(tmp_path: Path, edges: tuple[float, ...]) -> None:
    store = open_store(str(tmp_path), directory="monitor")
    write(store, "history/a.b", 0, Block((Past(0, Side(), Side()),), (0.1,)))
    write(store, "history/a.b", BLOCK_NS, Block((Past(BLOCK_NS, Side(), Side()),), edges))
    found = read(store, "history/a.b")
    assert ([one.start_ns for one in found.minutes], found.edges) == ([BLOCK_NS], edges)
