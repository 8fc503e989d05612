"""The interface under /v1 over a real socket: every route, every parameter, every format."""

import base64
import csv
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import pyarrow as pa
import pytest

from logger.api import params
from logger.reading.lines import format_times
from logger.rows import SCHEMA

BASE = 1_795_478_400_000_000_000
LOGS = "/v1/apps/demo/logs"


@pytest.fixture
async def served(pipeline: Any, make: Any, serve: Any) -> AsyncIterator[Any]:
    """Twenty lines of two processes, two releases and two streams, half of them committed; and one of odd bytes."""
    rows = [
        make.row(
            order_ns=BASE + number * 10**9,
            offset=number,
            message=b"line %d" % number,
            process="web" if number % 2 else "worker",
            release=f"v{number // 10}",
            stream=number % 5 == 0,
            pod=f"demo-web-1-{number % 4}",
            container=f"c{number % 2}",
        )
        for number in range(20)
    ]
    pipeline.append(rows[:10])
    pipeline.commit(evict=True)
    pipeline.append(rows[10:])
    pipeline.append([make.row(app="odd", order_ns=BASE, message=b'\xff"\x00\n,\r=x')])
    pipeline.head.resume(1, 0, {"n1": BASE + 7})
    async with serve(pipeline) as served:
        yield served


def numbers(lines: Any) -> Any:
    return [line["offset"] for line in lines]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", list(range(20))),
        ("limit=3", [0, 1, 2]),
        ("limit=3&order=desc", [19, 18, 17]),
        ("order=asc&limit=1", [0]),
        (f"since={BASE + 17 * 10**9}", [17, 18, 19]),
        (f"until={BASE + 2 * 10**9}", [0, 1]),
        ("since=2026-11-24T00:00:18Z", [18, 19]),
        ("since=2026-11-24T00:00:17.000000001Z", [18, 19]),
        ("since=2026-11-24T01:00:18%2B01:00", [18, 19]),
        ("since=2026-11-24T01:00:18+01:00", [18, 19]),
        ("until=2026-11-24t00:00:01z", [0]),
        ("since=1s", []),
        ("process=web&limit=2", [1, 3]),
        ("process=web&process=worker&limit=2", [0, 1]),
        ("release=v1&limit=2", [10, 11]),
        ("pod=demo-web-1-3", [3, 7, 11, 15, 19]),
        ("container=c1&limit=2", [1, 3]),
        ("stream=stderr", [0, 5, 10, 15]),
        ("stream=stderr&process=web", [5, 15]),
        ("text=line+1&limit=3", [1, 10, 11]),
        ("regex=line+1.$&limit=2", [10, 11]),
        ("regex=(?i)LINE+19", [19]),
        ("text=line+1&regex=9", [19]),
        ("text=line+7&before=1", [5, 7]),
        ("text=line+7&after=2", [7, 9, 11]),
        ("regex=line+7&after=1&before=1&order=desc", [9, 7, 5]),
        ("text=nowhere", []),
    ],
)
async def test_parameters(served: Any, query: str, expected: Any) -> None:
    """Context is of the same container: pod and container agree."""
    if "before" in query or "after" in query:  # every second line is of another container, every fourth of this pod
        query, expected = query.replace("line+7", "line+7"), [7 + (n - 7) * 2 for n in expected]
    assert numbers(await served.lines(f"{LOGS}?{query}")) == expected


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("limit=0", "limit"),
        ("limit=10001", "limit"),
        ("limit=x", "limit"),
        ("limit=1&limit=2", "limit"),
        ("order=up", "order"),
        ("format=xml", "format"),
        ("since=yesterday", "since"),
        ("since=2026-11-24", "since"),
        ("since=2026-13-24T00:00:00Z", "since"),
        ("since=99999999999999999999", "since"),
        ("until=5x", "until"),
        ("stream=both", "stream"),
        ("process=" + "x" * 254, "process"),
        ("&".join(["pod=x"] * 101), "pod"),
        ("text=" + "x" * 1001, "text"),
        ("regex=(", "regex"),
        ("regex=" + "x" * 1001, "regex"),
        ("regex=(?=x)", "regex"),
        ("regex=(a{1000}){1000}", "regex"),
        ("before=1", "before"),
        ("after=1", "after"),
        ("text=x&before=1001", "before"),
        ("text=x&after=-1", "after"),
        ("cursor=nonsense", "cursor"),
        ("cursor=" + "A" * 5000, "cursor"),
        ("cursor=%C3%A9", "cursor"),
        ("lines=5", "lines"),
        ("sinse=5m", "sinse"),
    ],
)
async def test_a_parameter_that_is_wrong_is_named(served: Any, query: str, name: str) -> None:
    """400, as JSON."""
    status, error = await served.error(f"{LOGS}?{query}")
    assert status == 400
    assert error.startswith(f"{name}: ")


