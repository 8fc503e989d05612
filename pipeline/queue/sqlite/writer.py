"""The thread that owns the writing connection: it commits all sends that wait as one transaction, then retains.

Group commit needs no timer: while the disk takes one transaction, the sends for the next one gather.
"""

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from pipeline.errors import FatalError, PipelineError, QueueUnavailableError
from pipeline.failpoints import failpoint
from pipeline.limits import MIB
from pipeline.queue.sqlite import retention
from pipeline.queue.sqlite.append import Append, append
from pipeline.queue.sqlite.bell import ring
from pipeline.queue.sqlite.database import Database, open_database, translated
from pipeline.queue.sqlite.options import SqliteOptions
from pipeline.queue.sqlite.room import is_tight, keep_wal_short, lacking_bytes

log = structlog.get_logger()

COMMIT_BYTES: Final = 8 * MIB
"""A transaction takes no more sends after this many record bytes."""

RETAIN_SECONDS: Final = 0.25
"""Retention looks this often for what is due, and without a pause while more is."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A send that waits for the disk; its future gets the first offset."""

    append: Append
    size_bytes: int
    future: asyncio.Future[int]


class Writer:
    """Appends and retains in one thread, until closed."""

    def __init__(self, database: Database, options: SqliteOptions, loop: asyncio.AbstractEventLoop) -> None:
        self._database: Database | None = database
        self._queue_id = database.queue_id
        self._options = options
        self._loop = loop
        # Bounded by the producer, which lets only so many sends in.
        self._pending: queue.SimpleQueue[Pending | None] = queue.SimpleQueue()
        self._retain_at = time.monotonic()
        self._retention_failing = False
        self._thread = threading.Thread(target=self._run, name="queue-writer", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, pending: Pending) -> None:
        """Hand over a send."""
        self._pending.put(pending)

    def close(self) -> None:
        """Finish all sends handed over, and wait for the thread to end. Blocks."""
        self._pending.put(None)
        self._thread.join()

    def _run(self) -> None:
        closing = False
        while not closing:
            batch, closing = self._gather()
            if batch:
                self._resolve(batch, self._commit(batch))
            if not closing and time.monotonic() >= self._retain_at:
                self._retain_at = time.monotonic() + RETAIN_SECONDS
                self._retain(sum(pending.size_bytes for pending in batch))
        self._drop_connection()

    def _gather(self) -> tuple[list[Pending], bool]:
        """Sends for one transaction, and whether to end after it."""
        batch: list[Pending] = []
        size = 0
        with contextlib.suppress(queue.Empty):
            pending = self._pending.get(timeout=max(0.0, self._retain_at - time.monotonic()))
            while pending is not None:
                batch.append(pending)
                size += pending.size_bytes
                # On an almost full disk each on its own: one may fit where many do not.
                if size >= COMMIT_BYTES or is_tight(self._options.path):
                    return batch, False
                pending = self._pending.get_nowait()
            return batch, True
        return batch, False

    def _commit(self, batch: Sequence[Pending]) -> list[int] | PipelineError:
        try:
            with self._failures_told():
                database = self._open()
                lacking = lacking_bytes(database, record_bytes=sum(pending.size_bytes for pending in batch))
                if lacking:
                    return QueueUnavailableError(f"queue {database.path}: the disk lacks {lacking} bytes")
                with database.write() as connection:
                    firsts = append(connection, [pending.append for pending in batch], now_ns=time.time_ns())
                    failpoint("queue-before-commit")
                failpoint("queue-after-commit")
                database.check_in_place()
                ring(database.path)
                keep_wal_short(database)
        except PipelineError as error:
            self._drop_connection()
            return error
        return firsts

    def _retain(self, appended_bytes: int) -> None:
        """One step of retention, twice as fast as records come in."""
        try:
            with self._failures_told():
                database = self._open()
                keep_wal_short(database)
                step_bytes = max(retention.STEP_BYTES, 2 * appended_bytes)
                if retention.step(database, self._options, now_ns=time.time_ns(), step_bytes=step_bytes):
                    self._retain_at = time.monotonic()
        except PipelineError as error:
            self._drop_connection()
            if not self._retention_failing:
                log.warning("queue retention fails, trying on", error=str(error))
            self._retention_failing = True
        else:
            self._retention_failing = False

    @contextlib.contextmanager
    def _failures_told(self) -> Iterator[None]:
        """Turn every failure into one of the project's: a thread that dies of a mistake would leave sends waiting."""
        try:
            with translated(self._options.path):
                yield
        except PipelineError:
            raise
        except Exception as error:
            log.exception("queue writer failed")
            raise FatalError(f"queue {self._options.path}: {error!r}") from error

    def _open(self) -> Database:
        """The connection, made anew after an error: what state SQLite is in after a full disk is not worth knowing."""
        if self._database is None:
            database = open_database(self._options, durable=True)
            if database.queue_id != self._queue_id:
                database.close()
                raise QueueUnavailableError(f"queue {self._options.path} was replaced: open it anew")
            self._database = database
        return self._database

    def _drop_connection(self) -> None:
        if self._database is not None:
            with contextlib.suppress(PipelineError), translated(self._options.path):
                self._database.close()
            self._database = None

    def _resolve(self, batch: Sequence[Pending], outcome: list[int] | PipelineError) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(_set_results, batch, outcome)


def _set_results(batch: Sequence[Pending], outcome: list[int] | PipelineError) -> None:
    for index, pending in enumerate(batch):
        if pending.future.done():
            continue
        if isinstance(outcome, PipelineError):
            pending.future.set_exception(type(outcome)(str(outcome)))
        else:
            pending.future.set_result(outcome[index])
