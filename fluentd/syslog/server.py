"""Listens for syslog: TCP or TLS, where a full buffer stops reading and so makes clients wait, and UDP."""

import asyncio
import ssl
from dataclasses import dataclass
from typing import Final

import structlog
from prometheus_client import CollectorRegistry

from fluentd.inputs.delivery import Delivery
from fluentd.inputs.intake import Intake
from fluentd.inputs.listening import listen_tcp, listen_udp
from fluentd.inputs.metrics import InputMetrics
from fluentd.syslog.batch import Batcher
from fluentd.syslog.datagrams import NAME as UDP_NAME
from fluentd.syslog.datagrams import Datagrams
from fluentd.syslog.framing import Framer
from fluentd.syslog.metrics import DROPPED, SyslogMetrics
from fluentd.syslog.naming import Naming, parse_rules
from fluentd.syslog.settings import SyslogSettings
from fluentd.syslog.times import zone_of
from pipeline.errors import SettingsError
from pipeline.limits import KIB
from pipeline.settings import split_listen

log = structlog.get_logger()

NAME: Final = "syslog"
"""Of this input."""

READ_BYTES: Final = 64 * KIB
"""Most bytes of one read."""

LAST_SECONDS: Final = 0.2
"""At a stop, a client that sends nothing for so long has no more on its way."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What all clients share.

    Attributes:
        batcher: Makes lines.
        intake: Takes them.
        metrics: Of syslog.
        message_bytes: Most bytes of one message.
        idle_seconds: How long a client may send nothing.
    """

    batcher: Batcher
    intake: Intake
    metrics: SyslogMetrics
    message_bytes: int
    idle_seconds: float


def open_syslog(
    settings: SyslogSettings, *, intake: Intake, counts: InputMetrics, registry: CollectorRegistry
) -> "SyslogServer":
    """Make the input that the settings describe.

    Args:
        settings: With `syslog_listen`, `syslog_udp_listen`, or both.
        intake: Takes the lines.
        counts: Of all inputs.
        registry: For the metrics of this one.

    Raises:
        SettingsError: The files of certificates are of no use.
    """
    counts.expect(NAME)
    counts.expect(UDP_NAME, reasons=DROPPED)
    clients: set[_Client] = set()
    metrics = SyslogMetrics(registry, connections=lambda: len(clients))
    naming = Naming(parse_rules(settings.syslog_apps), app=settings.syslog_app)
    batcher = Batcher(naming=naming, zone=zone_of(settings.syslog_zone), metrics=metrics)
    return SyslogServer(
        listen=settings.syslog_listen,
        udp_listen=settings.syslog_udp_listen,
        tls=_tls(settings),
        limit=settings.syslog_connections,
        parts=Parts(batcher, intake, metrics, settings.syslog_message_bytes, settings.syslog_idle_seconds),
        datagrams=Datagrams(
            batcher=batcher,
            intake=intake,
            counts=counts,
            metrics=metrics,
            limit_bytes=settings.syslog_message_bytes,
            per_second=settings.syslog_udp_per_second,
        ),
        clients=clients,
    )


