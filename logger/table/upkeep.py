"""Upkeep of the table: rows that are deleted or past their time go, small files become large ones, leftovers are swept.

It runs beside ingest, perhaps in several loggers at once. Each of its commits carries the transaction `upkeep/<date>`,
one higher than on the snapshot that it was planned from, and names files that are in the table at that very version:
two rewrites of the same file cannot both be taken.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from logger.table.actions import add_action, remove_action
from logger.table.catalogfile import Catalogs
from logger.table.commit import CommitRefusedError, LogWriter
from logger.table.deltalog import LogState
from logger.table.plan import Task, doomed_by, plan_expired_damage, plan_merges, plan_removals
from logger.table.readfile import FileReader
from logger.table.retention import Retention
from logger.table.rewrite import Doomed, Rewritten, below, rewrite
from logger.table.snapshot import FileEntry, Snapshot
from logger.table.state import new_id
from logger.table.tombstones import Tombstone, Tombstones
from logger.table.vacuum import vacuum
from logger.table.view import View
from logger.table.writer import ATTEMPTS
from pipeline.errors import FormatError, RetriableError
from pipeline.failpoints import failpoint
from pipeline.limits import MIB
from pipeline.service import Health
from pipeline.store import Store, open_store

log = structlog.get_logger()

CHECKPOINT_VERSIONS: Final = 50
"""A checkpoint of the log after this many versions: whoever opens the table reads what comes after it."""

VACUUM_SECONDS: Final = 900.0
"""How often leftovers are looked for: it lists all data files."""

TOMBSTONE_SECONDS: Final = 24 * 3600
"""A deletion is remembered this long, though no row of it is left: a reader may have pinned a version that has some."""

_FOOTERS_BYTES: Final = 16 * MIB
_HEALTH_PART: Final = "upkeep"


class DamagedFileError(FormatError):
    """Lines are missing, and a person has to know; all that can be read is looked after and served."""


class UpkeepMetrics:
    """What upkeep did, in numbers."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.commits = Counter("logger_upkeep_commits", "Commits of upkeep.", ["kind"], registry=registry)
        self.abandoned = Counter("logger_upkeep_abandoned", "Tasks given up for another's.", registry=registry)
        self.rows_dropped = Counter("logger_upkeep_rows_dropped", "Rows deleted or past retention.", registry=registry)
        self.bytes_rewritten = Counter("logger_upkeep_rewritten_bytes", "Size of files read.", registry=registry)
        self.swept = Counter("logger_upkeep_swept", "Objects deleted from the store.", ["kind"], registry=registry)
        self.failures = Counter("logger_upkeep_failures", "Passes that an error ended.", registry=registry)
        self.files = Gauge("logger_table_files", "Data files of the table.", registry=registry)
        self.damaged = Gauge("logger_table_damaged_files", "Data files that cannot be read.", registry=registry)
        self.catalogs = Counter("logger_upkeep_catalogs", "Catalogs written.", registry=registry)
        self.version = Gauge("logger_table_version", "Newest version of the table.", registry=registry)


