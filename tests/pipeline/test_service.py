"""What every service is made of: health, its routes, the listener, and how it ends."""

import asyncio
import json
import logging
import os
import signal
from collections.abc import AsyncIterator

import aiohttp
import pytest
import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from pipeline.errors import FatalError, QueueUnavailableError
from pipeline.service import Health, health_routes, listening, run_alone, run_service, set_up_log
from pipeline.settings import CommonSettings


@pytest.fixture(autouse=True)
def structlog_as_it_was() -> AsyncIterator[None]:
    """Take back what a test does to the process's log."""
    handlers = list(logging.getLogger().handlers)
    yield
    structlog.reset_defaults()
    logging.getLogger().handlers[:] = handlers


def test_a_service_is_ready_when_all_its_parts_are() -> None:
    health = Health()
    health.broken("queue", "not opened yet")
    health.broken("table", "disk full")
    health.ready("queue")
    assert health.problems() == {"table": "disk full"}
    health.ready("table")
    assert health.problems() == {}


async def test_the_routes_tell_life_readiness_and_metrics() -> None:
    health, registry = Health(), CollectorRegistry()
    Counter("seen", "Things seen.", registry=registry).inc(3)
    app = web.Application()
    app.add_routes(health_routes(health, registry))
    async with listening(app, "127.0.0.1:0") as port, aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        health.broken("queue", "gone")
        async with session.get("/healthz") as response:
            assert response.status == 200
        async with session.get("/readyz") as response:
            assert (response.status, await response.json()) == (503, {"ready": False, "problems": {"queue": "gone"}})
        health.ready("queue")
        async with session.get("/readyz") as response:
            assert (response.status, await response.json()) == (200, {"ready": True, "problems": {}})
        async with session.get("/metrics") as response:
            families = {family.name: family for family in text_string_to_metric_families(await response.text())}
            assert response.headers["Content-Type"].startswith("application/openmetrics-text")
        assert families["seen"].samples[0].value == 3


async def test_an_address_in_use_is_named_and_nothing_is_left_open() -> None:
    async with listening(web.Application(), "127.0.0.1:0") as port:
        with pytest.raises(FatalError, match=rf"cannot listen on 127\.0\.0\.1:{port}: .*address already in use"):
            async with listening(web.Application(), f"127.0.0.1:{port}"):
                pass


def test_a_command_line_is_refused_since_all_settings_are_variables(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def run(_: CommonSettings, __: asyncio.Event) -> None:
        raise AssertionError("it must not run")

    monkeypatch.setattr("sys.argv", ["monitor", "--help"])
    assert run_alone("monitor", CommonSettings, run) == 2
    assert capsys.readouterr().err.startswith("usage: python -m monitor ")


async def test_a_malformed_request_is_refused_and_its_words_are_not_logged(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up_log(CommonSettings(log_format="json"))
    async with listening(web.Application(), "127.0.0.1:0") as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret" + b"-" * 9000 + b"\r\n\r\n")
        assert b" 400 " in await reader.readline()
        writer.close()
        await writer.wait_closed()
    assert "secret" in caplog.text, "the library does log it"
    assert capsys.readouterr().out == ""


def test_what_a_library_logs_is_a_line_of_the_services_own_log(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_log(CommonSettings(log_format="json"))
    set_up_log(CommonSettings(log_format="json"))
    logging.getLogger("some.library").warning("broker %d is away", 3)
    logging.getLogger("some.library").info("not worth a line")
    (line,) = capsys.readouterr().out.splitlines()
    assert {"event": "broker 3 is away", "library": "some.library", "level": "warning"}.items() <= json.loads(
        line
    ).items()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_a_service_in_order(number: signal.Signals) -> None:
    steps: list[str] = []

    async def main(stopping: asyncio.Event) -> None:
        os.kill(os.getpid(), number)
        await stopping.wait()
        steps.append("drained")

    assert run_service(main) == 0
    assert steps == ["drained"]


@pytest.mark.parametrize(
    "error",
    [
        FatalError("broken"),
        ExceptionGroup("", [FatalError("broken"), ExceptionGroup("", [QueueUnavailableError("gone")])]),
    ],
    ids=["alone", "in groups"],
)
def test_a_service_that_fails_says_why_and_ends_with_1(error: Exception) -> None:
    async def main(_: asyncio.Event) -> None:
        raise error

    with structlog.testing.capture_logs() as logs:
        assert run_service(main) == 1
    assert logs[0] == {"event": "service failed", "error": "broken", "kind": "FatalError", "log_level": "error"}


def test_a_mistake_in_the_program_is_not_hidden() -> None:
    async def main(_: asyncio.Event) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_service(main)


def test_the_log_is_json_below_no_terminal_and_keeps_its_level(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_log(CommonSettings(log_level="warning", log_format="auto"))
    log = structlog.get_logger()
    log.info("not shown")
    log.warning("shown", bytes=3)
    [line] = capsys.readouterr().out.splitlines()
    entry = json.loads(line)
    assert (entry["event"], entry["bytes"], entry["level"]) == ("shown", 3, "warning")
    assert entry["timestamp"].endswith("Z")


def test_the_log_is_readable_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_log(CommonSettings(log_format="console"))
    structlog.get_logger().info("hello", app="demo")
    assert "hello" in capsys.readouterr().out