def _tls(settings: SyslogSettings) -> ssl.SSLContext | None:
    if settings.syslog_cert is None or settings.syslog_key is None:
        if settings.syslog_cert or settings.syslog_key or settings.syslog_client_ca:
            raise SettingsError(
                "AGENT_SYSLOG_CERT and AGENT_SYSLOG_KEY go together, and AGENT_SYSLOG_CLIENT_CA with both"
            )
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.syslog_cert, settings.syslog_key)
        if settings.syslog_client_ca is not None:
            context.load_verify_locations(settings.syslog_client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except OSError as error:  # also what `ssl` finds wrong in them
        raise SettingsError(f"AGENT_SYSLOG_CERT={settings.syslog_cert}: {error}") from error
    return context


class SyslogServer:
    """An input; see `fluentd.inputs.group.Input`.

    Args:
        listen: Host and port of TCP, if any.
        udp_listen: Of UDP, if any.
        tls: Certificate and key; `None` for plain TCP.
        limit: Most TCP clients at once.
        parts: What they share.
        datagrams: Takes what comes by UDP.
        clients: Where clients are kept while they are there.

    Attributes:
        port: Where TCP listens, once it does.
        udp_port: Where UDP does.
    """

    def __init__(
        self,
        *,
        listen: str | None,
        udp_listen: str | None,
        tls: ssl.SSLContext | None,
        limit: int,
        parts: Parts,
        datagrams: Datagrams,
        clients: "set[_Client]",
    ) -> None:
        self._listen, self._udp_listen, self._tls, self._limit = listen, udp_listen, tls, limit
        self._parts, self._datagrams, self._clients = parts, datagrams, clients
        self._stopping = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None
        self.port = self.udp_port = 0

    async def run(self) -> None:
        """See `Input`."""
        async with asyncio.TaskGroup() as self._group:
            server = udp = None
            if self._listen is not None:
                server, self.port = await listen_tcp(
                    self._connected, self._listen, setting="AGENT_SYSLOG_LISTEN", tls=self._tls, read_bytes=READ_BYTES
                )
            if self._udp_listen is not None:
                address = split_listen(self._udp_listen)
                udp, self.udp_port = await listen_udp(self._datagrams, address, setting="AGENT_SYSLOG_UDP_LISTEN")
            log.info("syslog input listens", port=self.port, udp_port=self.udp_port, tls=self._tls is not None)
            try:
                await self._stopping.wait()
            finally:
                if server is not None:
                    server.close()
                if udp is not None:
                    udp.close()

    async def stop(self) -> None:
        """See `Input`."""
        self._stopping.set()
        clients = list(self._clients)
        for client in clients:
            client.stop()
        for client in clients:
            await client.ended.wait()
        self._datagrams.flush()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._group is None or self._stopping.is_set() or len(self._clients) >= self._limit:
            self._parts.metrics.closed("connections")
            writer.transport.abort()
            return
        client = _Client(reader, writer, self._parts)
        self._clients.add(client)
        self._group.create_task(self._serve(client), name="syslog client")

    async def _serve(self, client: "_Client") -> None:
        try:
            await client.run()
        except Exception as error:  # the edge of one client: the others go on
            self._parts.metrics.closed("failed")
            log.exception("a syslog client could not be served", error=str(error))
        finally:
            self._clients.discard(client)


class _Client:
    """One connection: its messages in, in order.

    Args:
        reader: Of the connection.
        writer: Of the connection.
        parts: What all clients share.

    Attributes:
        ended: Set when nothing more will be read, and all that was is put.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, parts: Parts) -> None:
        self._reader, self._writer, self._parts = reader, writer, parts
        self._framer = Framer(limit_bytes=parts.message_bytes)
        self._stopping = False
        self._waiting: asyncio.Timeout | None = None
        self.ended = asyncio.Event()

    def stop(self) -> None:
        """Read what is on its way, then no more."""
        self._stopping = True
        if self._waiting is not None:
            self._waiting.reschedule(asyncio.get_running_loop().time() + LAST_SECONDS)

    async def run(self) -> None:
        """Read until the client is gone, or idle for too long, or has no more when told to stop."""
        try:
            while data := await self._receive():
                await self._take(self._framer.feed(data))
            if rest := self._framer.end():
                self._parts.metrics.odd("torn")
                await self._take([rest])
        finally:
            self.ended.set()
            self._writer.close()

    async def _receive(self) -> bytes:
        """The next bytes; empty at the end."""
        seconds = LAST_SECONDS if self._stopping else self._parts.idle_seconds
        try:
            async with asyncio.timeout(seconds) as self._waiting:
                return await self._reader.read(READ_BYTES)
        except TimeoutError:
            if not self._stopping:
                self._parts.metrics.closed("idle")
        except OSError:
            self._parts.metrics.closed("lost")
        finally:
            self._waiting = None
        return b""

    async def _take(self, messages: list[bytes]) -> None:
        """Send messages on, as soon as there is room for them."""
        parts, framer = self._parts, self._framer
        if framer.cut or framer.cut_bytes:
            parts.metrics.cut(messages=framer.cut, size=framer.cut_bytes)
            framer.cut = framer.cut_bytes = 0
        if not messages:
            return
        with parts.intake.accept() as now_ns:
            await parts.intake.room()
            for lines in parts.batcher.lines(messages, now_ns=now_ns):
                parts.intake.put(NAME, lines, Delivery())
