"""The logger over HTTP, as the audit reads it: pages of history, and a follow."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Final

import aiohttp
import msgspec
from aiohttp.http_exceptions import HttpProcessingError

from fluentd.audit.judge import NS
from pipeline.errors import RetriableError
from pipeline.limits import KIB, MIB

CONNECT_SECONDS: Final = 10.0
SILENCE_SECONDS: Final = 30.0
"""A follow sends a watermark every 5 s, and a search ends after 10 s."""

LINE_BYTES: Final = 2 * MIB
MOST_PAGES: Final = 1000
_TOKEN_BYTES: Final = 4 * KIB
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.(\d{9})Z")


class AnswerError(RetriableError):
    """No answer of the kind asked for.

    Attributes:
        reason: In a word, for a metric's label: `away`, `refused`, `gone` (the cursor's queue was replaced),
            `answer` (it makes no sense), `ended` (the logger ended it) or `token`.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Row(msgspec.Struct, gc=False):
    """A line of history, or an event of a follow: what the audit needs of it."""

    type: str = "line"
    message: str = ""
    cursor: str = ""
    complete_up_to: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """All pages of one question.

    Attributes:
        messages: In the order of the answer.
        complete_ns: `Complete-Up-To` of the first page; 0 when it does not say, or a page is partial.
    """

    messages: list[str]
    complete_ns: int


class LoggerClient:
    """Requests about one app to one logger.

    Args:
        session: Open for the life of this object.
        url: Of the logger.
        app: Whose lines.
        token_file: See `AuditSettings`.
    """

    def __init__(self, session: aiohttp.ClientSession, *, url: str, app: str, token_file: Path | None) -> None:
        self._session = session
        self._path = f"{url.rstrip('/')}/v1/apps/{app}/logs"
        self._token_file = token_file

    async def ask(self, parameters: Mapping[str, str]) -> Answer:
        """Read an answer to its end, page by page, oldest line first.

        Raises:
            AnswerError: See there.
        """
        asked = {**parameters, "order": "asc", "limit": "10000", "format": "ndjson"}
        messages: list[str] = []
        complete_ns: int | None = None
        for _ in range(MOST_PAGES):
            async with self._get(self._path, asked) as response:
                said_ns = 0 if "Partial" in response.headers else parse_time(response.headers.get("Complete-Up-To"))
                complete_ns = said_ns if complete_ns is None else min(complete_ns, said_ns)
                messages += [row.message async for row in _rows(response)]
                cursor = response.headers.get("Next-Cursor")
            if cursor is None:
                return Answer(messages, complete_ns)
            asked["cursor"] = cursor
        raise AnswerError("answer", f"over {MOST_PAGES} pages")

    @asynccontextmanager
    async def follow(self, parameters: Mapping[str, str]) -> AsyncIterator[AsyncIterator[Row]]:
        """Follow inside the block; the rows never end but by an error.

        Raises:
            AnswerError: See there.
        """
        async with self._get(f"{self._path}/follow", {**parameters, "format": "ndjson"}) as response:
            yield _rows(response)
            raise AnswerError("ended", "the logger ended the follow")

    @asynccontextmanager
    async def _get(self, path: str, parameters: Mapping[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = await asyncio.to_thread(self._headers)
        limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=SILENCE_SECONDS)
        try:
            async with self._session.get(
                path, params=parameters, headers=headers, timeout=limits, allow_redirects=False
            ) as response:
                if response.status == HTTPStatus.GONE:
                    raise AnswerError("gone", "the queue was replaced")
                if response.status != HTTPStatus.OK:
                    raise AnswerError("refused", f"the logger answers {response.status}")
                yield response
        except (aiohttp.ClientError, TimeoutError) as error:
            raise AnswerError("away", f"{type(error).__name__}: {error}"[:300]) from error

    def _headers(self) -> dict[str, str]:
        if self._token_file is None:
            return {}
        try:
            with self._token_file.open(encoding="ascii") as file:
                token = file.read(_TOKEN_BYTES).strip()
        except (OSError, UnicodeDecodeError) as error:
            raise AnswerError("token", f"AUDIT_TOKEN_FILE: {type(error).__name__}") from error
        if not token.isprintable():
            raise AnswerError("token", "AUDIT_TOKEN_FILE: more than one line")
        return {"Authorization": f"Bearer {token}"}


async def _rows(response: aiohttp.ClientResponse) -> AsyncIterator[Row]:
    try:
        while line := await response.content.readline():
            yield _decoder.decode(line)
    except (HttpProcessingError, ValueError, msgspec.DecodeError) as error:  # too long a line, no UTF-8, no JSON
        raise AnswerError("answer", f"not the answer of a logger: {type(error).__name__}") from error


def parse_time(text: str | None) -> int:
    """Nanoseconds of a time as the logger writes it; 0 when it is unknown.

    Raises:
        AnswerError: It is no such time.
    """
    if not text:
        return 0
    match = _TIME.fullmatch(text)
    try:
        seconds = int(datetime.fromisoformat(f"{match[1]}+00:00").timestamp()) if match else None
    except ValueError:
        seconds = None
    if match is None or seconds is None:
        raise AnswerError("answer", "a time that is none")
    return seconds * NS + int(match[2])


_decoder: Final = msgspec.json.Decoder(Row)
