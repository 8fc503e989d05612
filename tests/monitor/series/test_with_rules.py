"""A shard with the rules that are in use: an ingress in front of two releases, whose lines come in any cut."""

import os
from collections import Counter
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.metric import UNKNOWN
from monitor.reading import Question
from monitor.rules.ruleset import RuleSet

EXAMPLES = int(os.environ.get("METRICS_EXAMPLES", "3"))
SECOND = 1_000_000_000
NOW = 1_790_000_000 * SECOND
OWN = "- {name: carts_total, kind: counter, pattern: 'cart of (?P<who>[a-z]+)', labels: {who: who}}"
UPSTREAMS = {"10.0.0.1:80": "v1", "10.0.0.2:80": "v2", "10.0.0.9:80": UNKNOWN}


def access_line(random: Random, tries: list[str]) -> str:
    codes = ", ".join(random.choice(("200", "502")) for _ in tries)
    sizes = ", ".join("5" for _ in tries)
    took = ", ".join(f"0.{random.randrange(1000):03d}" for _ in tries)
    return (
        f'1.1.1.1 - - [24/Nov/2026:19:27:56 +0000] "GET /a HTTP/1.1" {random.choice((200, 404))} 512 "-" "-" '
        f"421 0.{random.randrange(1000):03d} [ns-shop-80] [] {', '.join(tries)} {sizes} {took} {codes} id"
    )


class Traffic:
    """Requests through an ingress to two releases, and what their pods write of them."""

    def __init__(self, random: Random, feed: Any, make: Any, *, steps: int = 30) -> None:
        self.random, self.feed = random, feed
        self.tries: Counter[str] = Counter()
        self.carts: Counter[str] = Counter()
        edge = make.pod("edge-1", app="edge", node="n2", namespace="ingress-nginx", container="controller")
        pods = [make.pod(f"p{number}", release=f"v{number}") for number in (1, 2)]
        said = [pod.stated(f"10.0.0.{n}", from_ns=NOW, rules=OWN) for n, pod in enumerate(pods, 1)]
        feed.record(heartbeat_ns=NOW, pods=said)
        for step in range(steps):
            now_ns = NOW + step * 3 * SECOND
            self.write_edge(edge, now_ns)
            self.write_app(random.choice(pods), now_ns)
            for pod in (edge, *pods):
                chunks = [pod.chunk()] if len(pod.file) > pod.sent and random.random() < 0.7 else []
                chunks *= random.choice((1, 1, 2))
                feed.record(*chunks, node=pod.node, time_ns=now_ns)
            if random.random() < 0.5:
                self.beat((edge, *pods), now_ns)
        self.beat((edge, *pods), NOW + steps * 3 * SECOND + 80 * SECOND)

    def write_edge(self, pod: Any, now_ns: int) -> None:
        for _ in range(self.random.randrange(4)):
            tries = self.random.choices(tuple(UPSTREAMS), k=self.random.choice((1, 1, 2)))
            pod.write_text(now_ns, access_line(self.random, tries))
            self.tries.update(UPSTREAMS[upstream] for upstream in tries)

    def write_app(self, pod: Any, now_ns: int) -> None:
        who = self.random.choice(("ann", "bob"))
        pod.write_text(now_ns, f"INFO cart of {who}")
        self.carts[who] += 1
        pod.write_text(now_ns, '{"method":"GET","status":200,"duration_ms":3,"trace_id":"0123456789abcdef"}')

    def beat(self, pods: Any, now_ns: int) -> None:
        for node in ("n1", "n2"):
            chunks = [pod.chunk() for pod in pods if pod.node == node and len(pod.file) > pod.sent]
            self.feed.record(*chunks, node=node, heartbeat_ns=now_ns, pods_ns=now_ns)


@given(random=st.randoms(use_true_random=False), few=st.booleans())
@settings(max_examples=EXAMPLES, deadline=None)
def test_requests_are_counted_by_the_release_that_served_them_wherever_a_shard_stops(
    random: Random, few: bool, make: Any
) -> None:
    feed = make.feed(rules=RuleSet(), limits=make.limits(**({"app_sets": 7, "pod_sets": 9} if few else {})))
    traffic = Traffic(random, feed, make)
    feed.take(feed.records)
    parts, rest = feed.fresh(), list(feed.records)
    while rest:
        count = random.choice((1, 2, 5, 40))
        make.take(parts, rest[:count])
        parts, rest = feed.fresh(parts.state()), rest[count:]
    assert parts.state() == feed.shard.state()
    if not few:
        check(traffic, feed)


def check(traffic: Traffic, feed: Any) -> None:
    tries: Counter[str] = Counter()
    for labels, (count, _) in feed.total("app_tries").items():
        tries[labels.release] += count
    assert tries == traffic.tries
    (own,) = [totals.metric.name for totals in feed.shard.totals() if totals.metric.name.endswith("__carts")]
    carts: Counter[str] = Counter()
    for labels, (count, _) in feed.total(own).items():
        carts[labels.labels[0]] += count
    assert carts == traffic.carts
    part = feed.shard.part(
        Question("app_tries", NOW, NOW + 600 * SECOND, {"app": frozenset({"shop"})}, ("release", "pod"))
    )
    assert {group.values: group.count for group in part.groups if group.values[0] != UNKNOWN} == {
        (release, f"p{release[1]}"): count for release, count in traffic.tries.items() if release != UNKNOWN
    }
