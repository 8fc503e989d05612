"""Questions about what is there: the table at a pinned version, and the head from that version's offsets on."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Final, TypeVar

import numpy as np
import pyarrow as pa
import structlog

from logger.reading.context import SAME, KeptGroups, Neighbours, group_of
from logger.reading.cursor import ReadingKey
from logger.reading.filter import LineFilter
from logger.reading.gate import Gate
from logger.reading.lines import integers, reading_keys, taken, texts
from logger.reading.merge import Scan, key_value
from logger.reading.page import Page, Selection, collected, message_bytes
from logger.reading.peers import Peers
from logger.reading.peerstakeover import Takeover
from logger.reading.pieces import ReadsTable
from logger.reading.pinned import MarksDeleted, PinsTable, ReadsHead, View, Views
from logger.reading.scan import PieceScan, Wanted
from logger.reading.search import Mask
from logger.reading.summary import AppSummary, summaries, together
from logger.rows import SCHEMA
from pipeline.errors import RetriableError, StoreUnavailableError

LAST_LINES_BYTES: Final = 64 * 1024 * 1024
"""Messages of the answer of `LogReader.last_lines`: only the newest lines that fit into it are given."""

CONTEXT_ROWS: Final = 10_000
"""A page with context ends after the match that brings it to so many rows."""

DELETIONS_SECONDS: Final = 1.0
"""How often deletions that other loggers took are looked for: they are obeyed everywhere within two seconds."""

_TOLD_SECONDS: Final = 60.0  # by then all loggers have heard of a deletion


log = structlog.get_logger()

T = TypeVar("T")


class PartialError(RetriableError):
    """The newest rows of some shards are not in reach now: their owner is away, or still reads."""

    def __init__(self, shards: frozenset[int]) -> None:
        self.shards = shards
        super().__init__(f"no answer from the owners of shards {', '.join(map(str, sorted(shards)))}")


class LogReader:
    """Answers questions about lines.

    Args:
        head: The newest rows; used on the event loop only.
        table: The table; used in threads.
        tombstones: Which rows are deleted.
        ends: Offset after the last record of each shard in the queue: what a deletion reaches up to.
        peers: The loggers that own the other shards; `None` when all are owned here.
    """

    def __init__(
        self,
        *,
        head: ReadsHead,
        table: PinsTable,
        tombstones: MarksDeleted,
        ends: Callable[[], Awaitable[Mapping[int, int]]],
        peers: Peers | None = None,
    ) -> None:
        self.head = head
        self.table = table
        self.tombstones = tombstones
        self.peers = peers
        self.takeover = Takeover(head=head, ends=ends)
        self._ends = ends
        self._deleted_at: dict[str, float] = {}  # by whoever asked here; the other loggers may not know of it yet
        self._views = Views(head=head, table=table, peers=peers, takeover=self.takeover)
        self._scans_gate = Gate(running=2, waiting=16)
        self._reads_gate = Gate(running=4, waiting=256)

    async def view(self) -> View:
        """Pin the table and take what is newer from the head.

        Raises:
            StoreUnavailableError: The storage fails.
        """
        return await self._views.view()

    async def page(
        self, selection: Selection, *, gone: Callable[[], bool] = lambda: False, whole: bool = False
    ) -> Page:
        """One page of lines.

        Args:
            selection: What is asked for.
            gone: Whether whoever asked is gone; called from a thread.
            whole: Whether a page that lacks rows of some shards is of no use.

        Raises:
            AbandonedError: `gone` said so.
            BusyError: Too many queries at once.
            PartialError: Rows are not in reach, and the page was to be whole.
            StoreUnavailableError: The storage fails.
        """
        gate = self._scans_gate if selection.lines.searches else self._reads_gate

        async def read(view: View) -> Page:
            page = await asyncio.to_thread(self.page_of, view, selection, gone)
            return replace(page, watermark_ns=view.complete_up_to(), partial=view.missing(selection.ends))

        async with gate.pass_through():
            page = await self._views.over(read)
        if page.partial and whole:
            raise PartialError(page.partial)
        self._count(page.partial)
        return page

    def _count(self, partial: frozenset[int]) -> None:
        if partial and self.peers is not None:
            self.peers.partial.inc()

    def page_of(self, view: View, selection: Selection, gone: Callable[[], bool] = lambda: False) -> Page:
        """One page of lines out of a view; blocks."""
        if not (selection.before or selection.after):
            return self._plain_page(view, selection, gone, self.table)
        return self._page_with_context(view, selection, gone)

    def _plain_page(self, view: View, selection: Selection, gone: Callable[[], bool], table: ReadsTable) -> Page:
        return collected(self._scans(view, selection, gone, table), selection, view.watermark_ns)

    def _page_with_context(self, view: View, selection: Selection, gone: Callable[[], bool]) -> Page:
        deadline = time.monotonic() + selection.seconds
        page = self._plain_page(view, selection, gone, self.table)
        lead, trail = (selection.before, selection.after)[:: -1 if selection.descending else 1]
        kept, parts, rows = KeptGroups(self.table), [], 0
        following = page.following
        for number, key in enumerate(reading_keys(page.table), 1):
            match = page.table.slice(number - 1, 1)
            around = self._neighbours(view, selection, match, key, lead=lead, trail=trail, gone=gone, table=kept)
            parts.append(group_of(match, around, lead=lead, trail=trail))
            rows += parts[-1][0].num_rows
            if number < page.table.num_rows and (rows >= CONTEXT_ROWS or time.monotonic() > deadline):
                following = key
                break
        table = pa.concat_tables([part for part, _ in parts]) if parts else page.table
        context = np.concatenate([np.zeros(0, np.bool_), *(mask for _, mask in parts)])
        return Page(table, following, page.watermark_ns, context=context)

    def _neighbours(
        self,
        view: View,
        selection: Selection,
        match: pa.Table,
        key: ReadingKey,
        *,
        lead: int,
        trail: int,
        gone: Callable[[], bool],
        table: ReadsTable,
    ) -> Neighbours:
        same = tuple((name, frozenset(texts(match[name]))) for name in SAME)
        asked = Selection(selection.app, trail, beyond=key, lines=LineFilter(same), ends=selection.ends)

        def rows(count: int, *, descending: bool) -> pa.Table:
            if not count:
                return SCHEMA.empty_table()
            return self._plain_page(view, replace(asked, limit=count, descending=descending), gone, table).table

        def matching(found: pa.Table) -> Mask:
            orders = integers(found["order_ns"])
            since, until = selection.since_ns, selection.until_ns
            within = (orders >= (-(2**63) if since is None else since)) & (
                orders <= (2**63 - 1 if until is None else until - 1)
            )
            return within & selection.lines.mask(found, gone=gone)

        earlier = rows(lead + trail, descending=not selection.descending)
        later = rows(trail, descending=selection.descending)
        return Neighbours(earlier, matching(earlier), later, matching(later))

    async def apps(self, wanted: Callable[[str], bool]) -> tuple[list[AppSummary], frozenset[int]]:
        """What there is of each app that is wanted, by name; and the shards whose newest rows are not counted.

        Raises:
            BusyError: Too many queries at once.
            StoreUnavailableError: The storage fails.
        """

        async def read(view: View) -> tuple[list[AppSummary], frozenset[int]]:
            others = await self._apps_elsewhere(view, wanted)
            found = await asyncio.to_thread(
                summaries, view.snapshot, list(view.batches), table=self.table, deleted=self.tombstones, wanted=wanted
            )
            return together([*found, *others]) if others else found, view.missing({})

        async with self._scans_gate.pass_through():
            found, partial = await self._views.over(read)
        self._count(partial)
        return found, partial

    async def _apps_elsewhere(self, view: View, wanted: Callable[[str], bool]) -> list[AppSummary]:
        if view.others is None:
            return []
        since = time.monotonic() - _TOLD_SECONDS
        self._deleted_at = {app: moment for app, moment in self._deleted_at.items() if moment > since}
        boundaries = {app: self.tombstones.boundary(app) for app in self._deleted_at}
        apps = await view.others.apps({app: boundary for app, boundary in boundaries.items() if boundary})
        return [AppSummary(*each) for each in apps if wanted(each[0])]

    def _scans(self, view: View, selection: Selection, gone: Callable[[], bool], table: ReadsTable) -> list[Scan]:
        """A scan for each piece that can have rows of the selection."""
        beyond = None if selection.beyond is None else key_value(selection.beyond, descending=selection.descending)
        wanted = Wanted(
            selection.descending,
            selection.since_ns,
            selection.until_ns,
            beyond,
            selection.lines,
            first_rows=selection.limit + 1,
        )
        low, high = wanted.orders()
        scans: list[Scan] = []
        if view.others is not None:
            scans.extend(view.others.scans(selection, self.tombstones.boundary(selection.app) or {}))
        for piece in view.pieces(selection.app, table):
            (least, greatest), seen = piece.orders, piece.reach(self.tombstones, selection.ends)
            if least <= high and greatest >= low and (seen.is_whole or not seen.hides_all(piece.shards())):
                scans.append(PieceScan(piece, wanted.narrowed(reach=seen), gone=gone))
        return scans

    async def last_lines(self, app: str, count: int) -> tuple[pa.Table, frozenset[int]]:
        """Rows of the app's last `count` lines, oldest first; the rows of a long line count as one.

        And the shards whose newest rows are not in it.

        Raises:
            BusyError: Too many queries at once.
            StoreUnavailableError: The storage fails.
        """

        async def read(view: View) -> tuple[pa.Table, frozenset[int]]:
            return await asyncio.to_thread(self._last_lines, view, app, count), view.missing({})

        async with self._reads_gate.pass_through():
            table, partial = await self._views.over(read)
        self._count(partial)
        return table, partial

    def _last_lines(self, view: View, app: str, count: int) -> pa.Table:
        tables: list[pa.Table] = []
        lines, taken_bytes = 0, 0
        beyond: ReadingKey | None = None
        while lines < count and taken_bytes < LAST_LINES_BYTES:
            page = self.page_of(view, Selection(app, count - lines, descending=True, beyond=beyond))
            tables.append(page.table)
            lines += int(np.count_nonzero(integers(page.table["continuation"]) == 0))
            taken_bytes += message_bytes(page.table)
            beyond = page.following
            if beyond is None:
                break
        newest_first = pa.concat_tables(tables) if tables else SCHEMA.empty_table()
        rows = taken(newest_first, np.arange(newest_first.num_rows)[::-1])
        return rows if beyond is None else rows.slice(_first_start(rows))

    async def keep_deletions(self) -> None:
        """Learn of deletions that other loggers took, until cancelled."""
        while True:
            try:
                await asyncio.to_thread(self.tombstones.refresh)
            except StoreUnavailableError as error:
                log.debug("deletions of other loggers not known", error=str(error))
            await asyncio.sleep(DELETIONS_SECONDS)

    async def positions(self) -> Mapping[int, int]:
        """Next offset of each shard that is committed.

        Raises:
            StoreUnavailableError: The storage fails.
        """
        return (await asyncio.to_thread(self.table.refresh)).positions

    async def delete(self, app: str) -> None:
        """Delete all lines of the app that the queue has by now; durable when it returns.

        Raises:
            QueueUnavailableError: It is not known how far the deletion reaches.
            StoreUnavailableError: It could not be noted.
        """
        positions = {**self.head.ends(), **await self._ends()}
        await asyncio.to_thread(self.tombstones.add, app, positions)
        self._deleted_at[app] = time.monotonic()


def _first_start(rows: pa.Table) -> int:
    """Index of the first row that begins a line; 0 when none does."""
    starts = np.flatnonzero(integers(rows["continuation"]) == 0)
    return int(starts[0]) if len(starts) else 0
