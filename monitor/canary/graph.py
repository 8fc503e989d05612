"""What canaries mean to each other: who waits for whom, and who goes back with whom. Pure.

An edge leads from a canary to one that it depends on. The rules, by number:

1. Edges within a namespace, or granted; all members of a cycle are refused.
2. An analysis goes by its key: what was done for it is not done again.
3. `hold`: it begins only when no dependency is in change. A failed one whose stable release is back does not block.
4. At its beginning it notes the releases of its dependencies, its basis.
5. `verify`: a dependency was promoted: who depends on it directly is looked at again.
6. `rollback`: a dependency goes back: who was promoted on what it goes back from goes back once, and first, unless the
   dependency is down altogether.
7. Never beyond the basis: who is no longer on the release that was promoted on it is left alone.
8. Who goes back because of another makes nobody go back.
9. A dependency that is bad in both arms of two or more that depend on it: all of them pause.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from monitor.canary.counts import Reason
from monitor.canary.modes import standing_release
from monitor.canary.resource.canary import Canary
from monitor.canary.resource.spec import Dependence
from monitor.canary.resource.status import IN_CHANGE, Basis, Phase
from monitor.canary.world import Ruling

TOGETHER: Final = timedelta(minutes=5)
"""Promotions of dependencies within this time are looked at as one."""

_VERIFYING: Final = frozenset({Dependence.VERIFY, Dependence.ROLLBACK})


@dataclass(frozen=True, slots=True)
class Edge:
    """One dependency.

    Attributes:
        to: Path of the canary that is depended on.
        policy: See `Dependence`.
    """

    to: str
    policy: Dependence


@dataclass(frozen=True, slots=True)
class Graph:
    """All canaries and their edges.

    Attributes:
        canaries: By path.
        edges: By path; those that are not granted are left out.
        refused: Why a canary is not accepted: reason and sentence.
        bad: Paths that are bad in both arms now.
    """

    canaries: Mapping[str, Canary]
    edges: Mapping[str, tuple[Edge, ...]]
    refused: Mapping[str, tuple[str, str]]
    bad: frozenset[str] = field(default_factory=frozenset)


def graph_of(canaries: Iterable[Canary], *, bad: Iterable[str] = ()) -> Graph:
    """Lay the graph out.

    Args:
        canaries: All there are.
        bad: Paths of those whose both arms do badly now.
    """
    known = {canary.path: canary for canary in canaries}
    edges: dict[str, tuple[Edge, ...]] = {}
    refused: dict[str, tuple[str, str]] = {}
    for path, canary in known.items():
        told, problem = _edges(canary, known)
        edges[path] = told
        if problem:
            refused[path] = ("NotGranted", problem)
    for path in cycles(edges):
        refused[path] = ("DependencyCycle", "its dependencies lead back to itself")
    return Graph(known, edges, refused, frozenset(bad))


def _edges(canary: Canary, known: Mapping[str, Canary]) -> tuple[tuple[Edge, ...], str]:
    """The edges that count, and what is wrong with one of the others. A dependency that is not there says nothing."""
    edges, problem = [], ""
    for each in canary.spec.depends_on:
        path = each.name if "/" in each.name else f"{canary.namespace}/{each.name}"
        other = known.get(path)
        elsewhere = not path.startswith(f"{canary.namespace}/")
        if elsewhere and (other is None or canary.namespace not in other.spec.granted_to):
            problem = f"{path} does not grant namespace {canary.namespace} to depend on it"
        elif other is not None:
            edges.append(Edge(path, each.policy))
    return tuple(edges), problem


def cycles(edges: Mapping[str, Sequence[Edge]]) -> frozenset[str]:
    """All that lead back to themselves."""
    return frozenset(path for path in edges if path in _reached(edges, path))


def _reached(edges: Mapping[str, Sequence[Edge]], start: str) -> set[str]:
    reached: set[str] = set()
    ahead = [edge.to for edge in edges.get(start, ())]
    while ahead:
        path = ahead.pop()
        if path not in reached:
            reached.add(path)
            ahead += [edge.to for edge in edges.get(path, ())]
    return reached


def ruling(graph: Graph, path: str, now: datetime) -> Ruling:
    """What the others mean to one canary.

    Args:
        graph: See there.
        path: Its path.
        now: For promotions that are looked at together.
    """
    if path in graph.refused:
        return Ruling(problem=graph.refused[path])
    edges = graph.edges.get(path, ())
    return Ruling(
        hold=tuple(sorted(edge.to for edge in edges if _in_change(graph.canaries[edge.to]))),
        caused_by=_cause(graph, path),
        after=_dependents_to_go_first(graph, path),
        shared=next((edge.to for edge in edges if _is_shared(graph, edge.to)), ""),
        verify=_to_verify(graph, path, now),
        basis=tuple(Basis(edge.to, standing_release(graph.canaries[edge.to])) for edge in edges),
    )


def _in_change(canary: Canary) -> bool:
    return canary.status.phase in IN_CHANGE


def _cause(graph: Graph, path: str) -> str:
    """The dependency that takes this canary back with it."""
    canary = graph.canaries[path]
    if canary.status.phase != Phase.PROMOTED:
        return ""
    basis = {one.name: one.release for one in canary.status.basis}
    for edge in graph.edges.get(path, ()):
        other = graph.canaries[edge.to]
        if (
            edge.policy == Dependence.ROLLBACK
            and _goes_back(other)
            and basis.get(edge.to) == other.status.canary_release
        ):
            return edge.to
    return ""


def _goes_back(canary: Canary) -> bool:
    """Whether it goes, or went, back on its own account."""
    return canary.status.phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK) and not canary.status.caused_by


def _dependents_to_go_first(graph: Graph, path: str) -> tuple[str, ...]:
    canary = graph.canaries[path]
    said = canary.status.said
    if canary.status.phase != Phase.ROLLING_BACK or (said is not None and said.reason == Reason.TOTAL_OUTAGE):
        return ()
    waiting = []
    for other, edges in graph.edges.items():
        depends = any(edge.to == path and edge.policy == Dependence.ROLLBACK for edge in edges)
        if depends and other not in graph.refused and _has_yet_to_go(graph, other, path):
            waiting.append(other)
    return tuple(sorted(waiting))


def _has_yet_to_go(graph: Graph, dependent: str, path: str) -> bool:
    status = graph.canaries[dependent].status
    if status.phase == Phase.ROLLING_BACK:
        return status.caused_by == path
    suspended = graph.canaries[dependent].spec.suspend
    return status.phase == Phase.PROMOTED and not suspended and _cause(graph, dependent) == path


def _is_shared(graph: Graph, path: str) -> bool:
    """Whether two or more that depend on it do badly in both arms."""
    suffering = [
        other for other, edges in graph.edges.items() if other in graph.bad and any(edge.to == path for edge in edges)
    ]
    return len(suffering) > 1


def _to_verify(graph: Graph, path: str, now: datetime) -> tuple[str, ...]:
    """Promotions of dependencies that were not looked at yet; none as long as another may still come with them."""
    canary = graph.canaries[path]
    fresh: dict[str, datetime] = {}
    for edge in graph.edges.get(path, ()):
        other = graph.canaries[edge.to]
        name = f"{edge.to}@{other.status.canary_release}"
        since = promoted_since(other)
        if edge.policy in _VERIFYING and since is not None and name not in canary.status.verified:
            fresh[name] = since
    if not fresh or now - max(fresh.values()) < TOGETHER:
        return ()
    return tuple(sorted(fresh))


def promoted_since(canary: Canary) -> datetime | None:
    """When it was promoted; `None` when it is not."""
    if canary.status.phase != Phase.PROMOTED:
        return None
    return next((one.last_transition_time for one in canary.status.conditions if one.type == "Promoted"), None)
