"""Everything that is there at one moment: the table at a pinned version, the heads from its offsets on."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

from logger.reading.headpiece import head_pieces
from logger.reading.peers import Peers
from logger.reading.peerstakeover import Takeover
from logger.reading.peersview import OtherHeads, StaleViewError
from logger.reading.peerswire import ANYWHERE
from logger.reading.pieces import Deleted, Piece, ReadsTable, TablePiece
from logger.table.snapshot import Snapshot
from pipeline.errors import StoreUnavailableError
from pipeline.lines.batch import Batch

_PIN_ATTEMPTS: Final = 5

T = TypeVar("T")


class ReadsHead(Protocol):
    """What reading needs of `logger.head.Head`."""

    @property
    def changes(self) -> int:
        """Counts appended batches."""

    def batches(self, shard: int, from_offset: int) -> Sequence[Batch]:
        """Batches from an offset on."""

    def oldest(self, shard: int) -> int | None:
        """First offset in memory."""

    def ends(self) -> Mapping[int, int]:
        """Offset after the last record, by shard."""

    def shards(self) -> frozenset[int]:
        """Shards whose rows are here."""

    def watermark(self, app: str | None = None) -> int | None:
        """Time up to which lines are complete."""

    def shard_watermark(self, shard: int) -> int | None:
        """The same of one shard."""

    async def wait(self, seen: int) -> int:
        """Wait for the counter of changes to be above `seen`."""


class PinsTable(ReadsTable, Protocol):
    """What reading needs of `logger.table.reader.TableReader`."""

    def refresh(self) -> Snapshot:
        """Look for a newer version."""


class MarksDeleted(Deleted, Protocol):
    """What reading needs of `logger.table.tombstones.Tombstones`."""

    def add(self, app: str, positions: Mapping[int, int]) -> None:
        """Delete everything before `positions`; durable when it returns. Blocks."""

    def refresh(self) -> None:
        """Learn of other loggers' deletions. Blocks."""


@dataclass(frozen=True, slots=True)
class View:
    """Everything that is there at one moment, each row once.

    Attributes:
        snapshot: The table.
        batches: The head's batches that are not in it.
        watermark_ns: Time up to which the view is complete, other loggers' heads apart; `None` while unknown.
        loading: For each shard that this logger has taken over and not yet read up to the end, how far it is.
        others: The heads of other loggers; `None` when there are none.
    """

    snapshot: Snapshot
    batches: Sequence[Batch]
    watermark_ns: int | None
    loading: Mapping[int, int] = field(default_factory=dict)
    others: OtherHeads | None = None

    def pieces(self, app: str, table: ReadsTable) -> list[Piece]:
        """Where the app's rows are."""
        return [
            *(TablePiece(app, entry, table) for entry in self.snapshot.of_app(app)),
            *head_pieces(app, self.batches),
        ]

    def missing(self, ends: Mapping[int, int]) -> frozenset[int]:
        """Shards of which rows before `ends`, or the newest ones, may not be in reach."""
        here = {shard for shard, have in self.loading.items() if ends.get(shard, have + 1) > have}
        return frozenset(here if self.others is None else here | self.others.missing)

    def complete_up_to(self) -> int | None:
        """Watermark of everything; once the other heads have answered."""
        if self.others is None:
            return None if self.loading else self.watermark_ns
        marks = [self.others.watermarks.get(shard) for shard in self.others.starts]
        if len(marks) < self.others.peers.partitions:
            marks.append(self.watermark_ns)
        known = [mark for mark in marks if mark is not None]
        return min(known) if len(known) == len(marks) and not self.loading and not self.others.missing else None


class Views:
    """Pins versions of the table.

    Args:
        head: The newest rows; used on the event loop only.
        table: The table; used in threads.
        peers: The loggers that own the other shards; `None` when all are owned here.
        takeover: Which shards are being loaded.
    """

    def __init__(self, *, head: ReadsHead, table: PinsTable, peers: Peers | None, takeover: Takeover) -> None:
        self._head = head
        self._table = table
        self._peers = peers
        self._takeover = takeover

    async def view(self, *, anywhere: frozenset[int] = frozenset()) -> View:
        """Pin the table and take what is newer from the head.

        Args:
            anywhere: Shards of other loggers that were never committed: they begin wherever their queue does.

        Raises:
            StoreUnavailableError: The storage fails.
        """
        version: int | None = None
        for _ in range(_PIN_ATTEMPTS):
            marks = self._watermarks()
            snapshot = await asyncio.to_thread(self._table.refresh)
            batches, missing = _newer(self._head, snapshot)
            # A shard that was never committed begins wherever its queue does: only a newer version could tell more.
            if not missing or (version == snapshot.version and not missing & snapshot.positions.keys()):
                return self._viewed(snapshot, batches, marks, anywhere)
            version = snapshot.version
        raise StoreUnavailableError("the table lags behind what the head has let go")

    def _watermarks(self) -> Mapping[int, int | None]:
        """Of each shard here, or of all together where all are here; taken before a version is pinned."""
        if self._peers is None:
            return {-1: self._head.watermark()}
        return {shard: self._head.shard_watermark(shard) for shard in self._head.shards()}

    def _viewed(
        self,
        snapshot: Snapshot,
        batches: Sequence[Batch],
        marks: Mapping[int, int | None],
        anywhere: frozenset[int],
    ) -> View:
        if self._peers is None:
            return View(snapshot, batches, marks[-1])
        ends = self._head.ends()
        here = [marks.get(shard) for shard in ends]
        known = [mark for mark in here if mark is not None]
        starts = {
            shard: ANYWHERE if shard in anywhere else snapshot.positions.get(shard, 0)
            for shard in range(self._peers.partitions)
            if shard not in ends
        }
        return View(
            snapshot,
            batches,
            min(known) if known and len(known) == len(here) else None,
            {shard: end for shard, end in ends.items() if self._takeover.is_loading(shard)},
            OtherHeads(self._peers, starts, asyncio.get_running_loop()),
        )

    async def over(self, read: Callable[[View], Awaitable[T]]) -> T:
        """Read a view; a newer one when other loggers have let go of rows that the first one has not."""
        version: int | None = None
        anywhere: frozenset[int] = frozenset()
        for _ in range(_PIN_ATTEMPTS):
            view = await self.view(anywhere=anywhere)
            try:
                return await read(view)
            except StaleViewError as error:
                if view.snapshot.version == version:
                    anywhere = error.shards - view.snapshot.positions.keys()
                version = view.snapshot.version
        raise StoreUnavailableError("the table lags behind what other loggers have let go")


def _newer(head: ReadsHead, snapshot: Snapshot) -> tuple[list[Batch], set[int]]:
    """The head's batches that are not in `snapshot`, and the shards of which some are in neither."""
    batches: list[Batch] = []
    missing: set[int] = set()
    for shard, end in head.ends().items():
        position = snapshot.positions.get(shard, 0)
        newer = head.batches(shard, position)
        first = newer[0].first_offset if newer else end
        if first > position:
            missing.add(shard)
        batches.extend(newer)
    return batches, missing
