"""Writes the checkpoint: soon after acknowledgements, and at once when a new source waits to be sent."""

import asyncio
import time
from collections.abc import Callable

import structlog

from fluentd.metrics import AgentMetrics
from fluentd.runs.checkpoint import VERSION, Checkpoint, CheckpointFolder, encode
from fluentd.runs.tree import Tree
from pipeline.service import Health

log = structlog.get_logger()


class CheckpointKeeper:
    """See the module.

    Args:
        folder: Where it is kept.
        tree: What it tells of.
        queue_id: The queue that has the bytes.
        interval_seconds: Least time between two writes; between two failures, too.
        metrics: Of the agent.
        health: Its part `checkpoint`.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        *,
        folder: CheckpointFolder,
        tree: Tree,
        queue_id: str,
        interval_seconds: float,
        metrics: AgentMetrics,
        health: Health,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder, self._tree, self._queue_id = folder, tree, queue_id
        self._interval_seconds, self._metrics, self._health, self._clock = interval_seconds, metrics, health, clock
        self._dirty = asyncio.Event()
        self._writing = asyncio.Lock()
        self._saved = b""
        self._saved_at = clock()
        self._failed_at: float | None = None

    def touch(self) -> None:
        """Something changed that the checkpoint tells."""
        self._dirty.set()

    def age_seconds(self) -> float:
        """How long something has waited to be written; 0 when all is."""
        return self._clock() - self._saved_at if self._dirty.is_set() else 0.0

    async def run(self) -> None:
        """Write whenever something changed, until cancelled."""
        while True:
            await self._dirty.wait()
            await asyncio.sleep(self._interval_seconds)
            await self.save()

    async def save(self, *, always: bool = False) -> bool:
        """Write the checkpoint now; new sources may be sent afterwards.

        Args:
            always: Try even if it failed a moment ago.

        Returns:
            Whether it is on disk. If not, the part `checkpoint` says why; it is tried again later, nothing is lost.
        """
        async with self._writing:
            if not always and self._failed_at is not None and self._clock() - self._failed_at < self._interval_seconds:
                return False
            self._dirty.clear()
            new = [source for run in self._tree for source in run.identities if not source.persisted]
            data = encode(Checkpoint(VERSION, self._queue_id, self._tree.known_runs()))
            try:
                if data != self._saved:
                    await asyncio.to_thread(self._folder.save, data)
            except OSError as error:
                self._fail(error)
                return False
            for source in new:
                source.persisted = True
            self._saved, self._saved_at, self._failed_at = data, self._clock(), None
            self._health.ready("checkpoint")
            return True

    def _fail(self, error: OSError) -> None:
        if self._failed_at is None:
            log.error("cannot write the checkpoint, trying on", error=str(error))
        self._dirty.set()
        self._failed_at = self._clock()
        self._saved = b""  # the rename may have happened
        self._metrics.checkpoint_errors.inc()
        self._health.broken("checkpoint", str(error))
