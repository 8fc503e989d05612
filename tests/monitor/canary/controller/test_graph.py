"""Hold, verify, rollback along the graph; cycles, grants, bases, and a dependency that two suffer from."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from monitor.canary.counts import Decision
from monitor.canary.graph import Edge, cycles, graph_of, ruling
from monitor.canary.resource.canary import Canary, canary_of
from monitor.canary.resource.spec import Dependence
from monitor.canary.resource.status import Basis, CanaryStatus, Condition, Phase, Said

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def one(
    name: str,
    *depends: tuple[str, str],
    phase: Phase = Phase.IDLE,
    releases: tuple[str, str] = ("1", "2"),
    basis: dict[str, str] | None = None,
    namespace: str = "shop",
    granted: tuple[str, ...] = (),
    **status: Any,
) -> Canary:
    """A canary with edges, in a phase; its promotion was ten minutes ago."""
    spec = {
        "targetRef": {"name": name},
        "dependsOn": [{"name": to, "policy": policy} for to, policy in depends],
        "grantedTo": list(granted),
    }
    facts = {"namespace": namespace, "name": name, "uid": f"uid-{name}", "resourceVersion": "1"}
    canary = canary_of({"metadata": facts, "spec": spec})
    since = status.pop("since", NOW - timedelta(minutes=10))
    promoted = Condition("Promoted", "True" if phase == Phase.PROMOTED else "False", "x", "", since)
    found = CanaryStatus(
        phase=phase,
        stable_release=releases[0],
        canary_release=releases[1],
        basis=tuple(Basis(f"shop/{to}", release) for to, release in (basis or {}).items()),
        conditions=(promoted,),
        **status,
    )
    return Canary(namespace, name, canary.uid, "1", 1, {}, canary.spec, found)


def test_nothing_begins_while_a_dependency_is_in_change_and_a_failed_one_does_not_block() -> None:
    for phase, holds in [
        (Phase.PROGRESSING, True),
        (Phase.PROMOTING, True),
        (Phase.ROLLING_BACK, True),
        (Phase.ROLLED_BACK, False),
        (Phase.PROMOTED, False),
        (Phase.CONFLICT, False),
        (Phase.IDLE, False),
    ]:
        graph = graph_of([one("web", ("db", "hold")), one("db", phase=phase)])
        assert bool(ruling(graph, "shop/web", NOW).hold) == holds, phase


def test_the_basis_is_what_dependencies_run_now() -> None:
    graph = graph_of(
        [
            one("web", ("db", "hold"), ("cache", "hold")),
            one("db", phase=Phase.PROMOTED, releases=("1", "2")),
            one("cache", phase=Phase.ROLLED_BACK, releases=("7", "8")),
        ]
    )
    assert set(ruling(graph, "shop/web", NOW).basis) == {Basis("shop/db", "2"), Basis("shop/cache", "7")}


def test_who_was_promoted_on_what_goes_back_goes_back_first_and_once() -> None:
    db = one("db", phase=Phase.ROLLING_BACK, releases=("1", "2"))
    web = one("web", ("db", "rollback"), phase=Phase.PROMOTED, basis={"db": "2"})
    old = one("old", ("db", "rollback"), phase=Phase.PROMOTED, basis={"db": "1"})
    held = one("held", ("db", "hold"), phase=Phase.PROMOTED, basis={"db": "2"})
    graph = graph_of([db, web, old, held])
    assert ruling(graph, "shop/web", NOW).caused_by == "shop/db"
    assert ruling(graph, "shop/old", NOW).caused_by == "", "it was promoted on the release before"
    assert ruling(graph, "shop/held", NOW).caused_by == ""
    assert ruling(graph, "shop/db", NOW).after == ("shop/web",)

    going = one("web", ("db", "rollback"), phase=Phase.ROLLING_BACK, basis={"db": "2"}, caused_by="shop/db")
    assert ruling(graph_of([db, going]), "shop/db", NOW).after == ("shop/web",)
    gone = one("web", ("db", "rollback"), phase=Phase.ROLLED_BACK, basis={"db": "2"}, caused_by="shop/db")
    graph = graph_of([db, gone])
    assert ruling(graph, "shop/db", NOW).after == ()
    assert ruling(graph, "shop/web", NOW).caused_by == ""


def test_a_dependency_that_is_down_altogether_waits_for_nobody() -> None:
    said = Said(Decision.ROLLBACK, "TotalOutage")
    db = one("db", phase=Phase.ROLLING_BACK, said=said)
    web = one("web", ("db", "rollback"), phase=Phase.PROMOTED, basis={"db": "2"})
    graph = graph_of([db, web])
    assert ruling(graph, "shop/db", NOW).after == ()
    assert ruling(graph, "shop/web", NOW).caused_by == "shop/db"


def test_a_rollback_that_another_caused_causes_none() -> None:
    db = one("db", ("disk", "rollback"), phase=Phase.ROLLED_BACK, caused_by="shop/disk")
    web = one("web", ("db", "rollback"), phase=Phase.PROMOTED, basis={"db": "2"})
    assert ruling(graph_of([db, web, one("disk")]), "shop/web", NOW).caused_by == ""


def test_promotions_within_five_minutes_are_looked_at_as_one_and_once() -> None:
    early, late = NOW - timedelta(minutes=9), NOW - timedelta(minutes=4)
    db = one("db", phase=Phase.PROMOTED, since=early)
    cache = one("cache", phase=Phase.PROMOTED, since=late)
    edges = (("db", "verify"), ("cache", "rollback"))
    graph = graph_of([one("web", *edges), db, cache])
    assert ruling(graph, "shop/web", NOW).verify == ()
    later = NOW + timedelta(minutes=2)
    both = ("shop/cache@2", "shop/db@2")
    assert ruling(graph, "shop/web", later).verify == both
    graph = graph_of([one("web", *edges, verified=both), db, cache])
    assert ruling(graph, "shop/web", later).verify == ()


def test_an_edge_into_another_namespace_needs_a_grant() -> None:
    web = one("web", ("data/db", "hold"))
    refused = graph_of([web, one("db", namespace="data", phase=Phase.PROGRESSING)])
    assert ruling(refused, "shop/web", NOW).problem[0] == "NotGranted"
    granted = graph_of([web, one("db", namespace="data", phase=Phase.PROGRESSING, granted=("shop",))])
    assert ruling(granted, "shop/web", NOW).hold == ("data/db",)


def test_all_members_of_a_cycle_are_refused_and_no_one_beside_it() -> None:
    ring = [one("a", ("b", "hold")), one("b", ("c", "hold")), one("c", ("a", "hold")), one("d", ("a", "hold"))]
    graph = graph_of(ring)
    assert {name: ruling(graph, f"shop/{name}", NOW).problem[0] for name in "abcd"} == {
        "a": "DependencyCycle",
        "b": "DependencyCycle",
        "c": "DependencyCycle",
        "d": "",
    }


def test_a_dependency_from_which_two_suffer_in_both_arms_pauses_all_that_depend_on_it() -> None:
    apps = [one(name, ("db", "hold"), phase=Phase.PROGRESSING) for name in ("a", "b", "c")]
    db = one("db")
    assert ruling(graph_of([*apps, db], bad=["shop/a"]), "shop/c", NOW).shared == ""
    assert ruling(graph_of([*apps, db], bad=["shop/a", "shop/b"]), "shop/c", NOW).shared == "shop/db"


@given(st.sets(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=14))
def test_cycles_are_those_that_walking_finds(pairs: set[tuple[int, int]]) -> None:
    edges = {str(at): tuple(Edge(str(to), Dependence.HOLD) for of, to in pairs if of == at) for at in range(7)}
    reach = [[(a, b) in pairs for b in range(7)] for a in range(7)]
    for k in range(7):
        for i in range(7):
            for j in range(7):
                reach[i][j] = reach[i][j] or (reach[i][k] and reach[k][j])
    assert cycles(edges) == {str(at) for at in range(7) if reach[at][at]}
