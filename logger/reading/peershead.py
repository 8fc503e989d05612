"""What this logger's head answers to other loggers.

Nothing here waits: rows are taken on the event loop, and made into answers in a thread.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from logger.reading.context import SAME
from logger.reading.filter import EXACT, LineFilter
from logger.reading.headpiece import copied, head_pieces
from logger.reading.lines import own_values
from logger.reading.merge import key_value
from logger.reading.page import Selection, collected
from logger.reading.peerstakeover import Takeover
from logger.reading.peerswire import (
    ANYWHERE,
    EVICTED,
    LOADING,
    MOVED,
    AppsAnswer,
    AppsQuestion,
    ArrivalsFrame,
    BatchForm,
    PeerFormatError,
    RowsFacts,
    RowsQuestion,
    Standing,
    batch_form,
    encode,
    encode_rows,
)
from logger.reading.pieces import Deleted, Reach, Rows
from logger.reading.pinned import ReadsHead
from logger.reading.scan import PieceScan, Wanted
from logger.reading.search import compile_regex
from logger.reading.summary import summaries
from logger.rows import SCHEMA
from logger.table.snapshot import Snapshot
from pipeline.limits import MIB
from pipeline.lines.batch import Batch

FRAME_ROWS: Final = 4096
"""A frame of arrivals is closed at the batch that brings it to so many rows,"""

FRAME_CONTENT_BYTES: Final = 1 * MIB
"""or to so many bytes; a record is never cut."""

_EMPTY: Final = Snapshot(0, {}, {})


@dataclass(frozen=True, slots=True)
class Held:
    """What the head has of some shards at one moment.

    Attributes:
        standing: Of the shards.
        batches: With their rows, for those that are not refused.
    """

    standing: Standing
    batches: Sequence[Batch]


class PeerHead:
    """Answers questions about the head.

    Args:
        head: The newest rows.
        deleted: Which rows are deleted.
        takeover: Which shards are being loaded.
    """

    def __init__(self, *, head: ReadsHead, deleted: Deleted, takeover: Takeover) -> None:
        self._head = head
        self._deleted = deleted
        self._takeover = takeover

    def held(self, starts: Mapping[int, int], ends: Mapping[int, int]) -> Held:
        """Take what is there from `starts` on; on the event loop.

        Args:
            starts: For each shard asked for, the offset from which on all rows are wanted, or `ANYWHERE`.
            ends: A shard that has been read up to its end here is not refused for being loaded.
        """
        standing = Standing({}, {}, {})
        found: list[Batch] = []
        for shard, start in starts.items():
            batches = self._from(shard, start, standing)
            if batches is None:
                continue
            if self._takeover.is_loading(shard, ends.get(shard)):
                standing.refused[shard] = LOADING
                continue
            self._note(shard, self._head.ends()[shard], standing)
            found.extend(batches)
        return Held(standing, found)

    def selection(self, question: RowsQuestion) -> Selection:
        """What a question asks for.

        Raises:
            PeerFormatError: A column is asked for that is not asked for by value.
            PatternError: An expression that is not matched here.
        """
        if not {name for name, _ in question.exact} <= {*EXACT, *SAME}:
            raise PeerFormatError("not a column to be asked for")
        if question.regex:
            compile_regex(question.regex)
        return Selection(
            question.app,
            question.limit,
            descending=question.descending,
            since_ns=question.since_ns,
            until_ns=question.until_ns,
            beyond=question.beyond,
            lines=LineFilter(question.exact, question.text, question.regex),
            ends=question.ends,
            seconds=question.seconds,
        )

    def rows(self, selection: Selection, hidden: Mapping[int, int], held: Held, gone: Callable[[], bool]) -> bytes:
        """Rows of a page, but for those before `hidden`; blocks.

        Raises:
            AbandonedError: `gone` said so.
        """
        page = collected(self._scans(selection, hidden, held, gone), selection, None)
        return encode_rows(own_values(page.table), RowsFacts(held.standing, page.following))

    def _scans(
        self, selection: Selection, hidden: Mapping[int, int], held: Held, gone: Callable[[], bool]
    ) -> list[PieceScan]:
        descending = selection.descending
        beyond = None if selection.beyond is None else key_value(selection.beyond, descending=descending)
        boundary = self._deleted.boundary(selection.app) or {}
        starts = {shard: max(hidden.get(shard, 0), boundary.get(shard, 0)) for shard in held.standing.ends}
        reach = Reach({shard: start for shard, start in starts.items() if start}, selection.ends)
        wanted = Wanted(
            descending,
            selection.since_ns,
            selection.until_ns,
            beyond,
            selection.lines,
            reach,
            first_rows=selection.limit + 1,
        )
        return [PieceScan(piece, wanted, gone=gone) for piece in head_pieces(selection.app, held.batches)]

    def apps(self, question: AppsQuestion, held: Held) -> bytes:
        """What there is of each app; blocks."""
        hidden = _AlsoHidden(self._deleted, question.hidden)
        found = summaries(_EMPTY, list(held.batches), table=_NoTable(), deleted=hidden, wanted=lambda _: True)
        apps = [(each.app, each.first_ns, each.last_ns, each.lines) for each in found]
        return encode(AppsAnswer(held.standing, apps))

    def frame(self, app: str, positions: Mapping[int, int]) -> ArrivalsFrame:
        """An app's rows in arrival order from `positions` on, as many as one frame has; on the event loop."""
        standing = Standing({}, {}, {})
        forms: list[BatchForm] = []
        room = _Room()
        for shard, start in positions.items():
            batches = self._from(shard, start, standing)
            if batches is None:
                continue
            reached = batches[0].first_offset if start == ANYWHERE and batches else start
            for batch in batches:
                if room.is_full:
                    break
                reached = _put(batch, app, reached, forms, room)
                if reached < batch.next_offset:
                    break  # cut where the next record would not fit; there may be room for one of the next batch
            else:
                reached = max(reached, self._head.ends()[shard])
            self._note(shard, reached, standing)
        is_current = all(end >= self._head.ends()[shard] for shard, end in standing.ends.items())
        return ArrivalsFrame(standing, forms, is_current)

    def _from(self, shard: int, start: int, standing: Standing) -> Sequence[Batch] | None:
        """The batches from `start` on; `None`, and the reason noted, when they are not all here."""
        if shard not in self._head.shards():
            standing.refused[shard] = MOVED
            return None
        batches = self._head.batches(shard, start)
        first = batches[0].first_offset if batches else self._head.ends()[shard]
        if start != ANYWHERE and first > start:
            standing.refused[shard] = EVICTED
            return None
        return batches

    def _note(self, shard: int, end: int, standing: Standing) -> None:
        standing.ends[shard] = end
        standing.watermarks[shard] = self._head.shard_watermark(shard)


