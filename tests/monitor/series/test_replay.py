"""Whatever happens to records on their way, and wherever a shard stops and goes on, its metrics are the same."""

import os
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.metric import OVERFLOW, UNKNOWN
from monitor.reading import SLOT_NS, Question

SECOND = 1_000_000_000
NOW = 1_790_000_000 * SECOND
WORDS = ("a", "bb", "ccc", "dddd")
EXAMPLES = int(os.environ.get("METRICS_EXAMPLES", "6"))
TIGHT = {"app_sets": 9, "pod_sets": 12, "own_sets": 2, "pending": 8, "pending_sets": 5, "idle_ns": 100 * SECOND}
IPS = ("10.0.0.1", "10.0.0.2", "10.0.0.3")


class Story:
    """Pods on two nodes write, come and go; their chunks come twice, late and in pieces; records are broken."""

    def __init__(self, random: Random, feed: Any, make: Any, *, steps: int = 40, many_words: bool = False) -> None:
        self.random, self.feed, self.make = random, feed, make
        self.many_words = many_words
        self.now_ns = NOW
        self.pods: list[Any] = []
        self.kept: list[Any] = []
        self.sent: list[Any] = []
        self.at: dict[str, list[tuple[int, Any]]] = {ip: [] for ip in IPS}
        self.told = {"n1": NOW, "n2": NOW}
        self.lines: list[tuple[Any, int, str, float, str]] = []
        for number, node in enumerate(("n1", "n2", "n1")):
            self.arrive(node, IPS[number])
        for _ in range(steps):
            self.step()
        self.finish()

    def arrive(self, node: str, ip: str) -> None:
        """Another pod, at an address where there may have been one before."""
        number = len(self.pods)
        pod = self.make.pod(f"p{number}", app=("shop", "blog")[number % 2], node=node, release=f"v{number // 2}")
        self.pods.append(pod)
        news = [pod.stated(ip, from_ns=self.now_ns, rules=self.random.choice((None, "", "x", "y")))]
        if self.at[ip]:
            since_ns, before = self.at[ip][-1]
            if before.node == node:
                news.insert(0, before.stated(ip, from_ns=since_ns, to_ns=self.now_ns))
            else:
                self.tell(before.node, [before.stated(ip, from_ns=since_ns, to_ns=self.now_ns)])
        self.at[ip].append((self.now_ns, pod))
        self.tell(node, news)

    def tell(self, node: str, news: list[Any]) -> None:
        self.told[node] = self.now_ns
        self.record(node=node, heartbeat_ns=self.now_ns, pods=news)

    def record(self, *chunks: Any, **kwargs: Any) -> None:
        self.feed.record(*chunks, time_ns=self.now_ns + self.random.randrange(2) * SECOND, **kwargs)

    def keep_awake(self) -> None:
        """A node that is silent for a minute is not waited for."""
        for node, told_ns in self.told.items():
            if self.now_ns - told_ns > 15 * SECOND:
                self.beat(node)

    def step(self) -> None:
        self.keep_awake()
        self.now_ns += self.random.choice((0, 0, SECOND // 7, SECOND, 4 * SECOND, 40 * SECOND))
        kind = self.random.choice(("write",) * 8 + ("send",) * 8 + ("again", "beat", "beat", "pod", "broken", "long"))
        if kind == "write":
            self.write(*self.random.choices(self.pods, k=self.random.randrange(1, 6)))
        elif kind == "long":
            self.write_pieces(self.random.choice(self.pods))
        elif kind == "send":
            self.send(self.random.choice(self.pods))
        elif kind == "again" and self.sent:
            self.record(*self.random.sample(self.sent, min(2, len(self.sent))))
        elif kind == "beat":
            self.beat(self.random.choice(("n1", "n2")))
        elif kind == "pod" and len(self.pods) < 7:
            self.now_ns += 1
            self.arrive(self.random.choice(("n1", "n2")), self.random.choice(IPS))
        elif kind == "broken":
            self.feed.raw(self.random.choice((b"no pack", b"\x01no pack")), self.now_ns)

    def write(self, *pods: Any) -> None:
        for pod in pods:
            self.write_line(pod)

    def write_line(self, pod: Any) -> None:
        time_ns = self.now_ns - self.random.choice((0, 0, 0, 3 * SECOND, 2000 * SECOND, -9000 * SECOND))
        word = f"w{self.random.randrange(40)}" if self.many_words else self.random.choice(WORDS)
        value = self.random.choice((0.1, 0.3, 0.7, 1.0, 2.5))
        upstream = self.random.choice(("-", "-", *(f"{ip}:80" for ip in IPS), "10.9.9.9:80"))
        pod.write(time_ns, word, value, upstream)
        self.lines.append((pod, time_ns, word, value, upstream))

    def write_pieces(self, pod: Any) -> None:
        pod.write_text(self.now_ns, "a 1.5 ", tag="P")
        pod.write_text(self.now_ns, "- -")
        self.lines.append((pod, self.now_ns, "a", 1.5, "-"))

    def send(self, pod: Any) -> None:
        if pod.sent == len(pod.file):
            return
        start, end = pod.sent, len(pod.file)
        waits = self.random.random() < 0.2
        between = [cut for cut in pod.ends if start < cut < end] if waits else range(start + 1, end)
        cuts = sorted({start, end, *([self.random.choice(between)] if between else [])})
        chunks = [pod.chunk(a, b) for a, b in pairwise(cuts)]
        self.sent += chunks
        if len(chunks) > 1 and waits:
            self.kept.append(chunks.pop(0))  # it comes later: until then there is a gap
        self.record(*chunks, node=pod.node)

    def beat(self, node: str) -> None:
        """Everything of the node is sent, as its heartbeat says."""
        for pod in self.pods:
            if pod.node == node:
                self.send(pod)
        late = [chunk for chunk in self.kept if chunk.origin.node == node]
        self.kept = [chunk for chunk in self.kept if chunk.origin.node != node]
        self.told[node] = self.now_ns
        self.record(*late, node=node, heartbeat_ns=self.now_ns, pods=(), pods_ns=self.now_ns)

    def finish(self) -> None:
        """All is sent, and so much later that nothing waits any more."""
        self.now_ns += 1
        for node in ("n1", "n2"):
            self.beat(node)
        self.now_ns += 90 * SECOND
        for node in ("n1", "n2"):
            self.beat(node)

    def served(self, upstream: str, time_ns: int) -> Any:
        """Who was there, read off the list; of a clock that is far ahead nobody knows."""
        if time_ns > self.now_ns + 1800 * SECOND:
            return None
        stays = self.at.get(upstream.partition(":")[0], [])
        return next((pod for since_ns, pod in reversed(stays) if since_ns <= time_ns), None)

    def served_lines(self) -> Iterator[tuple[str, str, str, str, int, float]]:
        """App, release, pod, word, time and value of each line, as they should be counted."""
        for pod, time_ns, word, value, upstream in self.lines:
            served = pod if upstream == "-" else self.served(upstream, time_ns)
            release, name = (served.release, served.name) if served is not None else (UNKNOWN, "")
            yield (served or pod).app, release, name, word, time_ns, value


def questions(now_ns: int) -> list[Question]:
    stop_ns = now_ns // SLOT_NS * SLOT_NS
    return [
        Question(metric, stop_ns - back_ns, stop_ns, match, by)
        for metric in ("seen", "took_seconds", "depth", "own_shop__deals")
        for back_ns in (60 * SECOND, 900 * SECOND)
        for match, by in (({}, ("app", "release", "pod", "word")), ({"app": frozenset({"shop"})}, ()))
    ]


def facts(shard: Any, now_ns: int) -> tuple[Any, ...]:
    """All that a shard shows."""
    parts = [shard.part(question) for question in questions(now_ns)]
    totals = [
        (each.metric, each.sets, each.count.tolist(), each.total.tolist(), each.buckets.tolist())
        for each in shard.totals()
    ]
    return parts, totals, shard.counted(), shard.known(), shard.watermark_ns(), shard.nodes(), shard.next_offset


@pytest.mark.parametrize("bounds", [{}, TIGHT], ids=["wide", "tight"])
@given(random=st.randoms(use_true_random=False), many_words=st.booleans())
@settings(max_examples=EXAMPLES, deadline=None)
def test_a_shard_that_goes_on_from_any_state_is_what_one_pass_makes(
    random: Random, many_words: bool, bounds: dict[str, int], make: Any
) -> None:
    feed = make.feed(limits=make.limits(**bounds))
    story = Story(random, feed, make, many_words=many_words)
    whole, parts = feed.fresh(), feed.fresh()
    make.take(whole, feed.records)
    rest = list(feed.records)
    while rest:
        count = random.choice((1, 1, 2, 3, 7))
        make.take(parts, rest[:count])
        rest = rest[count:]
        if random.random() < 0.2:
            parts = feed.fresh(parts.state())
    assert facts(parts, story.now_ns) == facts(whole, story.now_ns)
    assert parts.state() == whole.state()


@given(random=st.randoms(use_true_random=False), many_words=st.booleans(), app_sets=st.sampled_from((4, 2000)))
@settings(max_examples=EXAMPLES, deadline=None)
def test_totals_and_windows_are_a_plain_count_of_the_lines(
    random: Random, many_words: bool, app_sets: int, make: Any
) -> None:
    feed = make.feed(limits=make.limits(app_sets=app_sets))
    story = Story(random, feed, make, steps=60, many_words=many_words)
    feed.take(feed.records)
    stop_ns = story.now_ns // SLOT_NS * SLOT_NS
    start_ns = stop_ns - random.choice((10, 60, 300)) * SECOND
    check_totals(story, feed)
    if app_sets > 4:
        check_windows(story, feed.shard, start_ns, stop_ns)


def check_totals(story: Story, feed: Any) -> None:
    """Every line counts once; beyond the budget in a label set of its app."""
    expected = Counter((app, release, word) for app, release, _, word, *_ in story.served_lines())
    kept: Counter[tuple[str, str, str]] = Counter()
    for labels, (count, _) in feed.total("seen").items():
        if labels.release != OVERFLOW:
            kept[labels.app, labels.release, labels.labels[0]] = count
    assert kept <= expected
    lacking: Counter[str] = Counter()
    for (app, *_), count in (expected - kept).items():
        lacking[app] += count
    over = feed.shard.counted().over_budget
    assert lacking == {app: count for (_, app, metric), count in over.items() if metric == "seen"}


def check_windows(story: Story, shard: Any, start_ns: int, stop_ns: int) -> None:
    """A window has the lines of its time, by pod, and in the buckets of their values."""
    expected: dict[Any, list[float]] = {}
    for *names, time_ns, value in story.served_lines():
        if start_ns <= time_ns < stop_ns:
            expected.setdefault(tuple(names), []).append(value)
    part = shard.part(Question("took_seconds", start_ns, stop_ns, {}, ("app", "release", "pod", "word")))
    assert {group.values: group.count for group in part.groups} == {key: len(each) for key, each in expected.items()}
    for group in part.groups:
        values = expected[group.values]
        assert group.total == pytest.approx(sum(values))
        assert group.buckets == tuple(
            sum(low < value <= high for value in values)
            for low, high in ((-1, 0.1), (0.1, 0.5), (0.5, 1.0), (1.0, 9e9))
        )
    assert (part.unattributed, part.overflowed, part.others) == (0, 0, 0)