@pytest.mark.parametrize("query", ["format=text", "limit=5", "until=5m", "order=asc", "lines=10001", "cursor=x", "x=1"])
async def test_a_follow_refuses_what_it_does_not_know(served: Any, query: str) -> None:
    """Before the stream begins."""
    status, error = await served.error(f"{LOGS}/follow?{query}")
    assert status == 400
    assert error.startswith(query.partition("=")[0])


@pytest.mark.parametrize("app", ["a%2Fb", "a%00b", "x" * 254, "a%0Ab"])
async def test_a_name_that_no_app_can_have_is_refused(served: Any, app: str) -> None:
    """Whatever the route."""
    for path in (f"/v1/apps/{app}/logs", f"/v1/apps/{app}/logs/follow"):
        status, error = await served.error(path)
        assert (status, error[:4]) == (400, "app:")


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/apps/demo", "/v1/apps/demo/logs/", "/v1/nope"])
async def test_an_unknown_route_is_404_as_json(served: Any, path: str) -> None:
    """`/v1/apps/demo` is there for DELETE only."""
    status, error = await served.error(path)
    assert status == (405 if path == "/v1/apps/demo" else 404)
    assert error


async def test_an_app_without_lines_is_empty_and_no_error(served: Any) -> None:
    """Since it may have some in a moment."""
    for form in params.PAGE_FORMATS:
        status, headers, body = await served.get(f"/v1/apps/nobody/logs?format={form}")
        assert status == 200
        assert "Next-Cursor" not in headers
        if form in ("text", "ndjson"):
            assert body == b""


async def test_pages_follow_each_other(served: Any) -> None:
    """Both ways, until there is no cursor."""
    for order, expected in (("asc", list(range(20))), ("desc", list(range(19, -1, -1)))):
        found, cursor, pages = [], "", 0
        while True:
            path = f"{LOGS}?limit=7&order={order}" + (f"&cursor={cursor}" if cursor else "")
            _, headers, body = await served.get(path)
            found += [json.loads(line)["offset"] for line in body.splitlines()]
            pages += 1
            cursor = headers.get("Next-Cursor")
            if cursor is None:
                break
        assert (found, pages) == (expected, 3)


async def test_complete_up_to_is_the_watermark(served: Any, pipeline: Any) -> None:
    """Absent while a shard is unknown."""
    _, headers, _ = await served.get(LOGS)
    assert "Complete-Up-To" not in headers
    pipeline.head._shards[0].heartbeats["n1"] = BASE + 3
    _, headers, _ = await served.get(LOGS)
    assert headers["Complete-Up-To"] == "2026-11-24T00:00:00.000000003Z"
    assert "Complete-Without" not in headers


async def test_nodes_that_are_declared_gone_are_named_beside_the_watermark(
    served: Any, serve: Any, pipeline: Any
) -> None:
    async with serve(pipeline, gone_nodes="n9, n2") as other:
        _, headers, _ = await other.get(LOGS)
        assert "Complete-Without" not in headers
        pipeline.head._shards[0].heartbeats["n1"] = BASE + 3
        _, headers, _ = await other.get(LOGS)
        assert headers["Complete-Without"] == "n2, n9"


async def test_ndjson_is_as_documented(served: Any) -> None:
    """`raw` only where the line is not UTF-8, `context` only where it is context."""
    (odd,) = await served.lines("/v1/apps/odd/logs")
    assert odd == {
        "app": "odd",
        "time": "2026-11-24T00:00:00.000000000Z",
        "process": "web",
        "release": "v3",
        "pod": "demo-web-5c8f-x7k2p",
        "container": "demo-web",
        "node": "n1",
        "stream": "stdout",
        "message": '\ufffd"\x00\n,\r=x',
        "source": (b"s" * 16).hex(),
        "ordinal": 0,
        "offset": 0,
        "continuation": 0,
        "raw": base64.b64encode(b'\xff"\x00\n,\r=x').decode(),
    }
    with_context = await served.lines(f"{LOGS}?text=line+7&before=1")
    assert [line.get("context") for line in with_context] == [True, None]


