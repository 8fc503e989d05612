"""An app that makes a label set with each line takes no memory from others, and no sum is wrong for it."""

import tracemalloc
from typing import Any

import numpy as np
import pytest

from monitor.metric import OVERFLOW, Kind, LabelSet, Metric, Samples
from monitor.reading import Question
from monitor.series.book import Book
from monitor.series.limits import Limits
from monitor.series.times import Times

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
NOW = 1_790_000_000 * SECOND


def write(feed: Any, make: Any, name: str, words: list[str], **of_pod: Any) -> None:
    pod = make.pod(name, **of_pod)
    for word in words:
        pod.write(NOW, word, 2.0)
    feed.send(pod.chunk(), heartbeat_ns=NOW + SECOND)


def by_app(feed: Any, metric: str) -> dict[str, tuple[int, float]]:
    sums: dict[str, tuple[int, float]] = {}
    for labels, (count, total) in feed.total(metric).items():
        before = sums.get(labels.app, (0, 0.0))
        sums[labels.app] = (before[0] + count, before[1] + total)
    return sums


def test_beyond_its_budget_the_samples_of_an_app_are_together_and_the_culprit_is_named(make: Any) -> None:
    feed = make.feed(limits=make.limits(app_sets=8))
    write(feed, make, "bad", [f"w{number}" for number in range(20)], app="bad")
    write(feed, make, "good", ["x", "y"], app="good")
    assert by_app(feed, "seen") == {"bad": (20, 20.0), "good": (2, 2.0)}
    assert by_app(feed, "took_seconds") == {"bad": (20, 40.0), "good": (2, 4.0)}
    over = [labels for labels in feed.total("seen") if labels.release == OVERFLOW]
    assert over == [LabelSet("ns", "bad", OVERFLOW, OVERFLOW, "", (OVERFLOW,))]
    counted = feed.shard.counted().over_budget
    assert counted["ns", "bad", "seen"] == feed.total("seen")[over[0]][0] > 0
    assert not [key for key in counted if key[1] == "good"]


def test_an_answer_says_what_a_budget_hides_from_it(make: Any) -> None:
    feed = make.feed(limits=make.limits(app_sets=3))
    write(feed, make, "p", ["a", "b", "c", "d"])

    def ask(**match: str) -> tuple[int, int]:
        question = Question("seen", NOW, NOW + MINUTE, {name: frozenset({value}) for name, value in match.items()})
        part = feed.shard.part(question)
        return sum(group.count for group in part.groups), part.overflowed

    known = feed.total("seen")
    hidden = sum(count for labels, (count, _) in known.items() if labels.release == OVERFLOW)
    assert hidden > 0
    assert ask(app="shop") == (4, 0)
    assert ask(app="shop", release="v1") == (4 - hidden, hidden)
    assert ask(app="blog", release="v1") == (0, 0)
    assert ask(release=OVERFLOW) == (hidden, 0)


def test_pods_beyond_their_bound_share_one_and_the_total_keeps_its_labels(make: Any) -> None:
    feed = make.feed(limits=make.limits(pod_sets=4))
    for number in range(3):
        write(feed, make, f"p{number}", ["a"])
    assert list(feed.total("seen").values()) == [(3, 3.0)]
    question = Question("seen", NOW, NOW + MINUTE, {"release": frozenset({"v1"})}, ("pod",))
    groups = {group.values[0]: group.count for group in feed.shard.part(question).groups}
    assert groups == {"p0": 1, OVERFLOW: 2}
    one = Question("seen", NOW, NOW + MINUTE, {"pod": frozenset({"p1"})})
    assert (feed.shard.part(one).groups, feed.shard.part(one).overflowed) == ((), 2)
    assert feed.shard.counted().drops.pooled["seen"] == 2


def test_apps_beyond_the_bound_are_one_app_and_hide_nothing_from_those_that_were_there(make: Any) -> None:
    feed = make.feed(limits=make.limits(apps=2))
    feed.beat(NOW - 20 * SECOND)
    for app in ("a", "b", "c", "d"):
        write(feed, make, app, ["x"], app=app)
    assert by_app(feed, "seen") == {"a": (1, 1.0), "b": (1, 1.0), OVERFLOW: (2, 2.0)}
    assert feed.shard.counted().over_budget[OVERFLOW, OVERFLOW, "seen"] == 2
    for app, hidden in (("a", 0), ("c", 2)):
        question = Question("seen", NOW, NOW + MINUTE, {"app": frozenset({app})})
        assert feed.shard.part(question).overflowed == hidden


def test_own_rules_of_an_app_leave_it_room_for_what_is_built_in(make: Any) -> None:
    feed = make.feed(limits=make.limits(app_sets=8, own_sets=3))
    pod = make.pod("p")
    feed.send(heartbeat_ns=NOW, pods=[pod.stated("10.0.0.1", from_ns=NOW - MINUTE, rules="rules")])
    write(feed, make, "p", ["a", "b", "c", "d", "e"])
    kept = [labels for labels in feed.total("own_shop__deals") if labels.release != OVERFLOW]
    assert len(kept) <= 3
    assert by_app(feed, "own_shop__deals") == {"shop": (5, 5.0)}


def test_metrics_of_own_rules_beyond_their_bound_are_refused_and_counted(make: Any) -> None:
    feed = make.feed(limits=make.limits(own_metrics=0))
    pod = make.pod("p")
    feed.send(heartbeat_ns=NOW, pods=[pod.stated("10.0.0.1", from_ns=NOW - MINUTE, rules="rules")])
    write(feed, make, "p", ["a", "b"])
    assert feed.total("own_shop__deals") == {}
    assert feed.shard.counted().drops.refused == {"own_shop__deals": 2}
    assert by_app(feed, "seen") == {"shop": (2, 2.0)}


METRIC = Metric("requests", Kind.COUNTER, "Requests.", ("user",))


def flood(book: Book, start: int, count: int, app: str = "bad") -> None:
    """So many samples, each with a label value of its own."""
    sets = [
        LabelSet("ns", app, "web", "v1", f"p{number % 20}", (f"user-{number}",))
        for number in range(start, start + count)
    ]
    index = np.arange(count, dtype=np.int32)
    book.add([Samples(METRIC, sets, index, index.astype(np.int64), np.full(count, NOW))])


@pytest.mark.parametrize("distinct", [40_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_a_flood_of_label_values_fills_no_memory_and_loses_no_count(distinct: int) -> None:
    book = Book(Limits(), {METRIC.name})
    book.pass_time(Times(NOW, NOW, NOW))
    flood(book, 0, 5000)
    flood(book, 0, 100, app="good")
    tracemalloc.start()
    try:
        for start in range(5000, distinct, 5000):
            flood(book, start, 5000)
        flood(book, 100, 100, app="good")
        grown_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert grown_bytes < 2_000_000
    totals = book.tables[METRIC].shown()
    counts = dict.fromkeys(("bad", "good"), 0)
    for labels, count in zip(totals.sets, totals.count.tolist(), strict=True):
        counts[labels.app] += count
    assert counts == {"bad": distinct, "good": 200}
    assert len(totals.sets) == Limits().app_sets + 1 + 200
