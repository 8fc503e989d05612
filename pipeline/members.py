"""The services that share a queue as one consumer group: which of them owns which partition, and how they are asked."""

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Final

import aiohttp
import structlog

from pipeline.errors import PipelineError

log = structlog.get_logger()

REFRESH_SECONDS: Final = 1.5
"""The group's description is read this often, and at once when an owner turns out to be another."""

PEER_SECONDS: Final = 2.0
"""A member that has not begun to answer by then is away."""

BODY_SECONDS: Final = 15.0
"""One that has begun may need this long for a search."""

AWAY_SECONDS: Final = 2.0
"""One that was away is not asked again for so long: every question would wait for it."""

ANSWER_BYTES: Final = 64 * 1024 * 1024
"""Longest answer that is read."""

_URL: Final = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]{1,255}/?")


class PeerError(Exception):
    """A member does not answer, or not what was asked."""


class Members:
    """The members of the group, as this one sees them.

    Args:
        url: How this member is named in the group: `http://host:port`.
        secret: What members show each other.
        owners: Asks the queue for the owner of each partition (`GroupConsumer.owners`).
    """

    def __init__(self, *, url: str, secret: str, owners: Callable[[], Awaitable[Mapping[int, str]]]) -> None:
        self.url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {secret}"}
        self._ask_owners = owners
        self._owners: Mapping[int, str] = {}
        self._changed = asyncio.Event()
        self._refreshed_at = -1.0
        self._refreshing = asyncio.Lock()
        self._away_until: dict[str, float] = {}
        self._session: aiohttp.ClientSession | None = None

    def owners(self) -> Mapping[int, str]:
        """Partition to the URL of its owner, as last heard; one without an owner is absent."""
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
                owners = {number: url.rstrip("/") for number, url in (await self._ask_owners()).items()}
            except PipelineError as error:
                log.debug("owners not known, the last ones stay", error=str(error))
                return
            self._refreshed_at = begun
            if owners != self._owners:
                self._owners = owners
                self._changed.set()
                self._changed = asyncio.Event()

    async def ask(self, url: str, path: str, body: bytes) -> bytes:
        """Ask one member.

        Raises:
            PeerError: It does not answer in time, or refuses.
        """
        async with self.stream(url, path, body) as content:
            try:
                async with asyncio.timeout(BODY_SECONDS):
                    answer = bytearray()
                    async for chunk in content.iter_any():
                        answer += chunk
                        if len(answer) > ANSWER_BYTES:
                            raise PeerError(f"{url} says too much")
                    return bytes(answer)
            except (aiohttp.ClientError, TimeoutError) as error:
                raise self._is_away(url, error) from error

    @contextlib.asynccontextmanager
    async def stream(self, url: str, path: str, body: bytes) -> AsyncIterator[aiohttp.StreamReader]:
        """Ask one member, and read what it says bit by bit inside the block.

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
            log.warning("another member refuses to answer", url=url, status=response.status)
        raise PeerError(f"{url} refuses: {response.status}")

    def _is_away(self, url: str, error: Exception) -> PeerError:
        self._away_until[url] = time.monotonic() + AWAY_SECONDS
        return PeerError(f"{url} does not answer: {str(error) or type(error).__name__}")
