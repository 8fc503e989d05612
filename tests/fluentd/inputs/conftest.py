"""An intake, with the lanes in memory."""

from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry

from fluentd.chunks.outgoing import Sendable
from fluentd.inputs.intake import Intake
from fluentd.inputs.metrics import InputMetrics
from fluentd.inputs.ruling import InputRules


class Lanes:
    """Keeps what is put; acknowledges when told."""

    def __init__(self) -> None:
        self.put_chunks: list[tuple[int, Sendable]] = []
        self.acknowledged = 0

    def put(self, partition: int, chunk: Sendable) -> None:
        self.put_chunks.append((partition, chunk))

    def acknowledge(self, count: int | None = None) -> None:
        """The queue has the oldest `count` chunks, or all."""
        stop = len(self.put_chunks) if count is None else self.acknowledged + count
        for _, one in self.put_chunks[self.acknowledged : stop]:
            one.acknowledge()
        self.acknowledged = stop


@pytest.fixture
def lanes() -> Lanes:
    return Lanes()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def make_intake(lanes: Lanes, registry: CollectorRegistry) -> Callable[..., Intake]:
    made: list[Intake] = []

    def make(
        *, limit_bytes: int = 2**20, own_sources: int = 1000, partitions: int = 8, rules: InputRules | None = None
    ) -> Intake:
        intake = Intake(
            node="n1",
            partitions=partitions,
            put=lanes.put,
            limit_bytes=limit_bytes,
            metrics=InputMetrics(registry if not made else CollectorRegistry()),
            own_sources=own_sources,
            rules=rules,
        )
        made.append(intake)
        return intake

    return make
