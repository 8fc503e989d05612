"""The other loggers: which of them owns which shard, and how they are asked."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog
from prometheus_client import CollectorRegistry, Counter

from logger.reading.peerswire import AWAY, EVICTED, LOADING, MOVED, PeerFormatError, Standing
from pipeline.members import Members, PeerError

log = structlog.get_logger()

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answers(Generic[T]):
    """What the owners said.

    Attributes:
        given: The answers, with the logger that gave each and the shards that it was asked for.
        missing: Why there is no answer for a shard.
    """

    given: list[tuple[str, Mapping[int, int], T]]
    missing: dict[int, str]


class Peers(Members):
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
        super().__init__(url=url, secret=secret, owners=owners)
        self.partitions = partitions
        self.queue_id = queue_id
        self.partial = Counter("logger_partial_answers", "Answers that lacked rows of some shards.", registry=registry)
        self._missed = Counter(
            "logger_peer_misses", "Times that another logger gave no rows of a shard.", ["reason"], registry=registry
        )
        for reason in (AWAY, EVICTED, LOADING, MOVED):
            self._missed.labels(reason)

    async def over_owners(
        self, starts: Mapping[int, int], ask: Callable[[str, Mapping[int, int]], Awaitable[tuple[T, Standing]]]
    ) -> Answers[T]:
        """Ask the owners of all shards in `starts`, at the same time; once more where the owner was another one.

        Args:
            starts: Offset from which on rows are wanted, by shard.
            ask: Asks the logger at a URL about some of them.
        """
        begun = time.monotonic()
        answers = await self._round(starts, ask)
        again = {shard: starts[shard] for shard, why in answers.missing.items() if why in (AWAY, MOVED)}
        if again:
            await self.refresh(since=begun)
            more = await self._round(again, ask)
            kept = {shard: why for shard, why in answers.missing.items() if shard not in again}
            answers = Answers([*answers.given, *more.given], {**kept, **more.missing})
        for why in answers.missing.values():
            self._missed.labels(why).inc()
        return answers

    async def _round(
        self, starts: Mapping[int, int], ask: Callable[[str, Mapping[int, int]], Awaitable[tuple[T, Standing]]]
    ) -> Answers[T]:
        answers: Answers[T] = Answers([], {})
        groups: dict[str, dict[int, int]] = {}
        for shard, start in starts.items():
            url = self.owners().get(shard, "")
            if url in ("", self.url):  # this one is about to have it, or had it a moment ago
                answers.missing[shard] = MOVED if url else AWAY
            else:
                groups.setdefault(url, {})[shard] = start

        async def one(url: str, part: Mapping[int, int]) -> None:
            try:
                answer, standing = await ask(url, part)
            except PeerError as error:
                log.debug("logger not asked", url=url, error=str(error))
                answers.missing.update(dict.fromkeys(part, AWAY))
                return
            refused = {shard: _known_reason(why) for shard, why in standing.refused.items() if shard in part}
            unsaid = {shard: AWAY for shard in part if shard not in standing.ends and shard not in refused}
            answers.missing.update(refused | unsaid)
            held = {shard: start for shard, start in part.items() if shard not in answers.missing}
            if held:
                answers.given.append((url, held, answer))

        async with asyncio.TaskGroup() as group:
            for url, part in groups.items():
                group.create_task(one(url, part), name=f"ask {url}")
        return answers


def _known_reason(reason: str) -> str:
    return reason if reason in (MOVED, LOADING, EVICTED) else AWAY


def checked(url: str, error: PeerFormatError) -> PeerError:
    """What a logger said is not understood."""
    return PeerError(f"{url} is not understood: {error}")
