"""The syslog input with real clients: sockets, Python's SysLogHandler, TLS; bounded, nothing lost without a count."""

import asyncio
import contextlib
import logging
import logging.handlers
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from fluentd.inputs.metrics import InputMetrics
from fluentd.syslog.server import open_syslog
from fluentd.syslog.settings import SyslogSettings
from pipeline.errors import FatalError, SettingsError


async def _send(port: int, data: bytes, **options: Any) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port, **options)
    writer.write(data)
    await writer.drain()
    writer.close()
    await writer.wait_closed()


async def test_both_formats_and_both_framings_arrive_over_tcp(listen: Any, wait_until: Any) -> None:
    """As lines that the host's own log would show; errors on stderr; what is no message is kept and marked."""
    counted = b'<11>1 - h app 7 ID [a x="1"] counted\nin two lines'
    async with listen() as here:
        await _send(here.server.port, b"<30>1 - h kubelet 5 - - newline\n%d %s" % (len(counted), counted) + b"odd\n\n")
        await wait_until(lambda: len(here.lines()) == 4)
        assert here.lines() == [
            ("node.syslog", "kubelet", "stdout F h kubelet[5]: newline"),
            ("node.syslog", "app", 'stderr F h app[7]: ID [a x="1"] counted'),
            ("node.syslog", "app", "stderr F in two lines"),
            ("node.syslog", "@malformed", "stdout F odd"),
        ]
        assert here.value("fluentd_input_messages_total", input="syslog") == 3
        assert here.value("fluentd_syslog_odd_messages_total", reason="format") == 1
        assert here.value("fluentd_syslog_odd_messages_total", reason="empty") == 1


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
async def test_pythons_own_handler_is_a_client(listen: Any, wait_until: Any, kind: socket.SocketKind) -> None:
    async with listen() as here:
        port = here.server.port if kind is socket.SOCK_STREAM else here.server.udp_port

        def log() -> None:
            handler = logging.handlers.SysLogHandler(("127.0.0.1", port), socktype=kind)
            handler.ident = "app[1]: "
            for number in range(3):
                handler.handle(logging.LogRecord("x", logging.ERROR, "x.py", 1, "line %d", (number,), None))
            handler.close()

        await asyncio.to_thread(log)
        await wait_until(lambda: len(here.lines()) == 3)
        assert here.lines() == [("node.syslog", "app", f"stderr F app[1]: line {number}") for number in range(3)]


async def test_a_client_that_is_gone_in_the_middle_of_a_message_leaves_what_it_sent(
    listen: Any, wait_until: Any
) -> None:
    async with listen() as here:
        await _send(here.server.port, b"<13>1 - h a - - - whole\n<13>1 - h a - - - torn")
        await wait_until(lambda: len(here.lines()) == 2)
        assert here.texts() == ["h a: whole", "h a: torn"]
        assert here.value("fluentd_syslog_odd_messages_total", reason="torn") == 1


async def test_a_full_buffer_stops_reading_and_nothing_is_lost(listen: Any, wait_until: Any) -> None:
    """The client is made to wait, and this side holds no more than it said."""
    message = b"<13>1 - h a - - - " + b"x" * 1000 + b"\n"
    async with listen(held=True, limit_bytes=2**20) as here:
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(_send(here.server.port, message * 20_000))
            await wait_until(lambda: not here.intake.has_room())
            assert here.intake.used_bytes <= 2**20 + 2**18
            assert not sending.done()
            assert here.intake.complete_ns < 2**62  # what waits holds completeness back
            here.lanes.release()
        await wait_until(lambda: len(here.lines()) == 20_000)


async def test_datagrams_that_find_no_room_or_are_too_many_are_counted(listen: Any, wait_until: Any) -> None:
    async with listen(held=True, limit_bytes=2**18, syslog_udp_per_second=50) as here:
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.connect(("127.0.0.1", here.server.udp_port))
        for _ in range(200):
            client.send(b"<13>1 - h a - - - x")
            await asyncio.sleep(0)
        client.close()

        def came() -> float:
            dropped = [
                here.value("fluentd_input_dropped_messages_total", input="syslog-udp", reason=reason)
                for reason in ("room", "rate")
            ]
            return sum(dropped) + here.value("fluentd_input_messages_total", input="syslog-udp")

        await wait_until(lambda: came() == 200)
        assert here.value("fluentd_input_dropped_messages_total", input="syslog-udp", reason="rate") > 0
        assert here.value("fluentd_input_messages_total", input="syslog-udp") >= 50


async def test_datagrams_find_no_room_in_a_full_buffer(listen: Any, wait_until: Any) -> None:
    async with listen(held=True, limit_bytes=2**19) as here:
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.connect(("127.0.0.1", here.server.udp_port))
        for _ in range(100):
            client.send(b"<13>1 - h a - - - " + b"x" * 10_000)
            await asyncio.sleep(0.001)
        client.close()
        dropped = {"input": "syslog-udp", "reason": "room"}
        await wait_until(lambda: here.value("fluentd_input_dropped_messages_total", **dropped) > 0)


