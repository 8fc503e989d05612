"""The other loggers: which of them owns which shard, and how they are asked."""

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Generic, TypeVar

import aiohttp
import structlog
from prometheus_client import CollectorRegistry, Counter

from logger.reading.peerswire import AWAY, EVICTED, FRAME_BYTES, LOADING, MOVED, PeerFormatError, Standing
from pipeline.errors import PipelineError

log = structlog.get_logger()

REFRESH_SECONDS: Final = 1.5
"""The group's description is read this often, and at once when an owner turns out to be another."""

PEER_SECONDS: Final = 2.0
"""A logger that has not begun to answer by then is away."""

BODY_SECONDS: Final = 15.0
"""One that has begun may need this long for a search."""

AWAY_SECONDS: Final = 2.0
"""One that was away is not asked again for so long: every question would wait for it."""

_URL: Final = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]{1,255}/?")

T = TypeVar("T")


class PeerError(Exception):
    """A logger does not answer, or not what was asked."""


@dataclass(frozen=True, slots=True)
class Answers(Generic[T]):
    """What the owners said.

    Attributes:
        given: The answers, with the logger that gave each and the shards that it was asked for.
        missing: Why there is no answer for a shard.
    """

    given: list[tuple[str, Mapping[int, int], T]]
    missing: dict[int, str]


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
        self.url = url.rstrip("/")
        self.partitions = partitions
        self.queue_id = queue_id
        self._headers = {"Authorization": f"Bearer {secret}"}
        self._ask_owners = owners
        self._owners: Mapping[int, str] = {}
        self._changed = asyncio.Event()
        self._refreshed_at = -1.0
        self._refreshing = asyncio.Lock()
        self._away_until: dict[str, float] = {}
        self._session: aiohttp.ClientSession | None = None
        self.partial = Counter("logger_partial_answers", "Answers that lacked rows of some shards.", registry=registry)
        self._missed = Counter(
            "logger_peer_misses", "Times that another logger gave no rows of a shard.", ["reason"], registry=registry
        )
        for reason in (AWAY, EVICTED, LOADING, MOVED):
            self._missed.labels(reason)

    def owners(self) -> Mapping[int, str]:
        """Shard to the URL of its owner, as last heard; a shard without an owner is absent."""
        return self._owners

    @property
    def changed(self) -> asyncio.Event:
        """Is set when owners are other ones; each change brings a new event."""
        return self._changed

    async def run(self) -> None:
        """Keep the owners known, and connections open, until cancelled."""
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60.0)
        async with aiohttp.ClientSession(connector=connector, headers=self._headers) as session:
            self._session = session
            try:
                while True:
                    await self.refresh(since=time.monotonic())
                    await asyncio.sleep(REFRESH_SECONDS)
            finally:
                self._session = None

    async def refresh(self, *, since: float) -> None:
        """Read the group's description, unless that was done after `since` (monotonic seconds).

        While there is none to be had, because the queue is away or the group is moving, the last one stays.
        """
        async with self._refreshing:
            if self._refreshed_at > since:
                return
            begun = time.monotonic()
            try:
                owners = {shard: url.rstrip("/") for shard, url in (await self._ask_owners()).items()}
            except PipelineError as error:
                log.debug("owners of shards not known, the last ones stay", error=str(error))
                return
            self._refreshed_at = begun
            if owners != self._owners:
                self._owners = owners
                self._changed.set()
                self._changed = asyncio.Event()

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
            url = self._owners.get(shard, "")
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

    async def ask(self, url: str, path: str, body: bytes) -> bytes:
        """Ask one logger.

        Raises:
            PeerError: It does not answer in time, or refuses.
        """
        async with self.stream(url, path, body) as content:
            try:
                async with asyncio.timeout(BODY_SECONDS):
                    answer = bytearray()
                    async for chunk in content.iter_any():
                        answer += chunk
                        if len(answer) > FRAME_BYTES:
                            raise PeerError(f"{url} says too much")
                    return bytes(answer)
            except (aiohttp.ClientError, TimeoutError) as error:
                raise self._is_away(url, error) from error

    @contextlib.asynccontextmanager
    async def stream(self, url: str, path: str, body: bytes) -> AsyncIterator[aiohttp.StreamReader]:
        """Ask one logger, and read what it says bit by bit inside the block.

        Raises:
            PeerError: It does not begin to answer in time, or refuses. Errors while reading are the caller's.
        """
        response = await self._begin(url, path, body)
        try:
            yield response.content
        finally:
            response.release() if response.content.at_eof() else response.close()

    async def _begin(self, url: str, path: str, body: bytes) -> aiohttp.ClientResponse:
        session = self._session
        if session is None or not _URL.fullmatch(url):
            raise PeerError(f"{url[:300]!r} cannot be asked")
        if self._away_until.get(url, 0.0) > time.monotonic():
            raise PeerError(f"{url} was away a moment ago")
        limits = aiohttp.ClientTimeout(total=None)
        try:
            async with asyncio.timeout(PEER_SECONDS):
                try:
                    response = await session.post(url + path, data=body, timeout=limits, allow_redirects=False)
                except aiohttp.ServerDisconnectedError:  # a connection kept open that the other side had given up
                    response = await session.post(url + path, data=body, timeout=limits, allow_redirects=False)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self._is_away(url, error) from error
        if response.status == HTTPStatus.OK:
            return response
        response.close()
        if response.status != HTTPStatus.TOO_MANY_REQUESTS:
            self._away_until[url] = time.monotonic() + AWAY_SECONDS
            log.warning("another logger refuses to answer", url=url, status=response.status)
        raise PeerError(f"{url} refuses: {response.status}")

    def _is_away(self, url: str, error: Exception) -> PeerError:
        self._away_until[url] = time.monotonic() + AWAY_SECONDS
        return PeerError(f"{url} does not answer: {str(error) or type(error).__name__}")


def _known_reason(reason: str) -> str:
    return reason if reason in (MOVED, LOADING, EVICTED) else AWAY


def checked(url: str, error: PeerFormatError) -> PeerError:
    """What a logger said is not understood."""
    return PeerError(f"{url} is not understood: {error}")
