"""The sink of the comparison counts what it takes: a measurement ends when all lines are there, and not before."""

import http.client
from contextlib import closing
from http import HTTPStatus
from urllib.parse import urlsplit

import zstandard

from bench.sink import Taken, json_sink


def post(connection: http.client.HTTPConnection, body: bytes) -> int:
    connection.request("POST", "/", zstandard.compress(body), {"Content-Encoding": "zstd"})
    with connection.getresponse() as answer:
        return answer.status


def test_lines_of_all_requests_of_a_connection_are_counted() -> None:
    taken = Taken()
    with json_sink(taken) as url, closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)) as connection:
        statuses = [post(connection, b'{"_msg":"a"}\n{"_msg":"b"}\n'), post(connection, b'{"_msg":"c"}\n')]
    assert statuses == [HTTPStatus.OK] * 2
    assert (taken.lines, taken.size) == (3, 39)


def test_a_body_that_is_not_whole_is_refused_and_not_counted() -> None:
    taken = Taken()
    with json_sink(taken) as url, closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)) as connection:
        connection.request("POST", "/", zstandard.compress(b'{"_msg":"a"}\n' * 9)[:-3])
        status = connection.getresponse().status
    assert status == HTTPStatus.BAD_REQUEST
    assert taken.lines == 0
