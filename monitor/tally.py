"""What the monitor has seen: bytes and lines by app, watermarks by shard, and records that are no packs. Pure.

Counts are at least once: a record that is sent or read again after a crash counts again. One that retention took before
it was read is in `skipped_records`.
"""

import contextlib
import copy
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from pipeline.pack import PackBody

OVERFLOW: Final = "_overflow"
"""Stands for all apps beyond the bound; no app is called so, since names begin with a letter or digit."""

NODES: Final = 5000
"""Most nodes of a shard whose heartbeats are remembered."""


@dataclass(slots=True)
class Traffic:
    """What one app wrote.

    Attributes:
        bytes: Bytes of lines as the runtime stored them, times and tags included.
        lines: Stored lines; each piece of a long line is one.
    """

    bytes: int = 0
    lines: int = 0


@dataclass(slots=True)
class Tally:
    """Everything seen since the start.

    Attributes:
        apps_limit: Most apps that `apps` tells apart.
        apps: Traffic by app, `OVERFLOW` for the rest.
        heartbeats: Newest heartbeat of each node by shard, nanoseconds since the epoch.
        records: Records read, by shard.
        record_bytes: Their bytes, as they lie in the queue.
        undecodable: Records that are no pack known here, by reason; skipped.
        skipped_records: Records that the queue had dropped before they were read, by shard.
        nodes_ignored: Heartbeats of nodes beyond `NODES`.
    """

    apps_limit: int
    apps: dict[str, Traffic] = field(default_factory=dict)
    heartbeats: dict[int, dict[str, int]] = field(default_factory=dict)
    records: Counter[int] = field(default_factory=Counter)
    record_bytes: Counter[int] = field(default_factory=Counter)
    undecodable: Counter[str] = field(default_factory=Counter)
    skipped_records: Counter[int] = field(default_factory=Counter)
    nodes_ignored: int = 0

    def add_record(self, shard: int, size_bytes: int) -> None:
        """Count a record, whatever it holds."""
        self.records[shard] += 1
        self.record_bytes[shard] += size_bytes

    def add_pack(self, shard: int, pack: PackBody) -> None:
        """Count what a record holds."""
        position = 0
        for header in pack.headers:
            stop = position + header.length
            traffic = self._traffic(pack.origins[header.origin].app)
            traffic.bytes += header.length
            traffic.lines += pack.data.count(b"\n", position, stop)
            position = stop
        if pack.heartbeat_ns:
            self._add_heartbeat(shard, pack.node, pack.heartbeat_ns)

    def watermark_ns(self, shard: int) -> int | None:
        """Up to when the shard is complete, over the nodes that have spoken; `None` before the first has."""
        return min(self.heartbeats.get(shard, {}).values(), default=None)

    def _traffic(self, app: str) -> Traffic:
        known = self.apps.get(app)
        if known is not None:
            return known
        named = len(self.apps) - (OVERFLOW in self.apps)
        return self.apps.setdefault(app if named < self.apps_limit else OVERFLOW, Traffic())

    def _add_heartbeat(self, shard: int, node: str, heartbeat_ns: int) -> None:
        nodes = self.heartbeats.setdefault(shard, {})
        if node in nodes or len(nodes) < NODES:
            nodes[node] = max(nodes.get(node, 0), heartbeat_ns)
        else:
            self.nodes_ignored += 1


class SharedTally:
    """A tally that one thread adds to while a scrape, in another, reads it."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def change(self) -> Iterator[Tally]:
        """The tally, for one short change."""
        with self._lock:
            yield self._tally

    def snapshot(self) -> Tally:
        """A copy that changes no more."""
        with self._lock:
            return copy.deepcopy(self._tally)