async def test_text_gives_bytes_as_they_were(served: Any) -> None:
    """With the nanoseconds, and what is in brackets as the contract has it."""
    status, headers, body = await served.get("/v1/apps/odd/logs?format=text")
    assert (status, headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
    assert body == b'2026-11-24T00:00:00.000000000Z odd[web.v3.x7k2p]: \xff"\x00\n,\r=x\n'


async def test_csv_has_the_fields_of_ndjson(served: Any) -> None:
    """Quoted as RFC 4180 says."""
    status, headers, body = await served.get("/v1/apps/odd/logs?format=csv")
    assert (status, headers["Content-Type"]) == (200, "text/csv; charset=utf-8")
    (record,) = csv.DictReader(io.StringIO(body.decode().replace("\x00", "NUL"), newline=""))
    (odd,) = await served.lines("/v1/apps/odd/logs")
    assert record["message"] == odd["message"].replace("\x00", "NUL")
    assert record == {name: str(odd.get(name, "false")).replace("\x00", "NUL") for name in record}


async def test_arrow_has_the_columns_of_the_table(served: Any) -> None:
    """As an IPC stream, in the order asked for."""
    status, headers, body = await served.get(f"{LOGS}?format=arrow&order=desc&limit=12")
    assert (status, headers["Content-Type"]) == (200, "application/vnd.apache.arrow.stream")
    table = pa.ipc.open_stream(body).read_all()
    assert table.schema.names == SCHEMA.names
    assert table["offset"].to_pylist() == list(range(19, 7, -1))
    table = pa.ipc.open_stream((await served.get(f"{LOGS}?format=arrow&text=line+7&before=1"))[2]).read_all()
    assert table["context"].to_pylist() == [True, False]


async def test_a_long_line_cut_by_a_page_is_whole_when_pages_are_put_together(
    pipeline: Any, make: Any, serve: Any
) -> None:
    """In text, as bytes."""
    rows = [
        make.row(order_ns=BASE + line, offset=line, continuation=piece, message=b"<%d.%d>" % (line, piece))
        for line in range(3)
        for piece in range(5)
    ]
    pipeline.append(rows)
    async with serve(pipeline) as served:
        whole, cursor = b"", ""
        while cursor is not None:
            path = f"{LOGS}?format=text&limit=2" + (f"&cursor={cursor}" if cursor else "")
            _, headers, body = await served.get(path)
            whole += body
            cursor = headers.get("Next-Cursor")
        _, _, desc = await served.get(f"{LOGS}?format=text&limit=15&order=desc")
    expected = ["".join(f"<{line}.{piece}>" for piece in range(5)) for line in range(3)]
    assert [line.split("]: ")[1] for line in whole.decode().splitlines()] == expected
    assert [line.split("]: ")[1] for line in desc.decode().splitlines()] == expected[::-1]


async def test_apps_and_deletion(served: Any) -> None:
    """What there is of each, and 204 for what is gone."""
    _, _, body = await served.get("/v1/apps")
    assert json.loads(body)["apps"][0] == {
        "app": "demo",
        "first_time": "2026-11-24T00:00:00.000000000Z",
        "last_time": "2026-11-24T00:00:19.000000000Z",
        "lines": 20,
    }
    async with served.client.delete("/v1/apps/demo") as answer:
        assert (answer.status, await answer.read()) == (204, b"")
    assert await served.lines(LOGS) == []
    _, _, body = await served.get("/v1/apps")
    assert [app["app"] for app in json.loads(body)["apps"]] == ["odd"]


@pytest.mark.parametrize(
    ("time_ns", "text"),
    [
        (0, "1970-01-01T00:00:00.000000000Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
        (2**63 - 1, "2262-04-11T23:47:16.854775807Z"),
        (-(2**63), "1677-09-21T00:12:43.145224193Z"),
    ],
)
def test_times_have_nine_decimals_always(time_ns: int, text: str) -> None:
    """Also at the ends of what 64 bits can hold, but for the very last nanosecond."""
    import numpy as np  # noqa: PLC0415

    assert format_times(np.array([time_ns], np.int64)) == [text]
