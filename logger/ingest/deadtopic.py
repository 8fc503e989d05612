"""Records of a Kafka queue that are no packs, kept aside in a topic beside it.

A record of that topic, version 1: the byte 0x01, then the msgpack array of a `DeadLetter`. The letters of a partition
stand in the order of its offsets, and each is durable before the position of its shard is committed past it. So
whoever takes over a shard finds the last of its letters at the end of the topic, and sends none of those again.
"""

from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec
import structlog

from logger.ingest.metrics import IngestMetrics
from pipeline.errors import FatalError, FormatError, QueueUnavailableError
from pipeline.limits import MIB, PACK_BYTES
from pipeline.names import DEAD_LETTERS_SUFFIX
from pipeline.queue import Consumer, Producer, Record, open_consumer, open_producer

log = structlog.get_logger()

GROUP: Final = "logger-dead-letters"

_MAGIC: Final = b"\x01"
_PIECE_BYTES: Final = PACK_BYTES - 20_000
"""Most of a record in one letter, which must not be larger than a pack; what is larger takes several."""

_REASON_CHARACTERS: Final = 500
_LOOK_BACK: Final = 100
"""So many letters at the end of a partition are read to find the last one of a shard."""


class DeadLetter(msgspec.Struct, frozen=True, array_like=True):
    """A record that is no pack, or a piece of one.

    Attributes:
        queue_id: The queue that it was in.
        partition: Its partition there,
        offset: and its offset.
        time_ns: When the queue took it, nanoseconds since the epoch.
        reason: Why it is no pack.
        piece: Number of this piece, from 0.
        pieces: How many there are.
        value: Its bytes.
    """

    queue_id: str
    partition: int
    offset: int
    time_ns: int
    reason: str
    piece: int
    pieces: int
    value: bytes


_decoder = msgspec.msgpack.Decoder(DeadLetter)


def dead_letters_url(queue_url: str) -> str:
    """The URL of the topic beside the Kafka queue that `queue_url` names; its number of partitions is its own."""
    parts = urlsplit(queue_url)
    query = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name != "partitions"]
    return parts._replace(path=parts.path + DEAD_LETTERS_SUFFIX, query=urlencode(query, safe="/")).geturl()


def encode_letters(record: Record, reason: str, *, queue_id: str) -> list[bytes]:
    """The letter, or letters, of one record."""
    value = record.value
    pieces = max(-(-len(value) // _PIECE_BYTES), 1)
    return [
        _MAGIC
        + msgspec.msgpack.encode(
            DeadLetter(
                queue_id,
                record.partition,
                record.offset,
                record.time_ns,
                reason[:_REASON_CHARACTERS],
                piece,
                pieces,
                value[piece * _PIECE_BYTES : (piece + 1) * _PIECE_BYTES],
            )
        )
        for piece in range(pieces)
    ]


def decode_letter(value: bytes) -> DeadLetter:
    """Decode one letter.

    Raises:
        FormatError: It is none of a version known here.
    """
    if value[:1] != _MAGIC:
        raise FormatError(f"no dead letter: first byte {value[:1]!r}")
    try:
        return _decoder.decode(memoryview(value)[1:])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise FormatError(f"no dead letter: {error}") from error


class DeadTopic:
    """The topic, opened when the first bad record comes; see `logger.ingest.deadletters.KeepsBadRecords`.

    Args:
        queue_url: The Kafka queue.
        queue_id: Its identity.
        metrics: Where letters are counted that could not be kept.
    """

    def __init__(self, queue_url: str, *, queue_id: str, metrics: IngestMetrics) -> None:
        self._url = dead_letters_url(queue_url)
        self._queue_id = queue_id
        self._metrics = metrics
        self._waiting: list[tuple[Record, str]] = []
        self._last: dict[int, int] = {}  # offset of the last letter of each shard, where that is known
        self._producer: Producer | None = None
        self._consumer: Consumer | None = None

    @property
    def waiting_bytes(self) -> int:
        """See `KeepsBadRecords`."""
        return sum(len(record.value) for record, _ in self._waiting)

    def forget(self, shard: int) -> None:
        """See `KeepsBadRecords`; the last letter is looked up again, since others may send some meanwhile."""
        self._last.pop(shard, None)
        self._waiting = [(record, reason) for record, reason in self._waiting if record.partition != shard]

    def keep(self, record: Record, reason: str) -> bool:
        """See `KeepsBadRecords`."""
        self._waiting.append((record, reason))
        return True

    async def settle(self) -> None:
        """Send what waits; see `KeepsBadRecords`. What the brokers refuse for good is counted as dropped."""
        while self._waiting:
            shard = self._waiting[0][0].partition
            of_shard = [(record, reason) for record, reason in self._waiting if record.partition == shard]
            try:
                await self._send(shard, of_shard)
            except QueueUnavailableError:
                self._last.pop(shard, None)  # some of it may be there
                raise
            except FatalError as error:
                log.error("bad records not kept", shard=shard, records=len(of_shard), error=str(error))  # noqa: TRY400 - the message says it all
                self._metrics.dead_letters_dropped.inc(len(of_shard))
                await self.close()
            self._waiting = [(record, reason) for record, reason in self._waiting if record.partition != shard]

    async def _send(self, shard: int, letters: list[tuple[Record, str]]) -> None:
        if self._producer is None:
            self._producer = await open_producer(self._url)
        last = self._last.get(shard)
        if last is None:
            last = self._last[shard] = await self._find_last(shard, self._producer.partitions)
        new = [(record, reason) for record, reason in letters if record.offset > last]
        for values in _batches(new, queue_id=self._queue_id):
            await self._producer.send(shard % self._producer.partitions, values)
        if new:
            self._last[shard] = new[-1][0].offset
            log.warning("bad records kept aside", shard=shard, records=len(new), reason=new[-1][1][:_REASON_CHARACTERS])

    async def _find_last(self, shard: int, partitions: int) -> int:
        """Offset of the shard's last letter in the topic; -1 when there is none."""
        if self._consumer is None:
            self._consumer = await open_consumer(self._url, group=GROUP)
        partition = shard % partitions
        end = (await self._consumer.ends())[partition]
        position = max((await self._consumer.starts())[partition], end - _LOOK_BACK)
        last = -1
        while position < end:
            for record in await self._consumer.fetch({partition: position}, max_bytes=4 * MIB, wait_seconds=1.0):
                position = record.offset + 1
                last = max(last, self._offset_of(record, shard))
        return last

    def _offset_of(self, record: Record, shard: int) -> int:
        try:
            letter = decode_letter(record.value)
        except FormatError:
            return -1
        is_ours = letter.partition == shard and letter.queue_id == self._queue_id and letter.piece == letter.pieces - 1
        return letter.offset if is_ours else -1

    async def close(self) -> None:
        """See `KeepsBadRecords`."""
        producer, consumer, self._producer, self._consumer = self._producer, self._consumer, None, None
        if producer is not None:
            await producer.close()
        if consumer is not None:
            await consumer.close()


def _batches(letters: Iterable[tuple[Record, str]], *, queue_id: str) -> Iterator[list[bytes]]:
    """Encoded letters, some MB at a time."""
    batch: list[bytes] = []
    size = 0
    for record, reason in letters:
        batch += encode_letters(record, reason, queue_id=queue_id)
        size += len(record.value)
        if size >= 4 * MIB:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
