"""The contract of deis/logger: statuses and bytes, as the real binary was seen to answer."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from logger.api.deis import MOST_LINES, parse_log_lines
from logger.api.render import tag
from pipeline.errors import StoreUnavailableError

BASE = 1_795_478_400_000_000_000
PLAIN = "text/plain; charset=utf-8"


@pytest.fixture
async def served(pipeline: Any, make: Any, serve: Any) -> AsyncIterator[Any]:
    """An app of 150 lines, in table and head; another with odd bytes; a third that the controller speaks of."""
    pipeline.append(make.numbered("demo", 120))
    pipeline.commit(evict=True)
    pipeline.append(make.numbered("demo", 30, start=120))
    odd = [b"  leading", b"", b"\xff\xfe raw", b"tab\tcr\r", b"\x1b[31mred\x00", b"trailing  "]
    pipeline.append([make.row(app="odd", order_ns=BASE + n, offset=n, message=text) for n, text in enumerate(odd)])
    said = [b"INFO [told]: scaled web=3 ", b"  and goes on ", b"ERROR [another]: x", b"CRITICAL [told]: bad"]
    pipeline.append(
        [make.row(app="told", order_ns=BASE + n, offset=n, message=text, process="@controller")
         for n, text in enumerate(said)]
    )  # fmt: skip
    pipeline.append(
        [make.row(app="posing", order_ns=BASE, message=b"INFO [posing]: x", container="deis-controller")]
    )  # fmt: skip
    pipeline.append([make.row(app="a/b")], [make.row(app="with space")])
    async with serve(pipeline) as served:
        yield served


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/healthz", 200),
        ("GET", "/logs/demo", 200),
        ("GET", "/logs/demo/", 200),
        ("GET", "/logs/nobody", 204),
        ("GET", "/logs/demo?log_lines=0", 204),
        ("GET", "/logs/demo?log_lines=-5", 204),
        ("GET", "/logs/with%20space", 200),
        ("DELETE", "/logs/demo", 200),
        ("DELETE", "/logs/demo/", 200),
        ("DELETE", "/logs/nobody", 200),
        ("POST", "/logs/demo", 405),
        ("PUT", "/logs/demo", 405),
        ("HEAD", "/logs/demo", 405),
        ("GET", "/logs", 404),
        ("GET", "/logs/", 404),
        ("GET", "/logs/demo/web", 404),
        ("GET", "/logs/a%2Fb", 404),
        ("GET", "/logs/" + "x" * 300, 404),
        ("GET", "/logs/a%00b", 404),
        ("GET", "/", 404),
        ("GET", "/nope", 404),
    ],
)
async def test_statuses(served: Any, method: str, path: str, status: int) -> None:
    """And nothing in the body of those that had none."""
    async with served.client.request(method, path) as answer:
        body = await answer.read()
        assert answer.status == status
        if status in (204, 405) or method == "DELETE" or path == "/healthz":
            assert body == b""
        if status == 404:
            assert body == b"404 page not found\n"
            assert answer.headers["Content-Type"] == PLAIN


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", 100),
        ("?log_lines=", 100),
        ("?log_lines=abc", 100),
        ("?log_lines=1.5", 100),
        ("?log_lines=%2B7", 7),
        ("?log_lines=+7", 100),
        ("?log_lines=007", 7),
        ("?log_lines=0x10", 100),
        ("?log_lines=99999999999999999999", 100),
        ("?log_lines=1", 1),
        ("?log_lines=149", 149),
        ("?log_lines=100000", 150),
        ("?log_lines=3&log_lines=9", 3),
        ("?unknown=1", 100),
    ],
)
async def test_log_lines_are_the_last_ones_oldest_first(served: Any, query: str, count: int) -> None:
    """What is no integer is the default, as it always was."""
    status, headers, body = await served.get("/logs/demo" + query)
    assert (status, headers["Content-Type"]) == (200, PLAIN)
    numbers = [int(line.split(b"demo line ")[1].split()[0]) for line in body.splitlines()]
    assert numbers == list(range(150 - count, 150))


async def test_message_bytes_are_as_they_were(served: Any) -> None:
    """No decoding, no escaping, no trimming; times in seconds with a numeric offset."""
    _, _, body = await served.get("/logs/odd")
    prefix = b"2026-11-24T00:00:00+00:00 odd[web.v3.x7k2p]: "
    messages = [b"  leading", b"", b"\xff\xfe raw", b"tab\tcr\r", b"\x1b[31mred\x00", b"trailing  "]
    assert body == b"".join(prefix + message + b"\n" for message in messages)


async def test_what_the_controller_says_of_an_app_has_its_own_form(served: Any) -> None:
    """Also where a message goes on; a line of an app that calls its container so is a line like any other."""
    _, _, body = await served.get("/logs/told")
    start = b"2026-11-24T00:00:00+00:00 "
    assert body.splitlines() == [
        start + b"deis[controller]: INFO scaled web=3",
        start + b"deis[controller]:   and goes on ",
        start + b"deis[controller]: ERROR [another]: x",
        start + b"deis[controller]: CRITICAL bad",
    ]
    _, _, body = await served.get("/logs/posing")
    assert body == start + b"posing[web.v3.x7k2p]: INFO [posing]: x\n"


async def test_a_deleted_app_is_gone_at_once_and_may_come_back(served: Any, pipeline: Any, make: Any) -> None:
    """From table and head alike."""
    async with served.client.delete("/logs/demo") as answer:
        assert answer.status == 200
    assert (await served.get("/logs/demo"))[0] == 204
    pipeline.append(make.numbered("demo", 1, start=500))
    assert b"demo line 500" in (await served.get("/logs/demo"))[2]


async def test_a_line_of_several_rows_is_one_line(served: Any, pipeline: Any, make: Any) -> None:
    """Whatever lies between its rows in the files."""
    rows = [make.row(app="long", order_ns=BASE, offset=5, continuation=n, message=b"%d" % n * 3) for n in range(4)]
    pipeline.append(rows[:2])
    pipeline.commit()
    pipeline.append(rows[2:], [make.row(app="long", order_ns=BASE, offset=9, message=b"next")])
    _, _, body = await served.get("/logs/long?log_lines=2")
    assert [line.split(b"]: ")[1] for line in body.splitlines()] == [b"000111222333", b"next"]


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        ("foo-web-1268372815-x7k2p", "web.v3.x7k2p"),
        ("foo-run-a1b2c", "web.v3"),
        ("my-app-run-a1b2c", "web.v3.a1b2c"),
        ("a-b-c-d-e-f", "web.v3.f"),
        ("foo", "web.v3"),
        ("", "web.v3"),
        ("---", "web.v3"),
        ("a" + "-" * 250 + "b", "web.v3"),
    ],
)
def test_the_tag_ends_with_what_follows_the_last_dash(pod: str, expected: Any) -> None:
    """Only of a pod name with three dashes."""
    assert tag("web", "v3", pod) == expected


def test_log_lines_are_bounded() -> None:
    """Unbounded before."""
    assert parse_log_lines(str(10**9)) == MOST_LINES


async def test_storage_trouble_is_500_with_nothing_in_it(served: Any, pipeline: Any) -> None:
    """And health stays as it is."""

    def fail() -> None:
        raise StoreUnavailableError("gone")

    pipeline.reader_table.refresh = fail
    status, _, body = await served.get("/logs/demo")
    assert (status, body) == (500, b"")
    assert (await served.get("/healthz"))[0] == 200