async def test_a_message_over_the_limit_is_cut_and_what_is_lost_is_counted(listen: Any, wait_until: Any) -> None:
    async with listen(syslog_message_bytes=1024) as here:
        await _send(here.server.port, b"<13>1 - h a - - - " + b"x" * 5000 + b"\n<13>1 - h a - - - next\n")
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.sendto(b"<13>1 - h a - - - " + b"y" * 5000, ("127.0.0.1", here.server.udp_port))
        client.close()
        await wait_until(lambda: len(here.lines()) == 3)
        assert sorted(map(len, here.texts())) == [9, 1011, 1011]
        assert here.value("fluentd_syslog_cut_messages_total") == 2
        assert here.value("fluentd_syslog_cut_bytes_total") == 2 * (5018 - 1024)


async def test_clients_beyond_the_limit_are_turned_away(listen: Any, wait_until: Any) -> None:
    async with listen(syslog_connections=1) as here:
        _, first = await asyncio.open_connection("127.0.0.1", here.server.port)
        await wait_until(lambda: here.value("fluentd_syslog_connections") == 1)
        reader, second = await asyncio.open_connection("127.0.0.1", here.server.port)
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        assert here.value("fluentd_syslog_closed_total", reason="connections") == 1
        first.write(b"<13>1 - h a - - - x\n")
        await wait_until(lambda: here.texts() == ["h a: x"])
        first.close()
        second.close()


async def test_a_client_that_says_nothing_is_closed(listen: Any, wait_until: Any) -> None:
    async with listen(syslog_idle_seconds=0.3) as here:
        reader, writer = await asyncio.open_connection("127.0.0.1", here.server.port)
        async with asyncio.timeout(30):
            assert await reader.read() == b""
        assert here.value("fluentd_syslog_closed_total", reason="idle") == 1
        writer.close()


async def test_a_stop_takes_what_is_on_its_way(listen: Any, wait_until: Any) -> None:
    async with listen() as here:
        _, writer = await asyncio.open_connection("127.0.0.1", here.server.port)
        writer.write(b"<13>1 - h a - - - first\n")
        await wait_until(lambda: len(here.lines()) == 1)
        writer.write(b"<13>1 - h a - - - last\n")
        await writer.drain()
    assert here.texts() == ["h a: first", "h a: last"]
    writer.close()


async def test_tls_clients_are_served_and_others_get_nothing_in(
    listen: Any, wait_until: Any, certificate: tuple[Path, Path], trusting: ssl.SSLContext
) -> None:
    cert, key = certificate
    async with listen(syslog_cert=cert, syslog_key=key) as here:
        await _send(here.server.port, b"<13>1 - h a - - - secret\n", ssl=trusting, server_hostname="localhost")
        await wait_until(lambda: here.texts() == ["h a: secret"])
        await _send(here.server.port, b"<13>1 - h a - - - plain\n")
        await _send(here.server.port, b"<13>1 - h a - - - more\n", ssl=trusting, server_hostname="localhost")
        await wait_until(lambda: len(here.lines()) == 2)
        assert here.texts() == ["h a: secret", "h a: more"]


async def test_a_client_without_a_certificate_is_refused_where_one_is_asked_for(
    listen: Any, wait_until: Any, certificate: tuple[Path, Path], trusting: ssl.SSLContext
) -> None:
    cert, key = certificate
    async with listen(syslog_cert=cert, syslog_key=key, syslog_client_ca=cert) as here:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", here.server.port, ssl=trusting, server_hostname="localhost"
        )
        writer.write(b"<13>1 - h a - - - nobody\n")
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            assert await reader.read() == b""
        writer.transport.abort()
        trusting.load_cert_chain(cert, key)
        await _send(here.server.port, b"<13>1 - h a - - - known\n", ssl=trusting, server_hostname="localhost")
        await wait_until(lambda: here.texts() == ["h a: known"])


@pytest.mark.parametrize("missing", ["syslog_cert", "syslog_key"])
async def test_half_of_a_certificate_is_a_clear_error(certificate: tuple[Path, Path], missing: str) -> None:
    registry = CollectorRegistry()
    counts = InputMetrics(registry)
    files = {"syslog_cert": certificate[0], "syslog_key": certificate[1], missing: None}
    with pytest.raises(SettingsError, match="AGENT_SYSLOG_KEY"):
        open_syslog(SyslogSettings(**files), intake=None, counts=counts, registry=registry)  # type: ignore[arg-type]


async def test_an_address_in_use_names_the_setting(listen: Any) -> None:
    async with listen() as here:
        with pytest.raises(ExceptionGroup) as raised:
            async with listen(syslog_listen=f"127.0.0.1:{here.server.port}"):
                pass
        assert raised.group_contains(FatalError, match="AGENT_SYSLOG_LISTEN")
