"""The graph of canaries as a tree and in DOT."""

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from deis_telemetry.graphtext import dot_of, tree_of
from deis_telemetry.judged import Canary, Edge, Graph, Refusal, Status
from monitor.canary.resource.canary import canary_of


def node(name: str, phase: str = "Idle") -> Canary:
    return Canary("shop", name, status=Status(phase=phase))


def edge(start: str, to: str, policy: str = "hold") -> Edge:
    return Edge(f"shop/{start}", f"shop/{to}", policy)


def test_below_each_canary_stands_what_it_depends_on_and_each_is_unfolded_once() -> None:
    nodes = (node("web", "Held"), node("api", "Progressing"), node("db", "Promoted"), node("mail"))
    edges = (edge("web", "api"), edge("web", "db", "verify"), edge("api", "db", "rollback"), edge("db", "mail"))
    assert list(tree_of(Graph(nodes, edges))) == [
        "shop/web  Held",
        "├─ hold shop/api  Progressing",
        "│  └─ rollback shop/db  Promoted",
        "│     └─ hold shop/mail  Idle",
        "└─ verify shop/db  Promoted, see above",
    ]


def test_a_cycle_is_shown_with_its_refusal() -> None:
    refused = {f"shop/{name}": Refusal("DependencyCycle") for name in "ab"}
    graph = Graph((node("a"), node("b")), (edge("a", "b"), edge("b", "a")), refused)
    assert list(tree_of(graph)) == [
        "shop/a  refused: DependencyCycle",
        "└─ hold shop/b  refused: DependencyCycle",
        "   └─ hold shop/a  refused: DependencyCycle, see above",
    ]


def test_a_chain_deeper_than_calls_may_be_is_shown() -> None:
    names = [f"c{number:05d}" for number in range(3000)]
    edges = tuple(edge(one, other) for one, other in pairwise(names))
    assert len(list(tree_of(Graph(tuple(map(node, names)), edges)))) == 3000


def test_the_graph_of_the_monitor_is_printed(run: Callable[..., Any], monitor: Any) -> None:
    def made(name: str, *depends: dict[str, str]) -> Any:
        facts = {"namespace": "shop", "name": name, "uid": "1", "resourceVersion": "1"}
        return canary_of({"metadata": facts, "spec": {"targetRef": {"name": name}, "dependsOn": depends}})

    monitor.canaries = [[made("api"), made("web", {"name": "api", "policy": "rollback"})]]
    assert run("graph").out.splitlines() == ["shop/web  Idle", "└─ rollback shop/api  Idle"]
    assert '"shop/web" -> "shop/api" [label="rollback"];' in run("graph", "--dot").out


@example(name="\\", phase='"', policy='\\"')
@given(name=st.text(max_size=20), phase=st.text(max_size=20), policy=st.text(max_size=20))
def test_no_text_ends_a_string_of_dot(name: str, phase: str, policy: str) -> None:
    graph = Graph((node(name, phase),), (edge(name, name, policy),))
    lines = list(dot_of(graph))
    assert len(lines) == 6
    for line in lines[3:5]:
        assert re.sub(r'"(?:[^"\\]|\\.)*"', "S", line) in ("  S [label=S];", "  S -> S [label=S];")
        assert "\x1b" not in line
