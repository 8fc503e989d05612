"""Who owns what in a consumer group: the brokers' description of it, whose assignments are bytes to be decoded."""

from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka import errors as kafka
from aiokafka.client import CoordinationType
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.protocol.admin import DescribeGroupsRequest

_STABLE = "Stable"
_EMPTY = frozenset({"Empty", "Dead"})


async def ask_owners(client: AIOKafkaConsumer, group: str, topic: str) -> Mapping[int, str]:
    """Ask the group's coordinator who owns each partition of `topic`.

    Raises:
        KafkaError: No answer, or the group is being rebalanced.
    """
    low = client._client  # noqa: SLF001 - it keeps the connections; another client would need others
    coordinator = await low.coordinator_lookup(CoordinationType.GROUP, group)
    answer = await low.send(coordinator, DescribeGroupsRequest([group]))
    code, _, state, _, _, members, *_ = answer.groups[0]
    error = kafka.for_code(code)
    if error is not kafka.NoError:
        raise error(group)
    if state in _EMPTY:
        return {}
    if state != _STABLE:
        raise kafka.RebalanceInProgressError(group)
    return read_owners(members, topic)


def read_owners(members: Iterable[Any], topic: str) -> dict[int, str]:
    """Partition of `topic` to its member's client id; members as the brokers describe them."""
    owners: dict[int, str] = {}
    for _, client_id, _, _, assignment in members:
        if assignment:
            for name, partitions in ConsumerProtocolMemberAssignment.decode(assignment).assignment:
                if name == topic:
                    owners.update(dict.fromkeys(partitions, client_id))
    return owners
