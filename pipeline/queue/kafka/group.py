"""`GroupConsumer` over a Kafka topic."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final, Self

from aiokafka import AIOKafkaConsumer
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor

from pipeline.queue import Assignment
from pipeline.queue.kafka.consumer import ASK_SECONDS, KafkaConsumer, make_client, start_client
from pipeline.queue.kafka.failures import translated
from pipeline.queue.kafka.lease import NEVER, Lease
from pipeline.queue.kafka.members import ask_owners
from pipeline.queue.kafka.options import KafkaOptions
from pipeline.queue.kafka.topic import Topic, open_topic

SESSION_MS: Final = 10_000
"""A member not heard of for this long has left, and its partitions go to others."""

HEARTBEAT_MS: Final = 500
"""A member hears within this time that the group is being rebalanced. Nobody reads until all have: so it is short."""

LEASE_SECONDS: Final = 6.0
"""So long after a heartbeat its sender is sure of what it owns; others get that `SESSION_MS` after it, or later."""

POLL_SECONDS: Final = 15 * 60
"""A member that fetches nothing for this long leaves. Long, since a logger pauses while its store is away."""


class KafkaGroupConsumer(KafkaConsumer):
    """A member of a consumer group; see `pipeline.queue.GroupConsumer`.

    The library rebalances eagerly: every member gives up all partitions and is told its new ones. So nothing is dropped
    when partitions are revoked, only when the new assignment is known and lacks them.
    """

    def __init__(self, options: KafkaOptions, topic: Topic, client: AIOKafkaConsumer, *, group: str) -> None:
        super().__init__(options, topic, client)
        self._group = group
        self._assignment = Assignment(0, frozenset())
        self._changed = asyncio.Event()
        self._lease = Lease(seconds=LEASE_SECONDS)
        self._of_group = -1
        self._left = False
        self._lease.watch(client._coordinator)  # noqa: SLF001 - a group's client has one

    @classmethod
    async def open(
        cls,
        options: KafkaOptions,
        *,
        group: str,
        client_id: str = "deis-telemetry-consumer",
        instance: str | None = None,
    ) -> Self:
        """Join the group; returns before it has an assignment. Raises as `topic.open_topic` does.

        Args:
            options: What the URL says.
            group: The consumer group.
            client_id: Told to the other members: the URL at which this one answers.
            instance: Stable name of this member, so that a restart within `SESSION_MS` moves no partition.
        """
        topic = await open_topic(options, check=True)
        client = make_client(
            options,
            group=group,
            client_id=client_id,
            group_instance_id=instance,
            session_timeout_ms=SESSION_MS,
            heartbeat_interval_ms=HEARTBEAT_MS,
            max_poll_interval_ms=POLL_SECONDS * 1000,
            partition_assignment_strategy=(_assignor(),),
        )
        await start_client(client, options)
        member = cls(options, topic, client, group=group)
        client.subscribe([options.topic], listener=_Listener(member))
        return member

    @property
    def assignment(self) -> Assignment:
        """See `pipeline.queue.GroupConsumer`."""
        return self._assignment

    @property
    def sure_until(self) -> float:
        """See `pipeline.queue.GroupConsumer`."""
        return NEVER if self._left else self._lease.until

    async def changed(self, generation: int) -> Assignment:
        """See `pipeline.queue.GroupConsumer`."""
        while self._assignment.generation == generation:
            await self._changed.wait()
        return self._assignment

    async def owners(self) -> Mapping[int, str]:
        """See `pipeline.queue.GroupConsumer`."""
        with translated(f"{self._options}: asking who owns what"):
            async with asyncio.timeout(ASK_SECONDS):
                return await ask_owners(self._client, self._group, self._options.topic)

    async def leave(self) -> None:
        """See `pipeline.queue.GroupConsumer`."""
        self._left = True
        # The library leaves only as a part of closing; the rest of the client goes on, and closes later.
        coordinator = self._client._coordinator  # noqa: SLF001
        if coordinator is not None:
            await coordinator.close()

    def revoked(self) -> None:
        """Called by the library before it asks for another assignment."""
        self._lease.revoke()

    def assigned(self, partitions: frozenset[int]) -> None:
        """Called by the library, between two steps of the event loop: all paused before it can fetch."""
        self._own(partitions)
        self._lease.assign()
        before, kept = self._assignment, frozenset[int]()
        coordinator: Any = self._client._coordinator  # noqa: SLF001 - the library shows the generation nowhere else
        of_group: int = coordinator.generation
        if of_group == self._of_group + 1:
            kept = before.partitions & partitions  # else there was an assignment without this member
        self._of_group = of_group
        self._assignment = Assignment(before.generation + 1, partitions, kept)
        self._changed.set()
        self._changed = asyncio.Event()


class _Listener(ConsumerRebalanceListener):
    """Hands new assignments over. What is revoked is kept until then: most of it comes back."""

    def __init__(self, member: KafkaGroupConsumer) -> None:
        self._member = member

    def on_partitions_revoked(self, revoked: Any) -> None:  # noqa: ARG002 - the library's
        """Say that nothing is sure now."""
        self._member.revoked()

    def on_partitions_assigned(self, assigned: Any) -> None:
        """Take the new assignment over; called with names of partitions."""
        self._member.assigned(frozenset(name.partition for name in assigned))


def _assignor() -> type[StickyPartitionAssignor]:
    """An assignor of this member's own: the library keeps its memory in the class, shared by all in the process."""
    return type("Sticky", (StickyPartitionAssignor,), {})