@dataclass(slots=True)
class _Room:
    rows: int = 0
    content_bytes: int = 0

    @property
    def is_full(self) -> bool:
        return self.rows >= FRAME_ROWS or self.content_bytes >= FRAME_CONTENT_BYTES


def _put(batch: Batch, app: str, start: int, forms: list[BatchForm], room: _Room) -> int:
    """Put an app's rows of a batch from `start` on into a frame, as many whole records as fit, at least one.

    Returns:
        The offset after the last record.
    """
    rows = batch.of_app(app)
    if len(rows):
        rows = rows[batch.queue_offset[rows] >= start]
    if not len(rows):
        return max(start, batch.next_offset)
    end = _cut(batch, rows, room)
    rows = rows[batch.queue_offset[rows] < end]
    room.rows += len(rows)
    room.content_bytes += int((batch.stops[rows] - batch.starts[rows]).sum())
    forms.append(batch_form(copied([(batch, rows)]), first_offset=max(start, batch.first_offset), next_offset=end))
    return end


def _cut(batch: Batch, rows: Rows, room: _Room) -> int:
    order = np.argsort(batch.queue_offset[rows], kind="stable")
    offsets = batch.queue_offset[rows][order]
    sizes = np.cumsum((batch.stops[rows] - batch.starts[rows])[order])
    most_rows = FRAME_ROWS - room.rows
    fitting = min(most_rows, int(np.searchsorted(sizes, FRAME_CONTENT_BYTES - room.content_bytes, "right")))
    if fitting >= len(rows):
        return batch.next_offset
    return max(int(offsets[fitting]), int(offsets[0]) + 1)


@dataclass(frozen=True, slots=True)
class _AlsoHidden:
    """What is deleted here, or by whoever asks."""

    deleted: Deleted
    hidden: Mapping[str, Mapping[int, int]]

    def boundary(self, app: str, entry: object = None) -> Mapping[int, int] | None:
        """See `Deleted`; of the head."""
        del entry
        here, there = self.deleted.boundary(app) or {}, self.hidden.get(app, {})
        return {shard: max(here.get(shard, 0), there.get(shard, 0)) for shard in here.keys() | there.keys()} or None


class _NoTable:
    """Stands for a table without files."""

    queue_id = ""

    def read(self, *_: object, **__: object) -> pa.Table:
        """Nothing to read."""
        return SCHEMA.empty_table()

    def row_group_ends(self, *_: object) -> Sequence[int]:
        """Nothing there."""
        return ()
