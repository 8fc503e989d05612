"""The other loggers: which of them owns which shard, and what their heads answer."""

from collections.abc import Awaitable, Callable, Mapping

from prometheus_client import CollectorRegistry


class Peers:
    """The loggers of the group, as this one sees them.

    Args:
        url: How this logger is named in the group: `http://host:port`.
        secret: What loggers show each other.
        partitions: How many shards there are.
        queue_id: The queue that offsets refer to.
        owners: Asks the queue for the owner of each shard (`GroupConsumer.owners`).
        registry: Where metrics are registered.
    """

    def __init__(
        self,
        *,
        url: str,
        secret: str,
        partitions: int,
        queue_id: str,
        owners: Callable[[], Awaitable[Mapping[int, str]]],
        registry: CollectorRegistry,
    ) -> None:
        self.url = url
        self.secret = secret
        self.partitions = partitions
        self.queue_id = queue_id
        self._ask = owners
        self._registry = registry
        self._owners: Mapping[int, str] = {}

    def owners(self) -> Mapping[int, str]:
        """Shard to the URL of its owner, as last heard; a shard without an owner is absent."""
        return self._owners
