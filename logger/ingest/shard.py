"""One shard as ingest has it in memory: records in, batches out."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import structlog
import zstandard

from logger.ingest.deadletters import KeepsBadRecords
from logger.ingest.metrics import IngestMetrics
from pipeline.errors import FormatError
from pipeline.limits import MIB
from pipeline.lines.accept import Progress, check_pack
from pipeline.lines.accepted import RunKey
from pipeline.lines.assemble import assemble
from pipeline.lines.batch import Batch
from pipeline.lines.gaps import Gaps
from pipeline.lines.resume import RunState, ShardState
from pipeline.pack import PackBody, decode_pack
from pipeline.queue import Record

log = structlog.get_logger()

_BATCH_BYTES: Final = 8 * MIB
"""Decoded bytes after which a batch is made. Its arrays then stay in the cache and in memory that is used again; and
small records may hold packs that are large once decoded."""


class Shard:
    """Takes records of one partition. Methods block, and one at a time may run.

    Args:
        number: The partition.
        state: Where to go on.
        dead_letters: Where records that are no packs go.
        metrics: Where things are counted.
        now_ns: Nanoseconds since the epoch; says on which day rows arrive.
    """

    def __init__(
        self,
        number: int,
        state: ShardState,
        *,
        dead_letters: KeepsBadRecords,
        metrics: IngestMetrics,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._number = number
        self._progress = Progress(state)
        self._dead_letters = dead_letters
        self._metrics = metrics
        self._now_ns = now_ns
        self._decompressor = zstandard.ZstdDecompressor()
        self._records = 0
        self._bytes = 0
        self._last_time_ns = 0

    @property
    def next_offset(self) -> int:
        """Of the record to take next."""
        return self._progress.next_offset

    @property
    def last_time_ns(self) -> int:
        """When the queue took the last record that was taken here; 0 before the first."""
        return self._last_time_ns

    @property
    def mean_bytes(self) -> float:
        """Of the records taken here; 0 before the first."""
        return self._bytes / max(self._records, 1)

    def state(self) -> ShardState:
        """The resume state at `next_offset`; encode it before more is taken."""
        return self._progress.state()

    def heartbeats(self) -> dict[str, int]:
        """See `pipeline.lines.accept.Progress.heartbeats`."""
        return self._progress.heartbeats()

    def gaps(self) -> Gaps:
        """See `pipeline.lines.accept.Progress.gaps`."""
        return self._progress.gaps()

    def inherit(self, runs: Mapping[RunKey, RunState]) -> None:
        """See `pipeline.lines.accept.Progress.inherit`."""
        self._progress.inherit(runs)

    def skip_to(self, offset: int) -> None:
        """Go on at `offset`: the queue has nothing before it."""
        self._progress.next_offset = offset

    def take(self, records: Sequence[Record]) -> tuple[int, Batch]:
        """Make a batch of the first of `records`, of at least one.

        Returns:
            How many were taken, and the batch.
        """
        progress, accepted = self._progress, self._progress.begin()
        taken = decoded_bytes = 0
        for record in records:
            body = self._decode(record)
            taken += 1
            self._bytes += len(record.value)
            if body is None:
                progress.skip(record.offset)
                continue
            progress.accept(body, record.offset, record.time_ns, accepted)
            decoded_bytes += len(body.data)
            if decoded_bytes >= _BATCH_BYTES:
                break
        self._records += taken
        self._last_time_ns = records[taken - 1].time_ns
        first = records[0].offset
        made = assemble(accepted, progress, shard=self._number, first_offset=first, arrived_ns=self._now_ns())
        self._metrics.records.inc(taken)
        self._metrics.count(accepted, made)
        self._metrics.show_gaps(self._number, progress.gaps())
        if accepted.gaps:
            log.error("bytes are missing", shard=self._number, gaps=accepted.gaps, bytes=accepted.gap_bytes)
        return taken, made.batch

    def _decode(self, record: Record) -> PackBody | None:
        """The pack in a record; `None`, and the record kept aside, when there is none."""
        reason = "format"
        try:
            body = decode_pack(record.value, decompressor=self._decompressor)
            reason = "content"
            check_pack(body)
        except FormatError as error:
            self._metrics.bad_records.labels(reason).inc()
            if not self._dead_letters.keep(record, str(error)):
                self._metrics.dead_letters_dropped.inc()
            return None
        return body
