"""One shard's metrics: records in; totals, answers, and the state to go on from out.

Batches end where something begins that must not depend on where they end: before and after a record at which the time
goes on to another slot, and before one that says something of pods: an app's own rules may be others from there on, and
a state for a position knows nothing of the record at that position.
"""

import hashlib
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final

import msgspec
import zstandard

from monitor.pods.attribution import AHEAD_NS, KEEP_NS, Endpoints
from monitor.reading import SLOT_NS, WINDOW_NS, Question
from monitor.rules.own import AppRules, read_own
from monitor.rules.ruleset import RuleSet
from monitor.series.asking import look
from monitor.series.book import Book, Drops
from monitor.series.limits import SILENT_NS, Limits
from monitor.series.part import KnownPart, Part
from monitor.series.state import book_of, state_of
from monitor.series.table import NEWEST
from monitor.series.times import Times
from monitor.series.totals import Totals
from monitor.shards.shardstate import State, decode, encode
from pipeline.errors import FormatError
from pipeline.limits import MIB
from pipeline.lines.accept import Progress, check_pack
from pipeline.lines.accepted import Accepted
from pipeline.lines.assemble import assemble
from pipeline.lines.resume import ShardState, decode_state, encode_state
from pipeline.names import PACK_MAGIC
from pipeline.pack import PackBody, decode_pack
from pipeline.queue import Record

NOBODY: Final[frozenset[str]] = frozenset()

_BATCH_BYTES: Final = 8 * MIB
"""Decoded bytes after which a batch is made: its arrays then stay in the cache."""

_PRUNE_EVERY_NS: Final = 60_000_000_000
"""By the shard's clock: it looks at every pod."""

_encoder = msgspec.msgpack.Encoder()


@dataclass(slots=True)
class Counted:
    """What a shard has counted of itself, since its first record: part of its state, so that no count goes down.

    Attributes:
        records: Records read.
        record_bytes: Their bytes, as they lie in the queue.
        skipped_records: Records that the queue dropped before they were read.
        undecodable: Records that are no pack known here, by reason; skipped.
        statements: Statements about pods that were not taken in, by reason; `ahead`: heartbeats.
        over_budget: Samples that went to `_overflow`, by namespace, app and metric.
        drops: Samples that are not everywhere, by metric.
        missing_bytes: Of lines, that have not come although later ones have; nothing is complete beyond for now.
    """

    records: int = 0
    record_bytes: int = 0
    skipped_records: int = 0
    undecodable: Counter[str] = field(default_factory=Counter)
    statements: Counter[str] = field(default_factory=Counter)
    over_budget: dict[tuple[str, str, str], int] = field(default_factory=dict)
    drops: Drops = field(default_factory=Drops)
    missing_bytes: int = 0


