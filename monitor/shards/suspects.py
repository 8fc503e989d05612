"""Nodes that may be gone: those that are silent while others speak."""

from typing import Final

from monitor.shards.owning import Owning

SILENT_NS: Final = 30_000_000_000
"""A node that is so far behind the newest one is worth a question. Agents send heartbeats every second or so."""


def suspects(owning: Owning) -> set[str]:
    """Nodes of a cluster that are so far behind, by the shards that are held here. A node speaks in every shard."""
    newest: dict[str, int] = {}
    stating: set[str] = set()
    for held in list(owning.shards.values()):
        stating |= held.metrics.stating_nodes()
        for node, known_ns in held.metrics.nodes().items():
            newest[node] = max(newest.get(node, 0), known_ns)
    latest_ns = max(newest.values(), default=0)
    return {node for node, known_ns in newest.items() if node in stating and known_ns < latest_ns - SILENT_NS}
