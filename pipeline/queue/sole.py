"""A group of one: the group consumer of a queue whose partitions are not shared."""

import asyncio
from collections.abc import Mapping

from pipeline.queue import Assignment, Consumer, Record


class SoleMember:
    """Owns all partitions of a queue, from the start and for good; see `pipeline.queue.GroupConsumer`."""

    def __init__(self, consumer: Consumer, *, client_id: str = "") -> None:
        self._consumer = consumer
        self._client_id = client_id
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

    async def committed(self) -> dict[int, int]:
        """See `pipeline.queue.Consumer`."""
        return await self._consumer.committed()

    async def close(self) -> None:
        """See `pipeline.queue.Consumer`."""
        await self._consumer.close()
