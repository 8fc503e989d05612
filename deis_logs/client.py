"""HTTP: one service, its answers as streams of complete lines, and its errors as words that help.

Redirects are not followed: a token goes only where the person sent it.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import msgspec

from deis_logs.errors import CliError, GoneError, LostError, ServerError, UsageError
from deis_logs.lines import App, decode_apps
from deis_logs.profile import Target
from deis_logs.query import Parameters
from pipeline.limits import KIB, MIB

CONNECT_SECONDS: Final = 10.0
HISTORY_SILENCE_SECONDS: Final = 120.0
"""A search may scan for long before its first line."""

FOLLOW_SILENCE_SECONDS: Final = 20.0
"""A follow sends a sign of life every 5 seconds."""

_READ_BYTES: Final = 512 * KIB
_LINE_BYTES: Final = 32 * MIB  # a row of 1 MiB as JSON escapes and base64 is about 8 MiB
_ERROR_BYTES: Final = 4 * KIB
_RETRIABLE: Final = frozenset({429, 500, 502, 503, 504})


class _ErrorBody(msgspec.Struct):
    error: str


class Client:
    """Requests to one service.

    Args:
        target: The service.
        session: Open for the life of this object.
    """

    def __init__(self, *, target: Target, session: aiohttp.ClientSession) -> None:
        self._target = target
        self._session = session

    async def apps(self) -> list[App]:
        """List the apps that the token may read."""
        async with self.get("/v1/apps", [], silence_seconds=HISTORY_SILENCE_SECONDS) as response:
            return decode_apps(await response.read())

    @asynccontextmanager
    async def get(
        self, path: str, parameters: Parameters, *, silence_seconds: float
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request; the answer's body may be read inside the block, where its errors are translated too.

        Raises:
            LostError: No answer, one that broke off, or one that says "later".
            UsageError: A parameter is refused.
            ServerError: Any other refusal.
        """
        async with self._sent("GET", path, parameters, None, silence_seconds=silence_seconds) as response:
            yield response

    async def post(self, path: str, body: bytes, *, silence_seconds: float) -> bytes:
        """Send JSON; the whole answer. Raises what `get` does."""
        async with self._sent("POST", path, [], body, silence_seconds=silence_seconds) as response:
            return await response.read()

    @asynccontextmanager
    async def _sent(
        self, method: str, path: str, parameters: Parameters, body: bytes | None, *, silence_seconds: float
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=silence_seconds)
        headers = {} if body is None else {"Content-Type": "application/json"}
        url = f"{self._target.url}{path}"
        try:
            async with self._session.request(
                method, url, params=parameters, data=body, headers=headers, timeout=limits, allow_redirects=False
            ) as response:
                if response.status != HTTPStatus.OK:
                    raise await self._refusal(response)
                yield response
        except aiohttp.ClientError as error:
            raise self._lost(error) from error
        except TimeoutError as error:
            raise LostError(f"{self._target.url} did not answer in time") from error

    async def _refusal(self, response: aiohttp.ClientResponse) -> CliError:
        said = _said(await response.content.read(_ERROR_BYTES))
        status, service = response.status, self._target.service
        if status == 400:  # noqa: PLR2004 - HTTP's own numbers are clearer than names here
            return UsageError(f"the {service.name} refuses the request: {said or 'a parameter is wrong'}")
        if status == 404 and service.tells_absent and said and not said.startswith("404"):  # noqa: PLR2004 - same
            return ServerError(said)
        if status == 410:  # noqa: PLR2004 - same
            return GoneError(f"the {service.name} cannot go on from there ({status}{said and ': '}{said})")
        if status in _RETRIABLE:
            return LostError(f"the {service.name} cannot answer now ({status}{said and ': '}{said}): try again later")
        advice = {
            401: "a valid token is needed: log in with `deis login`, or give --token-file or "
            f"{service.variables}_TOKEN",
            403: "the token may not read this app: ask the app's owner, or use another token",
            404: f"there is no {service.name} at {self._target.url}: check --url or {service.variables}_URL",
        }.get(status)
        if 300 <= status < 400:  # noqa: PLR2004 - same
            advice = f"{self._target.url} points to {response.headers.get('Location', 'elsewhere')}: give that as --url"
        return ServerError(f"{advice or f'the {service.name} refuses the request'} ({status}{said and ': '}{said})")

    def _lost(self, error: aiohttp.ClientError) -> CliError:
        url, service = self._target.url, self._target.service
        if isinstance(error, (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError)):
            return ServerError(f"the certificate of {url} is not trusted ({error}): check --url and SSL_CERT_FILE")
        if isinstance(error, aiohttp.InvalidURL):
            return UsageError(f"{url} is no URL: check --url or {service.variables}_URL")
        if isinstance(error, aiohttp.ClientConnectorError):
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
            return LostError(f"cannot connect to {url} ({reason}): is the {service.name} running, is --url right?")
        if isinstance(error, (aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError)):
            return LostError(f"the connection to {url} broke off")  # what aiohttp adds is about chunks
        return LostError(f"the connection to {url} broke off ({error or type(error).__name__})")


def _said(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_ErrorBody).error[:500]
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""


@asynccontextmanager
async def connect(target: Target) -> AsyncIterator[Client]:
    """Open a client inside the block. Proxies are those of the environment; none for this machine."""
    headers = {"User-Agent": target.service.variables.lower().replace("_", "-")}
    if target.token:
        headers["Authorization"] = f"Bearer {target.token}"
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=target.verify, limit=2),
        headers=headers,
        read_bufsize=_READ_BYTES,
        max_field_size=_ERROR_BYTES * 4,
        proxy=proxy_of(target),  # not aiohttp's trust_env: that reads ~/.netrc too, which contradicts the token
    ) as session:
        yield Client(target=target, session=session)


def proxy_of(target: Target) -> str | None:
    """Find the proxy that the environment names for a logger; none for one on this machine.

    Raises:
        UsageError: It is not one of HTTP.
    """
    parts = urlsplit(target.url)
    if target.is_loopback or proxy_bypass(parts.hostname or ""):
        return None
    proxy = getproxies().get(parts.scheme)
    if proxy is not None and not proxy.startswith(("http://", "https://")):
        raise UsageError(f"the proxy {proxy[:100]} is not one of HTTP: check {parts.scheme.upper()}_PROXY, NO_PROXY")
    return proxy


async def blocks(response: aiohttp.ClientResponse, *, endless: bool = False) -> AsyncIterator[bytes]:
    """Read a body of lines: yield runs of complete lines, as they arrive.

    Args:
        response: Whose body.
        endless: Whether the body never ends by itself.

    Raises:
        LostError: The body ends inside a line, or at all when it is endless.
        ServerError: A line has no end.
    """
    begun: list[bytes] = []
    begun_bytes = 0
    async for data in response.content.iter_any():
        cut = data.rfind(b"\n") + 1
        if cut:
            yield b"".join([*begun, data[:cut]])
            begun.clear()
            begun_bytes = 0
        begun.append(data[cut:])
        begun_bytes += len(data) - cut
        if begun_bytes > _LINE_BYTES:
            raise ServerError("the answer is not that of a logger (a line without an end): check --url")
    if begun_bytes or endless:
        raise LostError("the answer broke off")
