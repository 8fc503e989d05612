"""The graph of canaries as a tree of text, and in Graphviz's language. Pure."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from deis_logs.safe import visible
from deis_telemetry.judged import Canary, Edge, Graph

_Children = Mapping[str, Sequence[Edge]]


def tree_of(graph: Graph) -> Iterator[str]:
    """Who depends on whom: below each canary, those that it depends on.

    On top are those on which nobody depends, then those of cycles. One that was shown before is not unfolded again.
    """
    nodes = {node.path: node for node in graph.nodes}
    children = _children(graph)
    depended = {edge.to for edge in graph.edges}
    shown: set[str] = set()
    for root in [*sorted(nodes.keys() - depended), *sorted(nodes.keys() & depended)]:
        if root not in shown:
            yield from _unfolded(root, graph, nodes, children, shown)


def _unfolded(
    root: str, graph: Graph, nodes: Mapping[str, Canary], children: _Children, shown: set[str]
) -> Iterator[str]:
    """One tree; on a stack of its own, for a graph may be deeper than calls may be."""
    ahead: list[tuple[str, str, str]] = [("", "", root)]
    while ahead:
        lead, indent, path = ahead.pop()
        again = path in shown and bool(children.get(path))
        yield visible(f"{lead}{_node(path, graph, nodes)}{', see above' if again else ''}")
        if path in shown:
            continue
        shown.add(path)
        edges = children.get(path, ())
        for number, edge in reversed(list(enumerate(edges))):
            last = number == len(edges) - 1
            ahead.append(
                (f"{indent}{'└' if last else '├'}─ {edge.policy} ", f"{indent}{' ' if last else '│'}  ", edge.to)
            )


def _children(graph: Graph) -> _Children:
    found: dict[str, list[Edge]] = defaultdict(list)
    for edge in graph.edges:
        found[edge.dependent].append(edge)
    return {path: sorted(edges, key=lambda edge: edge.to) for path, edges in found.items()}


def _node(path: str, graph: Graph, nodes: Mapping[str, Canary]) -> str:
    return f"{path}  {state_of(path, graph, nodes)}"


def state_of(path: str, graph: Graph, nodes: Mapping[str, Canary]) -> str:
    """How a canary of the graph stands, in a few words."""
    refusal = graph.refused.get(path)
    if refusal is not None:
        return f"refused: {refusal.reason}"
    node = nodes.get(path)
    if node is None:
        return "not known"
    status = node.status
    judged = f" {status.canary_release}" if status.canary_release else ""
    why = f" ({status.reason})" if status.reason else ""
    return f"{status.phase}{judged}{why}"


def dot_of(graph: Graph) -> Iterator[str]:
    """The graph for `dot`; an arrow leads to what is depended on."""
    nodes = {node.path: node for node in graph.nodes}
    yield "digraph canaries {"
    yield "  rankdir=LR;"
    yield "  node [shape=box];"
    for path in sorted(nodes):
        yield f"  {_quoted(path)} [label={_quoted(path, state_of(path, graph, nodes))}];"
    for edge in sorted(graph.edges, key=lambda edge: (edge.dependent, edge.to)):
        yield f"  {_quoted(edge.dependent)} -> {_quoted(edge.to)} [label={_quoted(edge.policy)}];"
    yield "}"


def _quoted(*lines: str) -> str:
    """A string of DOT: nothing in it ends it, begins an escape, or acts on a terminal."""
    escaped = (visible(line).replace("\\", "\\\\").replace('"', '\\"') for line in lines)
    return '"' + "\\n".join(escaped) + '"'