class Upkeep:
    """Upkeep with a handle of its own. Methods block.

    Args:
        store: The table's folder.
        queue_id: The queue that ingest reads.
        tombstones: Deletions.
        retention: How long rows are kept.
        metrics: Where it counts what it does.
        stop: Asked between tasks; true ends a pass early.
    """

    def __init__(
        self,
        store: Store,
        *,
        queue_id: str,
        tombstones: Tombstones,
        retention: Retention,
        metrics: UpkeepMetrics,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self._store = store
        self._queue_id = queue_id
        self._tombstones = tombstones
        self._retention = retention
        self._metrics = metrics
        self._stop = stop
        self._log = LogWriter(store)
        self._catalogs = Catalogs(store)
        self._view = View(store, queue_id, catalogs=self._catalogs)
        self._reader = FileReader(store, cache_bytes=_FOOTERS_BYTES)
        self._clean: set[tuple[str, str, int]] = set()
        self._swept_at = -VACUUM_SECONDS
        self._problem: DamagedFileError | None = None

    def run_once(self, now: datetime) -> None:
        """One pass.

        Raises:
            StoreUnavailableError: The storage fails; the next pass goes on.
            FormatError: A rewrite did not add up, or a file is damaged: it is as it was, all else is done.
        """
        self._problem = None
        self._tombstones.refresh()
        doomed = doomed_by(self._tombstones, self._retention, now)
        snapshot = self._snapshot()
        self._work(plan_removals(snapshot, doomed, loses_rows=self._loses_rows), doomed, kind="removal")
        self._work(plan_expired_damage(self._snapshot(), self._retention, now), doomed, kind="removal")
        self._work(plan_merges(self._snapshot(), today=now.date().isoformat()), doomed, kind="merge")
        self._retire(self._snapshot(), doomed, now)
        self._log.checkpoint_if_due(CHECKPOINT_VERSIONS, clean_up=True)
        self._metrics.catalogs.inc(self._catalogs.update(self._snapshot().files.values(), today=now.date().isoformat()))
        if time.monotonic() - self._swept_at >= VACUUM_SECONDS:
            self._vacuum(now)
        if damaged := sorted(self._view.snapshot.damaged):
            self._problem = DamagedFileError(
                f"data files cannot be read, their lines are missing: {', '.join(damaged)}"
            )
        if self._problem is not None:
            raise self._problem

    def _snapshot(self) -> Snapshot:
        snapshot = self._view.at(self._log.advance())
        self._metrics.files.set(len(snapshot.files))
        self._metrics.damaged.set(len(snapshot.damaged))
        self._metrics.version.set(snapshot.version)
        return snapshot

    def _work(self, tasks: list[Task], doomed: Doomed, *, kind: str) -> None:
        for task in tasks:
            if self._stop():
                return
            try:
                self._do(task, doomed, kind=kind)
            except FormatError as error:  # a damaged file must not keep the others from being looked after
                self._problem = DamagedFileError(str(error))

    def _do(self, task: Task, doomed: Doomed, *, kind: str) -> None:
        planned = self._log.state.transactions.get(_scope(task), 0)
        done = Rewritten(None, sum(entry.rows for entry in task.inputs))
        if task.rewrite:
            path = f"date={task.date}/{new_id():016x}.parquet"
            done = rewrite(self._store, self._reader, task.inputs, path=path, doomed=doomed)
            self._metrics.bytes_rewritten.inc(sum(entry.size_bytes for entry in task.inputs))
        failpoint("upkeep.rewritten")
        if not self._swap(task, done, planned):
            self._metrics.abandoned.inc()
            return
        failpoint("upkeep.committed")
        self._metrics.commits.labels(kind).inc()
        self._metrics.rows_dropped.inc(done.dropped_rows)

    def _swap(self, task: Task, done: Rewritten, planned: int) -> bool:
        """Put the outcome in the place of the inputs, in one commit; false when another changed what it builds on.

        What is written by then stays where it is: it may be in a version that others have pinned, and is swept if not.
        """
        data_change = done.dropped_rows > 0
        actions = [remove_action(entry, data_change=data_change) for entry in task.inputs]
        added = [add_action(done.entry, data_change=data_change)] if done.entry is not None else []
        for _ in range(ATTEMPTS):
            state = self._log.advance()
            if _is_swapped(state, task, done, planned):
                return True
            if state.transactions.get(_scope(task), 0) != planned or not _holds(state, task):
                return False
            with contextlib.suppress(CommitRefusedError):
                self._log.append([*actions, *added], {_scope(task): planned + 1})
        return False

    def _loses_rows(self, entry: FileEntry, app: str, positions: Mapping[int, int]) -> bool:
        known = (entry.path, app, hash(frozenset(positions.items())))
        if known in self._clean:
            return False
        span = entry.apps[app]
        try:
            table = self._reader.read(entry, start=span.start, count=span.count, columns=["shard", "queue_offset"])
        except FormatError as error:
            self._problem = DamagedFileError(str(error))
            return False
        if below(positions, table).any():
            return True
        self._clean.add(known)
        return False

    def _retire(self, snapshot: Snapshot, doomed: Doomed, now: datetime) -> None:
        self._clean = {known for known in self._clean if known[0] in snapshot.files}
        for name, tombstone in dict(self._tombstones.all()).items():
            age_seconds = now.timestamp() - tombstone.time_ms / 1000
            if age_seconds >= TOMBSTONE_SECONDS and self._is_done(tombstone, snapshot, doomed):
                self._tombstones.retire(name)

    def _is_done(self, tombstone: Tombstone, snapshot: Snapshot, doomed: Doomed) -> bool:
        if tombstone.queue_id == self._queue_id and any(
            snapshot.positions.get(shard, 0) < position for shard, position in tombstone.positions.items()
        ):
            return False  # rows below it may still be on their way
        for entry in snapshot.of_app(tombstone.app):
            positions = doomed(entry).get(tombstone.app)
            if positions is not None and self._loses_rows(entry, tombstone.app, positions):
                return False
        return True

    def _vacuum(self, now: datetime) -> None:
        swept = vacuum(self._store, self._log.advance(), now_ms=int(now.timestamp() * 1000))
        self._swept_at = time.monotonic()
        self._metrics.swept.labels("data").inc(swept.data_files)
        self._metrics.swept.labels("state").inc(swept.states)
        self._metrics.swept.labels("temporary").inc(swept.temporaries)


def _scope(task: Task) -> str:
    return f"upkeep/{task.date}"


def _holds(state: LogState, task: Task) -> bool:
    return all(entry.path in state.files for entry in task.inputs)


def _is_swapped(state: LogState, task: Task, done: Rewritten, planned: int) -> bool:
    """Whether this very swap is in the table: its new file tells; without one, that nothing is left to do is enough."""
    if done.entry is not None:
        return done.entry.path in state.files
    return state.transactions.get(_scope(task), 0) > planned and not any(
        entry.path in state.files for entry in task.inputs
    )


async def run_upkeep(
    *,
    store_url: str,
    queue_id: str,
    tombstones: Tombstones,
    interval_seconds: float,
    retention: Retention,
    health: Health,
    registry: CollectorRegistry,
    stopping: asyncio.Event,
    is_ours: Callable[[], bool] = lambda: True,
) -> None:
    """Do upkeep every `interval_seconds` until `stopping` is set. An error ends a pass, is shown and counted.

    Args:
        store_url: A folder.
        queue_id: The queue that ingest reads.
        tombstones: Deletions, shared with the readers of this process.
        interval_seconds: From the end of one pass to the start of the next.
        retention: How long rows are kept.
        health: Gets the part `upkeep`.
        registry: Where metrics are registered.
        stopping: Ends the loop, after the task that is under way.
        is_ours: Whether it is for this logger to do, asked before each pass: of several, one is enough.
    """
    metrics = UpkeepMetrics(registry)
    health.broken(_HEALTH_PART, "starting")
    upkeep: Upkeep | None = None
    while not stopping.is_set():
        try:
            if upkeep is None:
                store = await asyncio.to_thread(open_store, store_url)
                upkeep = await asyncio.to_thread(
                    Upkeep,
                    store,
                    queue_id=queue_id,
                    tombstones=tombstones,
                    retention=retention,
                    metrics=metrics,
                    stop=stopping.is_set,
                )
            if is_ours():
                await asyncio.to_thread(upkeep.run_once, datetime.now(UTC))
            health.ready(_HEALTH_PART)
        except DamagedFileError as error:
            metrics.failures.inc()
            health.ready(_HEALTH_PART)  # all else works: a logger that is taken out of service helps nobody
            log.error("upkeep found damage", error=str(error))  # noqa: TRY400 - the message says it all
        except (RetriableError, FormatError) as error:
            metrics.failures.inc()
            health.broken(_HEALTH_PART, str(error))
            log.warning("upkeep failed", error=str(error))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), interval_seconds)
