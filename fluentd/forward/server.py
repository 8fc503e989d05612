"""Listens for Forward clients: TCP or TLS, and the UDP heartbeat beside it."""

import asyncio
import ssl
from typing import Final, cast

import structlog
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from fluentd.forward.access import read_access
from fluentd.forward.connection import NAME, Connection, Parts
from fluentd.forward.doubles import Doubles
from fluentd.forward.framing import READ_BYTES
from fluentd.forward.metrics import ForwardMetrics
from fluentd.forward.naming import Naming
from fluentd.forward.settings import ForwardSettings
from fluentd.inputs.intake import Intake
from fluentd.inputs.listening import listen_tcp, listen_udp
from fluentd.inputs.metrics import InputMetrics
from pipeline.errors import SettingsError
from pipeline.settings import split_listen

log = structlog.get_logger()

LARGE_FRAMES: Final = 2
"""So many frames over 64 KiB are in memory at once, and so many that were decompressed."""

_HEARTBEAT: Final = b"\0"
_HEARTBEAT_BYTES: Final = 16
"""A longer datagram is no heartbeat, and gets no answer: nobody is to be flooded by way of this port."""

_SETTING: Final = "AGENT_FORWARD_LISTEN"


def open_forward(
    settings: ForwardSettings, *, node: str, intake: Intake, counts: InputMetrics, registry: CollectorRegistry
) -> "ForwardServer":
    """Make the input that the settings describe.

    Args:
        settings: With `forward_listen`.
        node: Name of this node, told to clients that must know a key.
        intake: Takes the lines.
        counts: Of all inputs.
        registry: For the metrics of this one.

    Raises:
        SettingsError: The files of keys, users or certificates are of no use.
    """
    counts.expect(NAME, reasons=("app",))
    server = ForwardServer(settings.forward_listen or ":0", tls=_tls(settings), limit=settings.forward_connections)
    server.parts = Parts(
        intake=intake,
        counts=counts,
        metrics=ForwardMetrics(registry, connections=lambda: server.connections),
        access=read_access(settings.forward_access, shared_key=_secret(settings.forward_shared_key)),
        hostname=node,
        naming=Naming.of(
            app_field=settings.forward_app_field, process_field=settings.forward_process_field, tag=settings.forward_tag
        ),
        doubles=Doubles(seconds=settings.forward_doubles_seconds),
        large=asyncio.Semaphore(LARGE_FRAMES),
        inflating=asyncio.Semaphore(LARGE_FRAMES),
        frame_bytes=settings.forward_frame_bytes,
        idle_seconds=settings.forward_idle_seconds,
        frame_seconds=settings.forward_frame_seconds,
    )
    return server


def _secret(value: SecretStr | None) -> str:
    return "" if value is None else value.get_secret_value()


def _tls(settings: ForwardSettings) -> ssl.SSLContext | None:
    if settings.forward_cert is None and settings.forward_key is None:
        return None
    if settings.forward_cert is None or settings.forward_key is None:
        raise SettingsError("AGENT_FORWARD_CERT and AGENT_FORWARD_KEY go together")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.forward_cert, settings.forward_key)
    except OSError as error:  # also what `ssl` finds wrong in them
        raise SettingsError(f"AGENT_FORWARD_CERT={settings.forward_cert}: {error}") from error
    return context


class ForwardServer:
    """An input; see `fluentd.inputs.group.Input`.

    Args:
        listen: Host and port.
        tls: Certificate and key; `None` for plain TCP.
        limit: Most clients at once.

    Attributes:
        parts: What clients share; set before `run`.
        port: Where it listens, once it does.
        connections: How many clients there are.
    """

    parts: Parts

    def __init__(self, listen: str, *, tls: ssl.SSLContext | None, limit: int) -> None:
        self._listen, self._tls, self._limit = listen, tls, limit
        self._clients: set[Connection] = set()
        self._stopping = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None
        self.port = 0

    @property
    def connections(self) -> int:
        """How many clients there are."""
        return len(self._clients)

    async def run(self) -> None:
        """See `Input`."""
        async with asyncio.TaskGroup() as self._group:
            server, self.port = await listen_tcp(
                self._connected, self._listen, setting=_SETTING, tls=self._tls, read_bytes=READ_BYTES
            )
            answers = _HeartbeatAnswers(self.parts.metrics)
            host, _ = split_listen(self._listen)
            heartbeats, _ = await listen_udp(answers, (host, self.port), setting=_SETTING)
            log.info("forward input listens", port=self.port, tls=self._tls is not None, keys=self.parts.access.asks)
            try:
                await self._stopping.wait()
            finally:
                server.close()
                heartbeats.close()

    async def stop(self) -> None:
        """See `Input`."""
        self._stopping.set()
        clients = list(self._clients)
        for client in clients:
            client.stop()
        for client in clients:
            await client.read.wait()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._group is None or self._stopping.is_set() or len(self._clients) >= self._limit:
            self.parts.metrics.closed("connections")
            writer.transport.abort()
            return
        client = Connection(reader, writer, self.parts)
        self._clients.add(client)
        self._group.create_task(self._serve(client), name="forward client")

    async def _serve(self, client: Connection) -> None:
        try:
            await client.run()
        except Exception as error:  # the edge of one client: the others go on
            self.parts.metrics.closed("failed")
            log.exception("a forward client could not be served", error=str(error))
        finally:
            self._clients.discard(client)


class _HeartbeatAnswers(asyncio.DatagramProtocol):
    """A Fluentd asks by UDP whether this side is alive."""

    def __init__(self, metrics: ForwardMetrics) -> None:
        self._metrics = metrics
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.DatagramProtocol`."""
        self._transport = cast("asyncio.DatagramTransport", transport)  # uvloop's is one in all but its class

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """See `asyncio.DatagramProtocol`."""
        if self._transport is not None and len(data) <= _HEARTBEAT_BYTES:
            self._transport.sendto(_HEARTBEAT, addr)
            self._metrics.heartbeats.inc()
