"""Which pod was at an address at a time: what the agents' statements about pods add up to.

A *stay* is one pod at its addresses under one set of labels, from a time to a time. Addresses are used again: of the
stays at an address, the one that began last at or before the time asked for counts; if that has ended, nobody was
there. Nothing is guessed: of a time that the pod's node has not spoken for yet, nothing is known.

Pure, and a function of the records in their order: packs that come twice, or again after newer ones, change nothing.
"""

import sys
from bisect import insort
from collections import Counter
from collections.abc import Mapping
from operator import attrgetter
from typing import Final

import msgspec

from monitor.ownrules import OwnRules, Place
from pipeline.pack import PackBody
from pipeline.podstatement import PodStatement, split_upstream

KEEP_NS: Final = 3_600_000_000_000
"""How long a stay that has ended is worth keeping, by the shard's clock: see `Endpoints.prune`."""

MOST_STAYS: Final = 200_000
"""Of one shard: more pods than a cluster has."""

MOST_NODES: Final = 10_000
"""Nodes whose agents speak of pods: twice what a cluster has."""

_EVER: Final = 2**63 - 1


class Served(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The pod that was at an address.

    Attributes:
        namespace: Its namespace.
        app: The app.
        process: Process type, empty when unknown.
        release: Release, empty when its labels name none.
        pod: Its name.
    """

    namespace: str
    app: str
    process: str
    release: str
    pod: str


class Stay(msgspec.Struct, array_like=True):
    """See the module; `to_ns` is 0 while it lasts, other names are as in `PodStatement`."""

    node: str
    uid: str
    served: Served
    ips: tuple[str, ...]
    ports: tuple[int, ...]
    from_ns: int
    to_ns: int = 0

    @property
    def order(self) -> tuple[int, int, str, str]:
        """Stays ascend by this: by when they began, then by when they ended."""
        return self.from_ns, self.to_ns or _EVER, self.node, self.uid

    def same(self, other: "Stay") -> bool:
        """Whether they differ in nothing but their times."""
        return (self.served, self.ips, self.ports) == (other.served, other.ips, other.ports)


class EndpointsState(msgspec.Struct, frozen=True, array_like=True):
    """All that is known, to be kept: in an order that depends on nothing but its content.

    Attributes:
        nodes: Up to when the pods of each node are known, by its name.
        stays: By when they began.
        rules: Texts of apps' own rules, and the pods (node, uid) that hold each.
        rules_version: See `Endpoints`.
    """

    nodes: dict[str, int] = {}
    stays: tuple[Stay, ...] = ()
    rules: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()
    rules_version: int = 0


class Endpoints:
    """See the module. One for each shard.

    Args:
        most_stays: Bound of what is kept; what is stated beyond is not taken in, and counted.

    Attributes:
        dropped: What was not taken in, by reason: `stays` and `nodes` beyond the bounds, `old` statements.
    """

    def __init__(self, *, most_stays: int = MOST_STAYS) -> None:
        self._most_stays = most_stays
        self._nodes: dict[str, int] = {}
        self._pods: dict[tuple[str, str], list[Stay]] = {}  # of each pod (node, uid), ascending
        self._at: dict[str, list[Stay]] = {}  # at each address, ascending
        self._open: dict[str, dict[str, Stay]] = {}  # those that last, by node and uid
        self._count = 0
        self._rules = OwnRules()
        self.dropped: Counter[str] = Counter()

    @property
    def rules_version(self) -> int:
        """Another number whenever `rules_of` has become another; the same after the same records."""
        return self._rules.version

    def rules_of(self) -> Mapping[tuple[str, str], str]:
        """The text of the own metric rules of each app that has some, by namespace and app; see `OwnRules`."""
        return self._rules.texts

    def known_ns(self, node: str) -> int:
        """Up to when the pods of a node are known; 0 when its agent never spoke of any."""
        return self._nodes.get(node, 0)

    def at(self, upstream: str, time_ns: int) -> Served | None:
        """Who was there.

        Args:
            upstream: `ip:port`, or `[ip]:port` for the longer family; anything else is nobody's address.
            time_ns: When, nanoseconds since the epoch.

        Returns:
            The pod; `None` when nobody was, or its node has not spoken for that time yet.
        """
        ip, port = split_upstream(upstream)
        for stay in reversed(self._at.get(ip, ())):
            if stay.from_ns <= time_ns and (not stay.ports or port in stay.ports):
                until_ns = stay.to_ns or self.known_ns(stay.node) + 1
                return stay.served if time_ns < until_ns else None
        return None

    def changes(self, upstream: str) -> tuple[int, ...]:
        """Times, ascending, at which what `at` says of an address may become another; between two it stays the same."""
        ip, port = split_upstream(upstream)
        times: set[int] = set()
        for stay in self._at.get(ip, ()):
            if not stay.ports or port in stay.ports:
                times |= {stay.from_ns, stay.to_ns or self.known_ns(stay.node) + 1}
        return tuple(sorted(times))

    def learn(self, body: PackBody) -> None:
        """Take in what a pack says of the pods of its node."""
        if not body.pods_ns:
            return
        known_ns = self._nodes.get(body.node, 0)
        if body.pods_ns < known_ns:
            self.dropped["old"] += len(body.pods)
            return
        if not known_ns and len(self._nodes) >= MOST_NODES:
            self.dropped["nodes"] += 1
            return
        self._nodes[body.node] = body.pods_ns
        for statement in body.pods:
            self._take(body.node, statement, body.pods_ns)
        if body.pods_complete:
            here = {statement.uid for statement in body.pods if not statement.to_ns}
            for uid in sorted(self._open.get(body.node, {}).keys() - here):
                self._end(self._open[body.node][uid], body.pods_ns)

    def prune(self, before_ns: int) -> None:
        """Forget stays that ended before a time, and all of nodes whose agents have not spoken since."""
        silent = {node for node, known_ns in self._nodes.items() if known_ns < before_ns}
        for key, stays in list(self._pods.items()):
            over = [stay for stay in stays if key[0] in silent or 0 < stay.to_ns < before_ns]
            for stay in over:
                self._remove(stay)
            if not stays:
                del self._pods[key]
                self._rules.forget(key)
            elif over:
                self._rules.say(key, _place(stays[-1]), None)
        for node in silent:
            del self._nodes[node]
            self._open.pop(node, None)

    def state(self) -> EndpointsState:
        """All that is known. Shares its parts: encode it before more is learned."""
        stays = sorted((stay for stays in self._pods.values() for stay in stays), key=attrgetter("order"))
        return EndpointsState(
            dict(sorted(self._nodes.items())), tuple(stays), tuple(self._rules.held()), self._rules.version
        )

    @classmethod
    def of(cls, state: EndpointsState, *, most_stays: int = MOST_STAYS) -> "Endpoints":
        """Go on from a decoded state; it is used up."""
        made = cls(most_stays=most_stays)
        made._nodes = dict(state.nodes)
        for stay in state.stays:
            made._add(stay)
        for text, pods in state.rules:
            for pod in pods:
                made._rules.say(pod, _place(made._pods[pod][-1]), text)
        made._rules.version = state.rules_version
        return made

    def _take(self, node: str, said: PodStatement, known_ns: int) -> None:
        """Take in one statement, made when everything before `known_ns` was known."""
        key = (node, said.uid)
        share = sys.intern  # of names that many pods have
        served = Served(share(said.namespace), share(said.app), share(said.process), share(said.release), said.pod)
        stay = Stay(share(node), said.uid, served, said.ips, said.ports, said.from_ns, said.to_ns)
        known = _find(self._pods.get(key, []), stay)
        if known is not None:
            later = [other.from_ns for other in self._pods[key] if other.order > known.order]
            self._end(known, min([stay.to_ns, *later]))  # an agent that forgot may say less than what was heard
        elif self._count < self._most_stays:
            self._append(stay, known_ns)
        else:
            self.dropped["stays"] += 1
            return
        self._rules.say(key, _place(self._pods[key][-1]), said.rules)

    def _append(self, stay: Stay, known_ns: int) -> None:
        """Add a stay to those of its pod, which are never two at a time."""
        before = self._pods.get((stay.node, stay.uid), [])
        if before and not stay.to_ns and stay.from_ns <= before[-1].from_ns:
            stay.from_ns = max(known_ns, before[-1].from_ns)  # its agent forgot since when: not before it says so
        for other in list(before):
            if other.from_ns <= stay.from_ns < (other.to_ns or _EVER):
                self._end(other, stay.from_ns)
        self._add(stay)

    def _add(self, stay: Stay) -> None:
        self._count += 1
        insort(self._pods.setdefault((stay.node, stay.uid), []), stay, key=attrgetter("order"))
        for ip in stay.ips:
            insort(self._at.setdefault(ip, []), stay, key=attrgetter("order"))
        if not stay.to_ns:
            self._open.setdefault(stay.node, {})[stay.uid] = stay

    def _end(self, stay: Stay, to_ns: int) -> None:
        """Say until when a stay lasts; 0 when it goes on after all."""
        if stay.to_ns != to_ns:
            self._remove(stay)
            stay.to_ns = max(to_ns, stay.from_ns) if to_ns else 0
            self._add(stay)

    def _remove(self, stay: Stay) -> None:
        self._count -= 1
        self._pods[stay.node, stay.uid].remove(stay)
        for ip in stay.ips:
            self._at[ip].remove(stay)
            if not self._at[ip]:
                del self._at[ip]
        if not stay.to_ns:
            del self._open[stay.node][stay.uid]


def _find(stays: list[Stay], said: Stay) -> Stay | None:
    """The stay of its pod that a statement is about; `None` when it is another one."""
    if not stays:
        return None
    last = stays[-1]
    for stay in stays:
        if stay.from_ns == said.from_ns and stay.same(said) and (said.to_ns or stay is last):
            return stay
    # Under the same labels and still there: an agent that was started anew may have it begin at another time.
    return last if last.same(said) and _overlap(last, said) else None


def _overlap(one: Stay, other: Stay) -> bool:
    return one.from_ns < (other.to_ns or _EVER) and other.from_ns < (one.to_ns or _EVER)


def _place(stay: Stay) -> Place:
    return Place(stay.served.namespace, stay.served.app, stay.served.process, stay.from_ns)
