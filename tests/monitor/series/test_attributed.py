"""Who served a request that a router passed to an address."""

from typing import Any

from monitor.reading import Question

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
NOW = 1_790_000_000 * SECOND
AT = "10.0.0.1:80"


def releases(feed: Any) -> dict[str, int]:
    found: dict[str, int] = {}
    for labels, (count, _) in feed.total("seen").items():
        found[labels.release] = found.get(labels.release, 0) + count
    return found


def asked(feed: Any, gone: frozenset[str] = frozenset()) -> tuple[dict[str, int], int]:
    part = feed.shard.part(Question("seen", NOW, NOW + MINUTE, {}, ("release",)), gone)
    return {group.values[0]: group.count for group in part.groups}, part.unattributed


def routed(feed: Any, make: Any, *, heartbeat_ns: int = NOW + 2 * SECOND) -> None:
    """A line of a router, which is on another node than the pods that it names."""
    router = make.pod("router", app="router", node="edge")
    router.write(NOW + SECOND, "a", 0.3, AT, "trace")
    feed.send(router.chunk(), node="edge", heartbeat_ns=heartbeat_ns)


def test_samples_wait_until_every_node_has_spoken_of_their_time(feed: Any, make: Any) -> None:
    feed.beat(NOW, "n1")
    routed(feed, make, heartbeat_ns=NOW)
    pod = make.pod("p", app="shop", release="v7")
    feed.send(node="n1", heartbeat_ns=NOW + 12 * SECOND, pods=[pod.stated("10.0.0.1", from_ns=NOW)])
    assert (releases(feed), asked(feed)) == ({}, ({}, 1))
    feed.beat(NOW + 5 * SECOND, "edge")
    assert (releases(feed), asked(feed)) == ({}, ({"v7": 1}, 0)), "an answer has them before the next tick"
    feed.beat(NOW + 13 * SECOND, "edge")
    assert (releases(feed), asked(feed)) == ({"v7": 1}, ({"v7": 1}, 0))
    assert {(labels.app, labels.process) for labels in feed.total("took_seconds")} == {("shop", "web")}
    (took,) = [totals for totals in feed.shard.totals() if totals.metric.name == "took_seconds"]
    assert [trace.trace_id for trace in took.traces.values()] == ["trace"]


def test_nobody_served_what_is_a_minute_old_and_still_not_known(feed: Any, make: Any) -> None:
    feed.beat(NOW, "n1")
    routed(feed, make)
    feed.beat(NOW + 55 * SECOND, "edge")
    assert releases(feed) == {}
    feed.beat(NOW + 71 * SECOND, "edge")
    assert releases(feed) == {"_unknown": 1}
    assert feed.shard.counted().drops.unattributed == {"seen": 1, "size": 1, "took_seconds": 1, "depth": 1}
    assert {labels.app for labels in feed.total("seen")} == {"router"}, "the line's own app is the guess that stays"


def test_a_node_that_has_been_silent_for_long_is_not_waited_for(feed: Any, make: Any) -> None:
    feed.beat(NOW - 11 * MINUTE, "gone")
    pod = make.pod("p")
    feed.send(node="n1", heartbeat_ns=NOW, pods=[pod.stated("10.0.0.1", from_ns=NOW - MINUTE)])
    routed(feed, make)
    feed.send(node="n1", heartbeat_ns=NOW + 12 * SECOND, pods_ns=NOW + 12 * SECOND)
    feed.beat(NOW + 12 * SECOND, "edge")
    assert releases(feed) == {"v1": 1}


def test_a_node_that_is_known_to_be_gone_does_not_hold_an_answer(feed: Any, make: Any) -> None:
    feed.beat(NOW - SECOND, "gone")
    pod = make.pod("p")
    feed.send(node="n1", heartbeat_ns=NOW, pods=[pod.stated("10.0.0.1", from_ns=NOW - MINUTE)])
    routed(feed, make)
    feed.send(node="n1", heartbeat_ns=NOW + 5 * SECOND, pods_ns=NOW + 5 * SECOND)
    assert asked(feed) == ({}, 1)
    assert asked(feed, frozenset({"gone"})) == ({"v1": 1}, 0)


def test_an_address_that_changes_hands_within_a_second_is_told_to_the_nanosecond(feed: Any, make: Any) -> None:
    old, new = make.pod("old", release="v1"), make.pod("new", release="v2")
    change_ns = NOW + 2 * SECOND + 5
    router = make.pod("router", app="router")
    for time_ns in (change_ns - 1, change_ns, change_ns - 2, change_ns + 1, change_ns + 2, NOW - 1):
        router.write(time_ns, "a", 0.3, AT)
    feed.send(router.chunk(), heartbeat_ns=NOW)
    news = [old.stated("10.0.0.1", from_ns=NOW, to_ns=change_ns), new.stated("10.0.0.1", from_ns=change_ns)]
    feed.send(heartbeat_ns=NOW + 11 * SECOND, pods=news)
    assert releases(feed) == {"v1": 2, "v2": 3, "_unknown": 1}
    part = feed.shard.part(Question("seen", NOW, NOW + MINUTE, {"release": frozenset({"v2"})}, ("pod",)))
    assert [(group.values, group.count) for group in part.groups] == [(("new",), 3)]


def test_what_there_is_no_room_for_is_nobodys_at_once(make: Any) -> None:
    feed = make.feed(limits=make.limits(pending=3, pending_sets=2))
    router = make.pod("router", app="router", node="edge")
    feed.beat(NOW, "n1")
    for word in ("a", "a", "b", "b", "b", "c"):
        router.write(NOW + SECOND, word, 0.3, AT)
    feed.send(router.chunk(), node="edge", heartbeat_ns=NOW + 2 * SECOND)
    assert releases(feed) == {"_unknown": 3}
    assert sum(count for count, _ in feed.total("size").values()) == 3
    feed.beat(NOW + 71 * SECOND, "edge")
    assert releases(feed) == {"_unknown": 6}


def test_samples_that_wait_go_on_waiting_after_a_restart(feed: Any, make: Any) -> None:
    feed.beat(NOW, "n1")
    routed(feed, make)
    feed.restart()
    assert asked(feed) == ({}, 1)
    pod = make.pod("p")
    feed.send(node="n1", heartbeat_ns=NOW + 12 * SECOND, pods=[pod.stated("10.0.0.1", from_ns=NOW)])
    feed.restart()
    feed.beat(NOW + 12 * SECOND, "edge")
    assert releases(feed) == {"v1": 1}
