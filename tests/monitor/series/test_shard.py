"""What a shard counts, up to when it is complete, and from when on its windows can be trusted."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from monitor.metric import UNKNOWN, Kind, Metric
from monitor.reading import SLOT_NS, WINDOW_NS, Question
from pipeline.errors import FormatError

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
NOW = 1_790_000_000 * SECOND


def window(metric: str = "seen", *, start_ns: int = NOW, stop_ns: int = NOW + MINUTE, **match: str) -> Question:
    return Question(metric, start_ns, stop_ns, {name: frozenset({value}) for name, value in match.items()}, ("pod",))


def samples(feed: Any, question: Question) -> int:
    part = feed.shard.part(question)
    return sum(each.count for each in (*part.groups, *part.newest))


def test_records_that_are_no_packs_are_counted_by_reason_and_passed_over(feed: Any, make: Any) -> None:
    pod = make.pod("p")
    pod.write(NOW, "a")
    feed.take([feed.raw(b"no pack"), feed.raw(b"\x01no pack"), feed.record(pod.chunk()), feed.raw(b"")])
    counted = feed.shard.counted()
    assert counted.undecodable == {"version": 2, "content": 1}
    assert (counted.records, counted.record_bytes) == (4, sum(len(record.value) for record in feed.records))
    assert (feed.shard.next_offset, len(feed.total("seen"))) == (4, 1)


def test_a_shard_is_complete_up_to_what_its_slowest_node_said_but_for_nodes_that_are_gone(feed: Any) -> None:
    assert feed.shard.watermark_ns() == 0
    feed.beat(NOW, "a", "b")
    feed.beat(NOW + SECOND, "a")
    assert feed.shard.nodes() == {"a": NOW + SECOND, "b": NOW}
    assert feed.shard.watermark_ns() == NOW
    assert feed.shard.watermark_ns(frozenset({"b"})) == NOW + SECOND
    assert feed.shard.part(window(), frozenset({"b"})).watermark_ns == NOW + SECOND


def test_a_shard_that_begins_amid_its_queue_has_no_windows_from_before_and_no_gap(make: Any) -> None:
    feed = make.feed(first_offset=70)
    feed.shard.skip_to(70)
    pod = make.pod("p")
    middle = pod.write(NOW - MINUTE, "a")
    pod.write(NOW + SECOND, "a")
    feed.send(pod.chunk(middle), heartbeat_ns=NOW + 2 * SECOND)
    part = feed.shard.part(window())
    assert part.held_ns == NOW + 2 * SECOND
    assert part.watermark_ns == NOW + 2 * SECOND
    assert (feed.shard.counted().skipped_records, feed.shard.counted().missing_bytes) == (0, 0)


def test_a_shard_that_has_its_queue_from_the_beginning_has_all_windows_that_it_holds(feed: Any, make: Any) -> None:
    pod = make.pod("p")
    pod.write(NOW - 10 * MINUTE, "a")
    feed.send(pod.chunk(), heartbeat_ns=NOW)
    question = window(start_ns=NOW - 15 * MINUTE, stop_ns=NOW)
    assert feed.shard.part(question).held_ns <= question.start_ns
    assert samples(feed, question) == 1


def test_a_source_that_began_in_another_queue_takes_windows_from_before_away(feed: Any, make: Any) -> None:
    feed.beat(NOW)
    pod = make.pod("p")
    middle = pod.write(NOW, "a")
    pod.write(NOW + SECOND, "a")
    feed.send(pod.chunk(middle), heartbeat_ns=NOW + 5 * SECOND)
    assert feed.shard.part(window()).held_ns == NOW + 5 * SECOND


def test_records_that_retention_took_are_counted_and_windows_begin_anew(feed: Any, make: Any) -> None:
    pod, other = make.pod("p"), make.pod("other")
    for at in (pod, other):
        at.write(NOW, "a")
        feed.send(at.chunk(), heartbeat_ns=NOW + SECOND)
        at.write(NOW + SECOND, "lost")
        at.chunk()
    feed.records += feed.records[:1] * 8
    feed.shard.skip_to(10)
    feed.restart()
    pod.write(NOW + 20 * SECOND, "a")
    feed.send(pod.chunk(), heartbeat_ns=NOW + 25 * SECOND)
    counted = feed.shard.counted()
    assert (counted.skipped_records, counted.missing_bytes) == (8, 0)
    assert feed.shard.part(window()).held_ns == NOW + 25 * SECOND
    other.write(NOW + 50 * SECOND, "a")
    feed.send(other.chunk(), heartbeat_ns=NOW + 55 * SECOND)
    assert feed.shard.watermark_ns() == NOW + 55 * SECOND
    assert sum(count for count, _ in feed.total("seen").values()) == 4


def test_a_gap_holds_the_watermark_until_its_bytes_come(feed: Any, make: Any) -> None:
    pod = make.pod("p")
    pod.write(NOW, "a")
    feed.send(pod.chunk(), heartbeat_ns=NOW + SECOND)
    middle = pod.write(NOW + 2 * SECOND, "a")
    late = pod.chunk()
    pod.write(NOW + 3 * SECOND, "a")
    feed.send(pod.chunk(middle), heartbeat_ns=NOW + 4 * SECOND)
    assert feed.shard.watermark_ns() == NOW + SECOND
    assert feed.shard.counted().missing_bytes == len(late.data)
    feed.send(late, heartbeat_ns=NOW + 5 * SECOND)
    assert feed.shard.watermark_ns() == NOW + 5 * SECOND
    assert samples(feed, window()) == 3


def test_a_gap_that_stays_holds_the_watermark_for_as_long_as_windows_reach_back(feed: Any, make: Any) -> None:
    pod = make.pod("p")
    pod.write(NOW, "a")
    feed.send(pod.chunk(), heartbeat_ns=NOW + SECOND)
    middle = pod.write(NOW + 2 * SECOND, "a")
    pod.chunk()
    pod.write(NOW + 3 * SECOND, "a")
    feed.send(pod.chunk(middle), heartbeat_ns=NOW + 4 * SECOND)
    feed.beat(NOW + WINDOW_NS)
    assert feed.shard.watermark_ns() == NOW + SECOND
    feed.beat(NOW + WINDOW_NS + 2 * MINUTE)
    assert feed.shard.watermark_ns() == NOW + WINDOW_NS + 2 * MINUTE


def test_windows_tell_pods_apart_and_totals_do_not(feed: Any, make: Any) -> None:
    for name in ("p1", "p2"):
        pod = make.pod(name)
        pod.write(NOW, "a", 2.0)
        feed.send(pod.chunk())
    assert [value for _, value in feed.total("size").values()] == [4.0]
    assert {labels.pod for labels in feed.total("size")} == {""}
    part = feed.shard.part(window("size"))
    assert {(group.values, group.total) for group in part.groups} == {(("p1",), 2.0), (("p2",), 2.0)}
    assert samples(feed, window("size", pod="p1")) == 1
    assert samples(feed, window("size", nothing="x")) == 0
    assert samples(feed, window("size", nothing="")) == 2


def test_the_newest_value_of_a_gauge_counts_by_the_time_of_its_line(feed: Any, make: Any) -> None:
    pod = make.pod("p")
    for seconds, value in ((5, 1.0), (9, 2.0), (7, 3.0), (9, 4.0)):
        pod.write(NOW + seconds * SECOND, "a", value)
    feed.send(pod.chunk())
    pod.write(NOW + 8 * SECOND, "a", 5.0)
    feed.send(pod.chunk(), heartbeat_ns=NOW + 10 * SECOND)
    assert list(feed.total("depth").values()) == [(5, 4.0)]
    newest = feed.shard.part(window("depth")).newest
    assert [(each.time_ns, each.count, each.value) for each in newest] == [(NOW + 9 * SECOND, 5, 4.0)]
    assert feed.shard.part(window("depth", stop_ns=NOW)).newest == ()


def test_values_that_are_absurd_make_no_sum_infinite(feed: Any, make: Any) -> None:
    pod = make.pod("p")
    for value in (1e308, 1e308, -1e308, 1e308):
        pod.write(NOW, "a", value)
    feed.send(pod.chunk(), heartbeat_ns=NOW + SECOND)
    assert list(feed.total("size").values()) == [(4, 2e200)]
    assert [group.total for group in feed.shard.part(window("size")).groups] == [2e200]


def test_lines_too_old_or_too_far_ahead_are_in_totals_and_counted(feed: Any, make: Any) -> None:
    feed.beat(NOW)
    pod = make.pod("p")
    for time_ns in (NOW - 30 * MINUTE, NOW, NOW + 90 * MINUTE):
        pod.write(time_ns, "a")
    feed.send(pod.chunk(), time_ns=NOW)
    assert [count for count, _ in feed.total("seen").values()] == [3]
    drops = feed.shard.counted().drops
    assert (drops.late["seen"], drops.ahead["seen"]) == (1, 1)
    feed.beat(NOW + SECOND)
    assert samples(feed, window(stop_ns=NOW + 120 * MINUTE // SLOT_NS * SLOT_NS)) == 1


def test_a_node_whose_clock_is_a_day_ahead_moves_no_windows_and_none_that_begins_before_is_complete(
    feed: Any, make: Any
) -> None:
    pod = make.pod("p")
    pod.write(NOW, "a")
    feed.send(pod.chunk(), heartbeat_ns=NOW)
    feed.send(node="fast", heartbeat_ns=NOW + 24 * 60 * MINUTE, time_ns=NOW)
    feed.send(node="fast", heartbeat_ns=NOW + 25 * 60 * MINUTE, time_ns=NOW + 20 * SECOND)
    pod.write(NOW + 15 * SECOND, "a")
    feed.send(pod.chunk(), heartbeat_ns=NOW + 20 * SECOND)
    assert samples(feed, window()) == 2
    feed.restart()
    assert feed.shard.part(window()).held_ns == NOW + 20 * SECOND
    assert feed.shard.counted().statements == {"ahead": 2}


def test_a_clock_that_was_ahead_for_a_while_holds_no_watermark_in_the_future(feed: Any) -> None:
    for seconds, ahead_ns in ((0, 0), (1, 120 * MINUTE), (2, 0)):
        feed.send(heartbeat_ns=NOW + seconds * SECOND + ahead_ns, time_ns=NOW + seconds * SECOND)
    assert feed.shard.watermark_ns() == NOW + 2 * SECOND
    assert feed.shard.part(window()).held_ns == NOW + SECOND


def test_series_without_samples_are_forgotten_windows_sooner_than_totals(make: Any) -> None:
    feed = make.feed(limits=make.limits(idle_ns=60 * MINUTE))
    pod, other = make.pod("p"), make.pod("other", app="blog")
    pod.write(NOW, "a")
    feed.send(pod.chunk(), heartbeat_ns=NOW + SECOND)
    feed.beat(NOW + 30 * MINUTE)
    assert len(feed.total("seen")) == 1
    assert feed.shard.part(window(start_ns=NOW, stop_ns=NOW + MINUTE)).held_ns > NOW
    assert not feed.shard._book.named("seen")[0].windows.sets()
    other.write(NOW + 59 * MINUTE, "a")
    feed.send(other.chunk(), heartbeat_ns=NOW + 61 * MINUTE)
    assert {labels.app for labels in feed.total("seen")} == {"blog"}
    assert list(feed.shard._book.budget.apps) == [("ns", "blog")]
    pod.write(NOW + 62 * MINUTE, "a")
    feed.send(pod.chunk(), heartbeat_ns=NOW + 63 * MINUTE)
    assert sorted(feed.total("seen").values()) == [(1, 1.0), (1, 1.0)]


def test_own_rules_of_an_app_count_its_lines_from_when_they_are_told(feed: Any, make: Any) -> None:
    pod = make.pod("p")
    records = []
    for seconds, rules in enumerate((None, "rules", None, "")):
        pod.write(NOW + seconds * SECOND, "a")
        at_ns = NOW + seconds * SECOND
        said = [pod.stated("10.0.0.1", from_ns=NOW, rules=rules)]
        records.append(feed.record(pod.chunk(), heartbeat_ns=at_ns, pods=said))
    feed.take(records)
    assert list(feed.total("own_shop__deals").values()) == [(2, 2.0)]
    assert list(feed.total("seen").values()) == [(4, 4.0)]


def test_a_state_knows_nothing_of_the_record_at_its_position(feed: Any, make: Any) -> None:
    pod = make.pod("p")
    for seconds, rules in enumerate(("", "rules", "others", "")):
        feed.record(
            heartbeat_ns=NOW + seconds,
            pods=[
                pod.stated("10.0.0.1", from_ns=NOW, to_ns=NOW + seconds + 1, rules=rules),
                pod.stated("10.0.0.2", from_ns=NOW + seconds + 1, rules=rules),
            ],
        )
    one = feed.fresh()
    for number, record in enumerate(feed.records):
        assert feed.shard.take(feed.records[number:]) == 1
        make.take(one, [record])
        assert feed.shard.state() == one.state()
        feed.restart()


def test_missing_bytes_are_known_after_a_restart(feed: Any, make: Any) -> None:
    pod = make.pod("p")
    pod.write(NOW, "a")
    feed.send(pod.chunk(), heartbeat_ns=NOW)
    start = pod.write(NOW, "b")
    pod.write(NOW, "c")
    feed.send(pod.chunk(start), heartbeat_ns=NOW + 1)
    missing = feed.shard.counted().missing_bytes
    feed.restart()
    assert feed.shard.counted().missing_bytes == missing > 0


def test_statements_that_are_not_taken_in_are_counted_once_wherever_a_batch_is_cut(feed: Any, make: Any) -> None:
    pod = make.pod("p")
    said = [pod.stated("10.0.0.1", from_ns=NOW)]
    for seconds in (5, 6, 4, 3, 7):
        feed.record(heartbeat_ns=NOW + 5 * SECOND, pods=said, pods_ns=NOW + seconds * SECOND)
    shards = [feed.shard, feed.fresh()]
    feed.take(feed.records)
    for record in feed.records:
        make.take(shards[1], [record])
    assert [dict(shard.counted().statements) for shard in shards] == [{"old": 2}] * 2


def test_the_newest_trace_of_a_series_is_its_exemplar(feed: Any, make: Any) -> None:
    pod = make.pod("p")
    for seconds, trace in ((1, "one"), (3, "three"), (2, "two"), (4, "-")):
        pod.write(NOW + seconds * SECOND, "a", 0.5, trace=trace)
        feed.send(pod.chunk())
    (took,) = [totals for totals in feed.shard.totals() if totals.metric.name == "took_seconds"]
    assert {place: (trace.trace_id, trace.value) for place, trace in took.traces.items()} == {0: ("three", 0.5)}


def test_other_rules_go_on_with_the_metrics_that_stayed_the_same(make: Any) -> None:
    same = Metric("seen", Kind.COUNTER, "Lines.", ("word",))
    before = Metric("took_seconds", Kind.HISTOGRAM, "Durations.", ("word",), (0.1,))
    after = Metric("took_seconds", Kind.HISTOGRAM, "Durations.", ("word",), (0.1, 0.5))
    gone = Metric("size", Kind.COUNTER, "Bytes.", ())
    feed = make.feed(rules=make.rules((same, before, gone), "old"))
    pod = make.pod("p")
    pod.write(NOW, "a")
    feed.send(pod.chunk(), heartbeat_ns=NOW + SECOND)
    feed.rules = make.rules((same, after), "new")
    feed.restart()
    pod.write(NOW + 2 * SECOND, "a")
    feed.send(pod.chunk(), heartbeat_ns=NOW + 3 * SECOND)
    assert {totals.metric: totals.count.tolist() for totals in feed.shard.totals()} == {same: [2], after: [1]}
    assert feed.shard.part(window("seen")).held_ns <= NOW
    assert feed.shard.part(window("took_seconds")).held_ns == NOW + SECOND
    assert feed.shard.part(window("size")).metric is None


def test_a_metric_without_samples_is_known_by_the_rules(feed: Any) -> None:
    feed.beat(NOW)
    assert feed.shard.part(window("seen")).metric == feed.rules.metrics[0]
    assert feed.shard.part(window("nothing")).metric is None
    assert feed.shard.totals() == []
    assert feed.shard.known() == ()


def test_what_has_series_is_known_by_namespace_and_app(feed: Any, make: Any) -> None:
    for name, app in (("p1", "shop"), ("p2", "blog"), ("p3", "blog")):
        pod = make.pod(name, app=app, release="" if name == "p3" else "v1")
        pod.write(NOW, "a")
        feed.send(pod.chunk())
    found = {known.metric.name: (len(known.sets) // 8, known.newest_ns) for known in feed.shard.known(app="blog")}
    assert found["seen"] == (2, NOW)
    assert len(feed.shard.known(namespace="elsewhere")) == 0
    assert {labels.release for labels in feed.total("seen") if labels.app == "blog"} == {"v1", UNKNOWN}


@pytest.mark.parametrize("data", [b"", b"\x02", b"\x01", b"\x01\x93\x00\x01\x02", b"\x01" + bytes(100)])
def test_bytes_that_are_no_state_are_refused(data: bytes, make: Any) -> None:
    with pytest.raises(FormatError):
        make.feed().fresh(data)


def test_a_scrape_in_another_thread_sees_each_batch_whole_or_not_at_all(feed: Any, make: Any) -> None:
    pod, ended, seen = make.pod("p"), threading.Event(), []

    def scrape() -> None:
        while not ended.is_set():
            counts = {totals.metric.name: int(totals.count.sum()) for totals in feed.shard.totals()}
            feed.shard.part(window("took_seconds"))
            feed.shard.counted()
            seen.append({counts.get(name, 0) for name in ("seen", "size", "took_seconds", "depth")})

    with ThreadPoolExecutor(1) as executor:
        scraping = executor.submit(scrape)
        for number in range(100):
            pod.write(NOW + number * SECOND // 4, f"w{number % 7}")
            feed.send(pod.chunk(), heartbeat_ns=NOW + number * SECOND // 4)
        ended.set()
        scraping.result(timeout=60)
    assert seen
    assert all(len(counts) == 1 for counts in seen)
