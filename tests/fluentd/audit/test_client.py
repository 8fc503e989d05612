"""The audit's client, against a server that answers as docs/api.md says, and as no logger should."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from prometheus_client import CollectorRegistry

from demo.stack import wait_until
from fluentd.audit.audit import Audit
from fluentd.audit.client import LINE_BYTES, Answer, AnswerError, LoggerClient
from fluentd.audit.settings import AuditSettings
from pipeline.service import Health

Answering = Callable[[web.Request], web.Response]
T1, T2 = "2026-11-24T12:00:01.000000000Z", "2026-11-24T12:00:02.000000000Z"
T1_NS = 1_795_521_601_000_000_000


def line(message: str) -> str:
    return f'{{"app":"audit","message":"{message}","new":[1]}}\n'


@asynccontextmanager
async def client(answer: Answering, *, token_file: Path | None = None) -> AsyncIterator[LoggerClient]:
    async def respond(request: web.Request) -> web.Response:
        return answer(request)

    app = web.Application()
    app.add_routes([web.get("/v1/apps/audit/{tail:.*}", respond)])
    async with TestServer(app) as server, aiohttp.ClientSession(read_bufsize=LINE_BYTES) as session:
        yield LoggerClient(session, url=str(server.make_url("")), app="audit", token_file=token_file)


def pages(*headers: dict[str, str]) -> Answering:
    """As many pages, the last without a cursor; each tells what it was asked."""

    def answer(request: web.Request) -> web.Response:
        number = int(request.query.get("cursor", "0"))
        following = {} if number + 1 == len(headers) else {"Next-Cursor": str(number + 1)}
        asked = f"{request.query['since']} {request.query['order']}"
        return web.Response(text=line(f"page {number} {asked}"), headers={**headers[number], **following})

    return answer


async def test_all_pages_are_one_answer_complete_as_the_least_of_them() -> None:
    async with client(pages({"Complete-Up-To": T2}, {"Complete-Up-To": T1}, {"Complete-Up-To": T2})) as logger:
        answer = await logger.ask({"since": "5"})
    assert answer == Answer([f"page {number} 5 asc" for number in range(3)], T1_NS)


@pytest.mark.parametrize("partial", [{"Complete-Up-To": T2, "Partial": "shards 3"}, {}])
@pytest.mark.parametrize("first", [True, False])
async def test_an_answer_with_a_partial_page_or_one_that_says_nothing_is_not_complete(
    partial: dict[str, str], *, first: bool
) -> None:
    two = [partial, {"Complete-Up-To": T2}]
    async with client(pages(*(two if first else reversed(two)))) as logger:
        assert (await logger.ask({"since": "5"})).complete_ns == 0


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (410, "", "gone"),
        (403, '{"error": "no"}', "refused"),
        (302, "", "refused"),
        (200, "no json\n", "answer"),
        (200, '{"message": 7}\n', "answer"),
        (200, '{"message": "' + "x" * (3 * LINE_BYTES) + '"}\n', "answer"),
    ],
    ids=["queue replaced", "forbidden", "redirected", "no JSON", "another form", "a line without an end"],
)
async def test_what_is_no_answer_has_a_reason(status: int, body: str, reason: str) -> None:
    headers = {"Location": "/elsewhere"} if status == 302 else {}
    async with client(lambda _: web.Response(status=status, text=body, headers=headers)) as logger:
        with pytest.raises(AnswerError) as asking:
            await logger.ask({})
        with pytest.raises(AnswerError) as following:
            await _follow(logger)
    assert (asking.value.reason, following.value.reason) == (reason, reason)


async def _follow(logger: LoggerClient) -> list[str]:
    async with logger.follow({}) as rows:
        return [row.message async for row in rows]


async def test_pages_without_an_end_are_no_answer() -> None:
    answer = web.Response
    async with client(lambda _: answer(headers={"Next-Cursor": "again"})) as logger:
        with pytest.raises(AnswerError, match="over 1000 pages"):
            await logger.ask({})


async def test_nobody_there_is_away_and_an_end_without_a_word_is_an_end() -> None:
    async with aiohttp.ClientSession() as session:
        logger = LoggerClient(session, url="http://127.0.0.1:1", app="audit", token_file=None)
        with pytest.raises(AnswerError) as raised:
            await logger.ask({})
        assert raised.value.reason == "away"
    async with client(lambda _: web.Response(text=line("one"))) as logger:
        with pytest.raises(AnswerError) as raised:
            async with logger.follow({}) as rows:
                assert [row.message async for row in rows] == ["one"]
        assert raised.value.reason == "ended"


async def test_the_token_is_read_for_each_request_and_never_told(tmp_path: Path) -> None:
    token = tmp_path / "token"
    seen: list[str] = []

    def answer(request: web.Request) -> web.Response:
        seen.append(request.headers["Authorization"])
        return web.Response()

    async with client(answer, token_file=token) as logger:
        for text in ("one\n", "two"):
            token.write_text(text)
            await logger.ask({})
        for damage in (b"two\nlines", b"\xff"):
            token.write_bytes(damage)
            with pytest.raises(AnswerError) as raised:
                await logger.ask({})
            assert raised.value.reason == "token"
            assert "two" not in str(raised.value)
    assert seen == ["Bearer one", "Bearer two"]


async def test_an_audit_without_a_logger_says_so_and_stops_at_once(tmp_path: Path) -> None:
    settings = AuditSettings(logger_url="http://127.0.0.1:1", lines_per_second=1000, late_seconds=0, wait_seconds=1)
    registry, health, stopping = CollectorRegistry(), Health(), asyncio.Event()

    def tried() -> bool:
        away = registry.get_sample_value("fluentd_audit_errors_total", {"way": "follow", "reason": "away"})
        return bool(away and registry.get_sample_value("fluentd_audit_written_lines_total"))

    with (tmp_path / "out").open("wb") as output:
        async with aiohttp.ClientSession() as session, asyncio.timeout(60), asyncio.TaskGroup() as group:
            audit = Audit(settings, session=session, registry=registry, health=health, output=output.fileno())
            group.create_task(audit.run(stopping))
            await asyncio.to_thread(wait_until, tried, seconds=60, what="lines written, and the logger asked")
            stopping.set()
    assert set(health.problems()) >= {"follow"}
