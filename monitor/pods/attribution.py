"""Which pod was at an address at a time: what the agents' statements about pods add up to.

Addresses are used again: of the stays at an address (see `monitor.pods.stays`), the one that began last at or before
the time asked for counts; if that has ended, nobody was there. Nothing is guessed: of a time that the pod's node has
not spoken for yet, nothing is known.
"""

import sys
from bisect import insort
from collections import Counter
from collections.abc import Mapping
from operator import attrgetter
from typing import Final

from monitor.pods.ownrules import OwnRules, Place
from monitor.pods.stays import EVER, EndpointsState, Served, Stay, find_stay
from pipeline.pack import PackBody
from pipeline.podstatement import PodStatement, split_upstream

KEEP_NS: Final = 3_600_000_000_000
"""How long a stay that has ended is worth keeping, by the shard's clock: see `Endpoints.prune`."""

MOST_STAYS: Final = 200_000
"""Of one shard: more pods than a cluster has."""

MOST_NODES: Final = 10_000
"""Nodes whose agents speak of pods: twice what a cluster has."""

AHEAD_NS: Final = 60_000_000_000
"""What a node says of times that lie further ahead of the queue's clock counts as said of this: its clock is wrong."""

__all__ = ["KEEP_NS", "Endpoints", "EndpointsState", "Served"]


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
        self._doubted: dict[str, int] = {}
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
        return self._doubted.get(node, self._nodes.get(node, 0))

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

    def learn(self, body: PackBody, *, taken_ns: int = EVER - AHEAD_NS) -> None:
        """Take in what a pack says of the pods of its node.

        Args:
            body: The pack.
            taken_ns: When the queue took its record.
        """
        if not body.pods_ns:
            return
        limit_ns = taken_ns + AHEAD_NS
        said_ns, known_ns = min(body.pods_ns, limit_ns), self._nodes.get(body.node, 0)
        if said_ns < known_ns:
            self.dropped["old"] += len(body.pods)
            return
        if not known_ns and len(self._nodes) >= MOST_NODES:
            self.dropped["nodes"] += 1
            return
        heard_ns = self.known_ns(body.node)
        self._nodes[body.node] = said_ns
        for statement in body.pods:
            self._take(body.node, statement, said_ns, limit_ns=limit_ns)
        if body.pods_complete:
            self._doubted.pop(body.node, None)
            here = {statement.uid for statement in body.pods if not statement.to_ns}
            for uid in sorted(self._open.get(body.node, {}).keys() - here):
                # Its end was not told: after the time known before, the address may have been anybody's.
                self._end(self._open[body.node][uid], heard_ns)

    def miss(self) -> None:
        """Records are lost: no node's pods are known from here on, until it states them all."""
        self._doubted = {node: self.known_ns(node) for node in self._nodes}

    def prune(self, before_ns: int) -> None:
        """Forget stays that ended before a time, and all of nodes whose agents have not spoken since."""
        silent = {node for node, known_ns in self._nodes.items() if known_ns < before_ns}
        over = {
            key: gone
            for key, stays in self._pods.items()
            if (gone := [stay for stay in stays if key[0] in silent or 0 < stay.to_ns < before_ns])
        }
        for key, gone in sorted(over.items()):  # in which order pods came, a state does not say
            for stay in gone:
                self._remove(stay)
            if self._pods[key]:
                self._rules.say(key, _place(self._pods[key][-1]), None)
            else:
                del self._pods[key]
                self._rules.forget(key)
        for node in silent:
            del self._nodes[node]
            self._open.pop(node, None)
            self._doubted.pop(node, None)

    def state(self) -> EndpointsState:
        """All that is known. Shares its parts: encode it before more is learned."""
        stays = sorted((stay for stays in self._pods.values() for stay in stays), key=attrgetter("order"))
        nodes: dict[str, int | tuple[int, int]] = {
            node: (said_ns, self._doubted[node]) if node in self._doubted else said_ns
            for node, said_ns in sorted(self._nodes.items())
        }
        return EndpointsState(nodes, tuple(stays), tuple(self._rules.held()), self._rules.version)

    @classmethod
    def of(cls, state: EndpointsState, *, most_stays: int = MOST_STAYS) -> "Endpoints":
        """Go on from a decoded state; it is used up."""
        made = cls(most_stays=most_stays)
        for node, said in state.nodes.items():
            made._nodes[node] = said if isinstance(said, int) else said[0]
            if not isinstance(said, int):
                made._doubted[node] = said[1]
        for stay in state.stays:
            made._add(stay)
        for text, pods in state.rules:
            for pod in pods:
                made._rules.say(pod, _place(made._pods[pod][-1]), text)
        made._rules.version = state.rules_version
        return made

    def _take(self, node: str, said: PodStatement, known_ns: int, *, limit_ns: int) -> None:
        """Take in one statement, made when everything before `known_ns` was known; no time is after `limit_ns`."""
        key = (node, said.uid)
        share = sys.intern  # of names that many pods have
        served = Served(share(said.namespace), share(said.app), share(said.process), share(said.release), said.pod)
        stay = Stay(
            share(node), said.uid, served, said.ips, said.ports, min(said.from_ns, limit_ns), min(said.to_ns, limit_ns)
        )
        known = find_stay(self._pods.get(key, []), stay)
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
            if other.from_ns <= stay.from_ns < (other.to_ns or EVER):
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


def _place(stay: Stay) -> Place:
    return Place(stay.served.namespace, stay.served.app, stay.served.process, stay.from_ns)
