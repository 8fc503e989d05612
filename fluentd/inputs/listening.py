"""How an input listens: one place for what TCP, TLS and UDP have in common, whatever is spoken over them."""

import asyncio
import ssl
from collections.abc import Callable
from typing import Final

from pipeline.errors import FatalError
from pipeline.settings import split_listen

_HANDSHAKE_SECONDS: Final = 20.0


async def listen_tcp(
    connected: Callable[[asyncio.StreamReader, asyncio.StreamWriter], None],
    listen: str,
    *,
    setting: str,
    tls: ssl.SSLContext | None,
    read_bytes: int,
) -> tuple[asyncio.Server, int]:
    """Listen for clients.

    Args:
        connected: Takes each of them.
        listen: `host:port`.
        setting: Its name, for errors.
        tls: Asked of clients, if any.
        read_bytes: Most bytes of one read.

    Returns:
        The server, and its port, which is chosen when 0 was asked for.

    Raises:
        FatalError: The address is in use, or none of this machine.
    """
    host, port = split_listen(listen)
    handshake_seconds = None if tls is None else _HANDSHAKE_SECONDS
    try:
        server = await asyncio.start_server(
            connected, host, port, ssl=tls, limit=read_bytes, ssl_handshake_timeout=handshake_seconds
        )
    except OSError as error:
        raise FatalError(f"{setting}: cannot listen on {listen}: {error.strerror}") from error
    return server, server.sockets[0].getsockname()[1]


async def listen_udp(
    protocol: asyncio.DatagramProtocol, address: tuple[str, int], *, setting: str
) -> tuple[asyncio.DatagramTransport, int]:
    """Listen for datagrams.

    Args:
        protocol: Takes each of them.
        address: Host and port.
        setting: Name of what says so, for errors.

    Returns:
        The transport, and its port, which is chosen when 0 was asked for.

    Raises:
        FatalError: The address is in use, or none of this machine.
    """
    loop = asyncio.get_running_loop()
    try:
        transport, _ = await loop.create_datagram_endpoint(lambda: protocol, local_addr=address)
    except OSError as error:
        raise FatalError(f"{setting}: no UDP on {address[0]}:{address[1]}: {error.strerror}") from error
    return transport, transport.get_extra_info("sockname")[1]
