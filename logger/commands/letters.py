"""`python -m logger replay`: records that were kept aside, and can be read now, go back into the queue.

What is known of them already is trimmed, so it may be repeated.
"""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import zstandard

from logger.ingest.deadtopic import GROUP as DEAD_LETTERS_GROUP
from logger.ingest.deadtopic import DeadLetter, dead_letters_url, decode_letter
from logger.settings import LoggerSettings
from pipeline.errors import FormatError
from pipeline.limits import MIB, PACK_BYTES
from pipeline.lines.accept import check_pack
from pipeline.pack import decode_pack
from pipeline.queue import Consumer, Producer, open_consumer, open_producer


async def replay(settings: LoggerSettings) -> str:
    """Send dead letters that can be read now back into the queue; says what was done.

    Raises:
        PipelineError: The queue does not answer, or refuses; what was sent before that is sent.
    """
    producer = await open_producer(settings.queue_url)
    try:
        if settings.queue_url.startswith("kafka:"):
            return await _replay_topic(settings.queue_url, producer)
        return await _replay_folder(Path(settings.dead_letters), producer)
    finally:
        await producer.close()


async def _replay_folder(folder: Path, producer: Producer) -> str:
    """Files of the folder, each deleted once it is in the queue."""
    sent = bad = 0
    for path in sorted(folder.glob("*.record")) if folder.is_dir() else []:
        partition = path.name.partition("-")[0]
        value = path.read_bytes()
        if not partition.isdecimal() or not _is_pack(value):
            bad += 1
            continue
        await producer.send(int(partition) % producer.partitions, [value])
        path.unlink()
        sent += 1
    return _told(sent, bad)


async def _replay_topic(queue_url: str, producer: Producer) -> str:
    """Letters of the topic, from its oldest on, each record once however often it was kept."""
    sent = bad = 0
    seen: set[tuple[str, int, int]] = set()
    consumer = await open_consumer(dead_letters_url(queue_url), group=DEAD_LETTERS_GROUP)
    try:
        async for letter, value in _whole_letters(consumer):
            name = (letter.queue_id, letter.partition, letter.offset)
            if name in seen:
                continue
            seen.add(name)
            if not _is_pack(value):
                bad += 1
                continue
            await producer.send(letter.partition % producer.partitions, [value])
            sent += 1
    finally:
        await consumer.close()
    return _told(sent, bad)


async def _whole_letters(consumer: Consumer) -> AsyncIterator[tuple[DeadLetter, bytes]]:
    """The last letter of each record, and the record's bytes; what is no letter is passed over."""
    ends = await consumer.ends()
    for partition, start in (await consumer.starts()).items():
        position, pieces = start, list[bytes]()
        while position < ends[partition]:
            for record in await consumer.fetch({partition: position}, max_bytes=4 * MIB, wait_seconds=1.0):
                position = record.offset + 1
                with contextlib.suppress(FormatError):
                    letter = decode_letter(record.value)
                    pieces = [*pieces, letter.value] if letter.piece else [letter.value]
                    if letter.piece == letter.pieces - 1 and len(pieces) == letter.pieces:
                        yield letter, b"".join(pieces)


def _is_pack(value: bytes) -> bool:
    if len(value) > PACK_BYTES:
        return False
    try:
        check_pack(decode_pack(value, decompressor=zstandard.ZstdDecompressor()))
    except FormatError:
        return False
    return True


def _told(sent: int, bad: int) -> str:
    return f"{sent} records sent back into the queue; {bad} cannot be read by this version either, and stay"
