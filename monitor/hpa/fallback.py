"""Another metrics adapter, which is asked for what is not known here.

A cluster has room for one server of each metrics API. Behind it, this passes on what it does not know. Whose rights
were checked is not who asks there: the monitor's own service account does, and must be allowed to.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
from yarl import URL

from monitor.hpa.cached import Cached
from monitor.hpa.catalog import LIST_SECONDS
from monitor.hpa.cluster import Cluster
from monitor.hpa.refusal import RefusalError
from monitor.hpa.shapes import Json
from pipeline.errors import SettingsError
from pipeline.limits import MIB

PASSED: Final = "X-Deis-Telemetry-Passed"
"""Header of a request that was passed on once: it is not passed on again."""

_BYTES: Final = 8 * MIB
_LISTS: Final = 8
_LIST_AGE_SECONDS: Final = 30.0
_PATIENCE: Final = aiohttp.ClientTimeout(total=10.0)


@dataclass(frozen=True, slots=True)
class Passed:
    """The other adapter's answer.

    Attributes:
        status: Of HTTP.
        body: JSON.
    """

    status: int
    body: bytes


class Fallback:
    """See the module.

    Args:
        session: Open, with the authorities that count for the adapter.
        url: Of the adapter, without a path.
        cluster: Knows the service account's token.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str, cluster: Cluster) -> None:
        self._session, self._url, self._cluster = session, url.rstrip("/"), cluster
        self._lists: Cached[str, list[Json]] = Cached(entries=_LISTS, seconds=_LIST_AGE_SECONDS)

    async def get(self, path_and_query: str) -> Passed:
        """Pass a request on.

        Args:
            path_and_query: As it came, percent-encoded.

        Raises:
            RefusalError: There is no answer.
        """
        headers = {PASSED: "1", "Accept": "application/json", "Authorization": await self._cluster.authorization()}
        url = URL(self._url + path_and_query, encoded=True)
        try:
            async with self._session.get(url, headers=headers, allow_redirects=False) as answer:
                return Passed(answer.status, await _bounded(answer))
        except (aiohttp.ClientError, OSError) as error:
            raise _away(repr(error)) from error

    async def listed(self, path: str) -> list[Json]:
        """The resources that it lists; none while it does not answer soon: what is here must stay visible."""
        kept = self._lists.get(path)
        if kept is None:
            kept = await self._read_list(path)
            self._lists.put(path, kept)
        return kept

    async def _read_list(self, path: str) -> list[Json]:
        try:
            async with asyncio.timeout(LIST_SECONDS):
                answer = await self.get(path)
            found = msgspec.json.decode(answer.body) if answer.status == HTTPStatus.OK else {}
        except (RefusalError, TimeoutError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return []
        resources: Any = found.get("resources") if isinstance(found, dict) else None
        if not isinstance(resources, list):
            return []
        return [one for one in resources if isinstance(one, dict) and isinstance(one.get("name"), str)]


async def _bounded(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for part in answer.content.iter_any():
        body += part
        if len(body) > _BYTES:
            raise _away("its answer is too long")
    return bytes(body)


def _away(cause: str) -> RefusalError:
    return RefusalError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "ServiceUnavailable",
        f"no answer of the other adapter: {cause}",
        cause="fallback",
    )


@contextlib.asynccontextmanager
async def open_fallback(url: str, authority: Path | None, cluster: Cluster) -> AsyncIterator[Fallback | None]:
    """The adapter at `url`; `None` when that is empty.

    Args:
        url: See `Fallback`.
        authority: PEM file of who signs its certificate; the system's when `None`.
        cluster: See `Fallback`.

    Raises:
        SettingsError: The file cannot be read.
    """
    if not url:
        yield None
        return
    try:
        context = await asyncio.to_thread(ssl.create_default_context, cafile=authority)
    except OSError as error:
        raise SettingsError(f"MONITOR_FALLBACK_CA={authority}: {error}") from error
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context), timeout=_PATIENCE) as session:
        yield Fallback(session, url, cluster)
