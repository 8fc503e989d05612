"""A group of one: the group consumer of a queue whose partitions are not shared."""

import asyncio
import fcntl
import os
from collections.abc import Mapping
from pathlib import Path

from pipeline.errors import FatalError, QueueUnavailableError
from pipeline.queue import Assignment, Consumer, Record


class SoleMember:
    """Owns all partitions of a queue, from the start and for good; see `pipeline.queue.GroupConsumer`.

    Args:
        consumer: Reads the queue.
        client_id: How others would reach this member.
        lock: Held while this member is open, so that it stays the only one; closed with it. See `lock_group`.
    """

    def __init__(self, consumer: Consumer, *, client_id: str = "", lock: int | None = None) -> None:
        self._consumer = consumer
        self._client_id = client_id
        self._lock = lock
        self._assignment = Assignment(1, frozenset(range(consumer.partitions)))

    @property
    def queue_id(self) -> str:
        """See `pipeline.queue.Consumer`."""
        return self._consumer.queue_id

    @property
    def partitions(self) -> int:
        """See `pipeline.queue.Consumer`."""
        return self._consumer.partitions

    @property
    def assignment(self) -> Assignment:
        """All partitions."""
        return self._assignment

    @property
    def sure_until(self) -> float:
        """For good: the lock goes with the process."""
        return float("inf")

    async def changed(self, generation: int) -> Assignment:
        """The assignment, at once for one who has none, else never again."""
        if generation == self._assignment.generation:
            await asyncio.get_running_loop().create_future()
        return self._assignment

    async def fetch(self, positions: Mapping[int, int], *, max_bytes: int, wait_seconds: float) -> list[Record]:
        """See `pipeline.queue.Consumer`."""
        return await self._consumer.fetch(positions, max_bytes=max_bytes, wait_seconds=wait_seconds)

    async def starts(self) -> dict[int, int]:
        """See `pipeline.queue.Consumer`."""
        return await self._consumer.starts()

    async def ends(self) -> dict[int, int]:
        """See `pipeline.queue.Consumer`."""
        return await self._consumer.ends()

    async def commit(self, positions: Mapping[int, int]) -> None:
        """See `pipeline.queue.Consumer`."""
        await self._consumer.commit(positions)

    async def owners(self) -> Mapping[int, str]:
        """This member owns everything."""
        return dict.fromkeys(self._assignment.partitions, self._client_id)

    async def leave(self) -> None:
        """Nothing: there is nobody to take over."""

    async def committed(self) -> dict[int, int]:
        """See `pipeline.queue.Consumer`."""
        return await self._consumer.committed()

    async def check(self) -> None:
        """See `pipeline.queue.Consumer`."""
        await self._consumer.check()

    async def close(self) -> None:
        """See `pipeline.queue.Consumer`."""
        await self._consumer.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def lock_group(queue: Path, group: str) -> int:
    """Lock a queue's file for one member of `group`; returns the descriptor that holds the lock.

    The lock goes with the process, however that ends. Without it a second logger would be fenced only when it commits,
    or fence the first.

    Raises:
        FatalError: Another process is that member.
        QueueUnavailableError: The lock's file cannot be made now.
    """
    path = queue.with_name(f"{queue.name}.{group}.lock")
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise QueueUnavailableError(f"{path}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise FatalError(f"another {group} reads {queue}: a queue of one machine has one") from error
    return lock