class ShardMetrics:
    """Takes the records of one partition.

    `take`, `skip_to` and `state` are called by one thread at a time, and block. All else may be called by any thread
    meanwhile, and shows what the last batch left.

    Args:
        number: The partition.
        state: Where to go on, as `state` gave it; `None` to begin with the first record that is taken.
        rules: What makes samples of lines. A state that other rules made is taken over as far as its metrics are the
            same ones; windows of the others begin anew.
        limits: Bounds.

    Raises:
        FormatError: `state` is no state of a version known here.
    """

    def __init__(self, number: int, state: bytes | None, *, rules: RuleSet, limits: Limits) -> None:
        self._number = number
        self._rules = rules
        self._metrics = {metric.name: metric for metric in rules.metrics}
        self._decompressor = zstandard.ZstdDecompressor()
        self._lock = threading.Lock()
        self._own: dict[tuple[str, str], AppRules] = {}
        self._own_texts: dict[tuple[str, str], str] = {}
        self._own_version = 0
        self._counted = Counted()
        if state is None:
            self._begin(limits)
        else:
            self._go_on(decode(state), limits)
        self._heartbeats = self._progress.heartbeats()

    def _begin(self, limits: Limits) -> None:
        self._progress = Progress(ShardState(0), joined_ns=0)
        self._endpoints = Endpoints()
        self._book = Book(limits, self._metrics)
        self._began_ns = self._since_ns = 0
        self._is_lost = False
        self._metrics_since_ns: dict[str, int] = {}
        self._stating: frozenset[str] = NOBODY

    def _go_on(self, state: State, limits: Limits) -> None:
        try:
            self._progress = Progress(decode_state(state.lines), joined_ns=state.joined_ns)
            self._endpoints = Endpoints.of(state.endpoints)
            self._book = book_of(state.book, limits, self._rules.metrics)
        except (ValueError, KeyError, IndexError) as error:
            raise FormatError(f"the state of shard {self._number} contradicts itself: {error}") from error
        self._counted = Counted(
            state.records,
            state.record_bytes,
            state.skipped_records,
            Counter(state.undecodable),
            Counter(state.statements),
            drops=self._book.drops,
        )
        self._began_ns, self._since_ns, self._is_lost = state.began_ns, state.since_ns, state.is_lost
        newest_ns = self._book.times.newest_ns
        new = self._metrics.keys() - {metric.name for metric in state.metrics if metric in self._rules.metrics}
        kept = {name: since_ns for name, since_ns in state.metrics_since_ns.items() if name in self._metrics}
        self._metrics_since_ns = kept | dict.fromkeys(sorted(new), newest_ns)
        self._stating = frozenset(state.stating)
        self._counted.missing_bytes = self._progress.gaps().bytes
        self._read_own_rules()

    @property
    def next_offset(self) -> int:
        """Of the record to take next; 0 at first."""
        return self._progress.next_offset

    def skip_to(self, offset: int) -> None:
        """Go on at `offset`: the queue has nothing before it. Windows begin anew with the next record.

        Before the first record of a shard without a state nothing is lost by it, and nothing counted.
        """
        with self._lock:
            if self._began_ns:
                self._counted.skipped_records += max(0, offset - self._progress.next_offset)
                self._is_lost = True
                self._endpoints.miss()
                self._progress.joined_ns = self._progress.clock_ns
            self._progress.next_offset = offset

    def take(self, records: Sequence[Record]) -> int:
        """Take the first of `records`, at least one; returns how many. Call again with the others."""
        accepted, times, ticks = self._progress.begin(), self._book.times, False
        taken = decoded_bytes = 0
        for record in records:
            body = self._decode(record)
            if isinstance(body, PackBody):
                said_ns, body = body.heartbeat_ns, _believed(body, record)
                times = self._times_after(body, record)
                ticks = times.is_another_slot(self._book.times)
                if taken and (ticks or body.pods):
                    ticks = False
                    break
                self._accept(body, record, accepted)
                if said_ns != body.heartbeat_ns:
                    self._doubt(record)
                decoded_bytes += len(body.data)
            else:
                self._skip(record, body)
            taken += 1
            if ticks or decoded_bytes >= _BATCH_BYTES:
                break
        self._add(accepted, records[:taken], times if ticks else None)
        return taken

    def _decode(self, record: Record) -> PackBody | str:
        """The pack, or for which of two reasons it is none: a version not known here, or bad content."""
        try:
            body = decode_pack(record.value, decompressor=self._decompressor)
            check_pack(body)
        except FormatError:
            return "content" if record.value.startswith(PACK_MAGIC) else "version"
        return body

    def _times_after(self, body: PackBody, record: Record) -> Times:
        """The time once a record is in."""
        heard_ns, lowest_ns = self._progress.clock_ns, 0
        before = self._progress.nodes.get(body.node)
        before_ns = before.heartbeat_ns if before is not None else 0
        if body.heartbeat_ns:
            heard_ns = self._progress.clock_after(body.heartbeat_ns, record.time_ns)
        if body.heartbeat_ns // SLOT_NS > before_ns // SLOT_NS:  # else nobody's slot is left behind
            others = (node.heartbeat_ns for name, node in self._progress.nodes.items() if name != body.node)
            loud = (other_ns for other_ns in others if other_ns > heard_ns - SILENT_NS)
            lowest_ns = min((*loud, body.heartbeat_ns))
        return self._book.times.then(heard_ns=heard_ns, lowest_ns=lowest_ns, record_ns=record.time_ns)

    def _accept(self, body: PackBody, record: Record, accepted: Accepted) -> None:
        """Take what a record says of pods, and its lines that are new."""
        with self._lock:
            self._endpoints.learn(body, taken_ns=record.time_ns)
        if self._endpoints.rules_version != self._own_version:
            self._read_own_rules()
        if body.pods_ns and body.node not in self._stating:
            self._stating |= {body.node}
        midway = accepted.midway
        self._progress.accept(body, record.offset, record.time_ns, accepted)
        self._count(record)
        if not self._began_ns:
            self._began_ns = max(record.time_ns, 1)
            self._is_lost = record.offset > 0
        # A source that began before the queue: its lines until now went through another one.
        joins = accepted.midway > midway and record.time_ns < self._began_ns + WINDOW_NS
        if self._is_lost or joins:
            self._since_ns = max(self._since_ns, record.time_ns)
            self._is_lost = False

    def _doubt(self, record: Record) -> None:
        """Refuse windows that begin before a record of a node whose clock is far ahead: its lines are not in them."""
        self._since_ns = max(self._since_ns, record.time_ns)
        self._counted.statements["ahead"] += 1

    def _skip(self, record: Record, reason: str) -> None:
        """Go on after a record that is no pack."""
        self._progress.skip(record.offset)
        self._count(record)
        self._counted.undecodable[reason] += 1

    def _count(self, record: Record) -> None:
        self._counted.records += 1
        self._counted.record_bytes += len(record.value)

    def _add(self, accepted: Accepted, records: Sequence[Record], times: Times | None) -> None:
        """Add what the lines of some records give; `times` when the time has gone on to another slot."""
        made = assemble(
            accepted,
            self._progress,
            shard=self._number,
            first_offset=records[0].offset,
            arrived_ns=records[-1].time_ns,
        )
        samples = self._rules.samples(made.batch, own=self._own)
        with self._lock:
            before_ns = self._book.times.clock_ns
            if times is not None:
                self._book.pass_time(times)
            self._book.add(samples)
            if times is not None:
                self._book.tick(self._endpoints)
                if times.clock_ns // _PRUNE_EVERY_NS != before_ns // _PRUNE_EVERY_NS:
                    self._endpoints.prune(times.clock_ns - KEEP_NS)
                    self._progress.accept_gaps(times.clock_ns - WINDOW_NS)
            self._heartbeats = self._progress.heartbeats()
        self._counted.missing_bytes = self._progress.gaps().bytes

    def _read_own_rules(self) -> None:
        """Read those texts of apps' own rules that are others than before."""
        texts = self._endpoints.rules_of()
        self._own = {
            app: self._own[app] if self._own_texts.get(app) == text else read_own(text, namespace=app[0], app=app[1])
            for app, text in texts.items()
        }
        self._own_texts, self._own_version = dict(texts), self._endpoints.rules_version

    def state(self) -> bytes:
        """What to go on from at `next_offset`."""
        with self._lock:
            counted = self._counted
            state = State(
                encode_state(self._progress.state()),
                self._endpoints.state(),
                state_of(self._book),
                counted.records,
                counted.record_bytes,
                counted.skipped_records,
                dict(sorted(counted.undecodable.items())),
                dict(sorted((counted.statements + self._endpoints.dropped).items())),
                self._began_ns,
                self._since_ns,
                self._progress.joined_ns or 0,
                self._is_lost,
                self._rules.digest,
                self._rules.metrics,
                self._metrics_since_ns,
                tuple(sorted(self._stating)),
            )
        return encode(state)

    def nodes(self) -> Mapping[str, int]:
        """For each node that was heard of, up to when its lines are in; 0 while unknown."""
        return self._heartbeats

    def stating_nodes(self) -> AbstractSet[str]:
        """Nodes whose agents ever spoke of pods: nodes of a cluster, whose API server knows whether they exist."""
        return self._stating

    def watermark_ns(self, gone: AbstractSet[str] = NOBODY) -> int:
        """Up to when all lines are in; 0 while unknown. Nodes that are `gone` are not waited for."""
        return min((heard_ns for node, heard_ns in self._heartbeats.items() if node not in gone), default=0)

    def counted(self) -> Counted:
        """A copy of what was counted."""
        with self._lock:
            one = self._counted
            over = {
                (*app, table.metric.name): count
                for table in self._book.in_order()
                for app, count in table.over().items()
            }
            return Counted(
                one.records,
                one.record_bytes,
                one.skipped_records,
                Counter(one.undecodable),
                one.statements + self._endpoints.dropped,
                over,
                self._book.drops.copy(),
                one.missing_bytes,
            )

    def totals(self) -> list[Totals]:
        """What a scrape shows."""
        with self._lock:
            return [table.shown() for table in self._book.in_order() if len(table.totals)]

    def part(self, question: Question, gone: AbstractSet[str] = NOBODY) -> Part:
        """What this shard knows of a question. Nodes that are `gone` are not waited for."""
        with self._lock:
            watermark_ns = self.watermark_ns(gone)
            certain_ns = max(watermark_ns, self._book.times.certain_ns)
            found = look(self._book, self._endpoints, question, certain_ns=certain_ns)
            held_ns = max(
                self._since_ns,
                self._metrics_since_ns.get(question.metric, 0),
                self._book.times.first_slot * SLOT_NS,
            )
        if not found:
            return Part(self._number, self._metrics.get(question.metric), watermark_ns, held_ns)
        first = found[0]
        return Part(
            self._number,
            first.metric,
            watermark_ns,
            held_ns,
            first.groups,
            first.newest,
            first.unattributed,
            first.overflowed,
            sum(other.count for other in found[1:]),
        )

    def known(self, *, namespace: str | None = None, app: str | None = None) -> tuple[KnownPart, ...]:
        """The metrics that have series here, of a namespace, an app, or all."""
        with self._lock:
            found = []
            for table in self._book.in_order():
                names = [
                    (hashlib.blake2b(_encoder.encode(labels), digest_size=8).digest(), row)
                    for labels, row in zip(table.totals.sets(), table.totals.rows().tolist(), strict=True)
                    if namespace in (None, labels.namespace) and app in (None, labels.app)
                ]
                if names:
                    newest = table.totals.facts[NEWEST]
                    sets = b"".join(name for name, _ in names)
                    found.append(KnownPart(table.metric, sets, max(int(newest[row]) for _, row in names)))
            return tuple(found)


def _believed(body: PackBody, record: Record) -> PackBody:
    """A pack without its heartbeat if that is far ahead of the queue's clock: nothing is complete up to then."""
    if body.heartbeat_ns <= record.time_ns + AHEAD_NS:
        return body
    return msgspec.structs.replace(body, heartbeat_ns=0)
