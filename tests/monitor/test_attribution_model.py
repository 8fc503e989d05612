"""Agents that state pods and a shard that learns of them, beside the truth: what is told is never wrong.

The agent loses its connection to the API server, its memory and its life; records come again; pods start, change their
labels, end, and take each other's addresses. The end of a pod and a changed label count from when they are heard.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from fluentd.kubernetes.facts import Pod
from fluentd.kubernetes.naming import Names
from fluentd.kubernetes.stating import end, restate
from fluentd.lanes.statements import Statements, Voice
from monitor.pods.attribution import Endpoints, EndpointsState
from pipeline.pack import PackBody
from pipeline.podstatement import PodStatement

S = 1_000_000_000
BEGIN = 1_700_000_000
ADDRESSES = [f"10.0.0.{number}" for number in range(4)]


Draw = Callable[[st.SearchStrategy[Any]], Any]


class World:
    """Pods as they are, and who was where when."""

    def __init__(self) -> None:
        self.now = BEGIN
        self.pods: dict[str, tuple[str, str, int]] = {}  # by uid: address, release, since
        self.past: list[tuple[str, str, int, int]] = []  # address, release, from, to
        self._number = 0

    def start(self, address: str) -> None:
        if all(ip != address for ip, _, _ in self.pods.values()):
            self._number += 1
            self.pods[f"u{self._number}"] = (address, f"v{self._number}", self.now)

    def stop(self, uid: str) -> None:
        address, release, since = self.pods.pop(uid)
        self.past.append((address, release, since, self.now))

    def relabel(self, uid: str) -> None:
        address, release, since = self.pods[uid]
        self.past.append((address, release, since, self.now))
        self.pods[uid] = (address, f"{release.partition('.')[0]}.{self.now}", self.now)

    def truth(self) -> Iterator[tuple[str, str, int, int]]:
        yield from self.past
        yield from ((ip, release, since, self.now) for ip, release, since in self.pods.values())


class Agent:
    """What an agent says to one partition."""

    def __init__(self, world: World, memory: dict[str, PodStatement]) -> None:
        self._world = world
        self.stated = dict(memory)
        self.connected = False
        self.listens = False
        self.known_ns = 0
        self._statements = Statements(registry=CollectorRegistry(), now_ns=lambda: world.now * S)
        self._statements.attend(lambda: self.known_ns)
        self._voice: Voice = self._statements.voice(clock=lambda: float(world.now))

    def look(self) -> None:
        """Hear of all pods, if there is a connection."""
        if not self.connected:
            self.listens = False
            return
        now_ns = self._world.now * S
        for uid, (ip, release, since) in self._world.pods.items():
            status = {"podIP": ip, "containerStatuses": [{"state": {"running": {"startedAt": stamp(since)}}}]}
            pod = msgspec.convert({"metadata": {"name": uid, "namespace": "ns", "uid": uid}, "status": status}, Pod)
            now, news = restate(self.stated.get(uid), pod, Names("app", "web", release), "", heard_ns=now_ns)
            assert now is not None
            self.stated[uid] = now
            self._say(news)
        for uid in self.stated.keys() - self._world.pods.keys():
            if self.listens:
                self._say([end(self.stated.pop(uid), now_ns)])
            else:
                self._statements.lose(self.stated.pop(uid))
        self.known_ns, self.listens = now_ns, True

    def _say(self, news: list[PodStatement] | tuple[PodStatement, ...]) -> None:
        for statement in news:
            self._statements.say(statement)

    def send(self) -> list[PackBody]:
        """The next records, with a heartbeat."""
        news = self._voice.news(beats=True)
        return [PackBody("n1", 0, [], [], b"", part.statements, part.complete, part.known_ns) for part in news]


def stamp(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Play:
    """Things happen, each some seconds after the one before."""

    def __init__(self, draw: Draw) -> None:
        self._draw = draw
        self.world = World()
        self.endpoints = Endpoints()
        self._agent = Agent(self.world, {})
        self._agent.connected = self._agent.listens = True
        self._memory: dict[str, PodStatement] = {}
        self._sent: list[PackBody] = []

    def run(self, acts: list[str]) -> None:
        """Let them happen; at last the agent is well, and everything is sent."""
        for act in acts:
            self.world.now += self._draw(st.sampled_from([1, 1, 2, 30, 70]))
            getattr(self, f"_{act}")()
            self._agent.look()
        self._connect()
        self._agent.look()
        self._send()

    def _start(self) -> None:
        self.world.start(self._draw(st.sampled_from(ADDRESSES)))

    def _stop(self) -> None:
        if self.world.pods:
            self.world.stop(self._draw(st.sampled_from(sorted(self.world.pods))))

    def _relabel(self) -> None:
        if self.world.pods and self._agent.connected:
            self.world.relabel(self._draw(st.sampled_from(sorted(self.world.pods))))

    def _send(self) -> None:
        bodies = self._agent.send()
        self._sent += bodies
        for body in bodies:
            self.endpoints.learn(body)
        self.endpoints = again(self.endpoints)

    def _cut(self) -> None:
        self._agent.connected = False

    def _connect(self) -> None:
        self._agent.connected = True

    def _remember(self) -> None:
        self._memory = dict(self._agent.stated)

    def _crash(self) -> None:
        self._agent = Agent(self.world, self._draw(st.sampled_from([self._memory, {}])))

    def _lose(self) -> None:
        self._agent.send()
        self.endpoints.miss()

    def _repeat(self) -> None:
        for body in self._sent[-self._draw(st.integers(1, 5)) :]:
            self.endpoints.learn(body)


WELL = ["start", "stop", "relabel", "send"]
HARMED = [*WELL, "cut", "connect", "crash", "remember", "repeat", "lose"]


def play(data: st.DataObject, acts: list[str]) -> tuple[World, Endpoints]:
    """The world, and what a shard knows at the end."""
    one = Play(data.draw)
    one.run(data.draw(st.lists(st.sampled_from(acts), max_size=40)))
    return one.world, one.endpoints


def again(endpoints: Endpoints) -> Endpoints:
    """The same, from its kept state."""
    return Endpoints.of(msgspec.msgpack.decode(msgspec.msgpack.encode(endpoints.state()), type=EndpointsState))


def asked(world: World, endpoints: Endpoints) -> Iterator[tuple[str, str | None]]:
    """The true release and the one told, at the beginning, in the middle and at the end of each true interval."""
    for address, release, since, until in world.truth():
        for second in {since, (since + until) // 2, until - 1}:
            if since <= second < until:
                served = endpoints.at(f"{address}:80", second * S + S // 2)
                yield release, None if served is None else served.release


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_what_an_agent_hears_at_once_is_told_exactly(data: st.DataObject) -> None:
    world, endpoints = play(data, WELL)
    for release, told in asked(world, endpoints):
        assert told == release


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_what_is_told_is_never_another_pods_whatever_becomes_of_the_agent(data: st.DataObject) -> None:
    world, endpoints = play(data, HARMED)
    for release, told in asked(world, endpoints):
        event("right" if told == release else "unknown" if told is None else "other label")
        assert told is None or told.partition(".")[0] == release.partition(".")[0]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_between_two_changes_an_address_is_one_pods(data: st.DataObject) -> None:
    _, endpoints = play(data, HARMED)
    for address in ADDRESSES:
        upstream = f"{address}:80"
        changes = endpoints.changes(upstream)
        assert list(changes) == sorted(set(changes))
        for low, high in zip((0, *changes), (*changes, 2**62), strict=True):
            told = {endpoints.at(upstream, time_ns) for time_ns in (low, (low + high) // 2, high - 1)}
            assert len(told) == 1
