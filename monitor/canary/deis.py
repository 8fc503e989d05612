"""The Deis controller: releases are read, and a rollback is asked for once."""

from http import HTTPStatus
from typing import Annotated, Final

import aiohttp
import msgspec
from msgspec import Meta

from monitor.canary.world import DeisFacts, Release

_READ: Final = aiohttp.ClientTimeout(total=15)
ROLLBACK_SECONDS: Final = 1200
"""It answers when the old release is deployed, which may take as long as its own server allows."""

_MOST_BYTES: Final = 4 << 20
_SHOWN: Final = 300


class DeisError(Exception):
    """It does not answer, or not what is understood. What it did is not known."""


class DeisRefusedError(Exception):
    """It answered that it will not."""


class _Listed(msgspec.Struct, frozen=True):
    version: Annotated[int, Meta(ge=0)]
    owner: str = ""
    summary: str | None = ""
    build: str | None = None
    config: str | None = None
    failed: bool = False


class _Page(msgspec.Struct, frozen=True):
    results: list[_Listed]


class _User(msgspec.Struct, frozen=True):
    username: str


class Deis:
    """A Deis controller, and as whom we speak to it.

    Args:
        session: For requests.
        url: Its address, without `/v2`.
        token: Of a user that may use the apps.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str) -> None:
        self._session = session
        self._url = f"{url.rstrip('/')}/v2"
        self._headers = {"Authorization": f"token {token}"}
        self._user = ""

    async def facts(self, app: str) -> DeisFacts:
        """What it says of an app.

        Raises:
            DeisError: See there.
        """
        if not self._user:
            self._user = await self._whoami()
        body = await self._get(f"/apps/{app}/releases/?limit=50")
        try:
            found = msgspec.json.decode(body, type=_Page).results
        except msgspec.DecodeError as error:
            raise DeisError(f"the releases of {app} make no sense: {error}") from error
        releases = [
            Release(one.version, one.owner, one.summary or "", one.build, one.config, one.failed) for one in found
        ]
        return DeisFacts(self._user, tuple(sorted(releases, key=lambda release: -release.version)))

    async def _whoami(self) -> str:
        try:
            return msgspec.json.decode(await self._get("/auth/whoami/"), type=_User).username
        except msgspec.DecodeError as error:
            raise DeisError(f"who we are makes no sense: {error}") from error

    async def roll_back(self, app: str, version: int) -> None:
        """Ask for an older release again. To be called once: it has no key by which Deis would know it again.

        Raises:
            DeisRefusedError: It will not; nothing was changed.
            DeisError: What became of it is told by the releases alone.
        """
        try:
            async with self._session.post(
                f"{self._url}/apps/{app}/releases/rollback/",
                json={"version": version},
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(total=ROLLBACK_SECONDS, sock_connect=15),
            ) as answer:
                told = await answer.content.read(_SHOWN)
                if answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND):
                    raise DeisRefusedError(f"Deis answers {answer.status}: {told.decode(errors='replace')}")
                if answer.status != HTTPStatus.CREATED:  # a 400 may have made a release and failed to deploy it
                    raise DeisError(f"Deis answers {answer.status}: {told.decode(errors='replace')}")
        except (aiohttp.ClientError, TimeoutError) as error:
            raise DeisError(f"no answer: {error!r}") from error

    async def _get(self, path: str) -> bytes:
        try:
            async with self._session.get(f"{self._url}{path}", headers=self._headers, timeout=_READ) as answer:
                if answer.status != HTTPStatus.OK:
                    raise DeisError(f"{path}: {answer.status}")
                return await _whole(answer.content)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise DeisError(f"no answer: {error!r}") from error


async def _whole(content: aiohttp.StreamReader) -> bytes:
    """All of a body; one read gives what has arrived, which of a long one is its begin."""
    body = bytearray()
    async for part in content.iter_chunked(_MOST_BYTES):
        body += part
        if len(body) > _MOST_BYTES:
            raise DeisError(f"an answer of more than {_MOST_BYTES} bytes")
    return bytes(body)
