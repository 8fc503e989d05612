"""What a node's agent says about its pods: who was at which address, under which labels, and from when to when.

A statement is one interval. It stands in packs, so that whoever reads a partition from its records alone knows which
release served a request that a router passed to `ip:port`.
"""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address
from typing import Final

import msgspec

from pipeline.errors import FormatError
from pipeline.limits import NAME_BYTES, POD_RULES_BYTES

MOST_STATEMENTS: Final = 4096
"""In one pack; a node has some hundred pods."""

MOST_ADDRESSES: Final = 8
"""Of one pod; two are usual where both families of addresses are in use."""

MOST_PORTS: Final = 64
"""Of one pod of the host's network."""

_LAST_PORT: Final = 2**16 - 1
_PORT_DIGITS: Final = 5
_INT64_MAX: Final = 2**63 - 1


class PodStatement(msgspec.Struct, frozen=True, array_like=True):
    """One pod at its addresses, for as long as nothing of this changes.

    Attributes:
        namespace: Kubernetes namespace.
        pod: Pod name.
        uid: Pod uid, as in `pipeline.chunk.Origin`.
        app: The app that it belongs to.
        process: Process type, empty when unknown.
        release: Release, empty when unknown.
        ips: Its addresses, as `ipaddress` writes them; at least one.
        ports: Empty when all ports of the addresses are its own. A pod of the host's network shares them with others:
            then the ports of its containers.
        from_ns: Since when, nanoseconds since the epoch.
        to_ns: Until when; 0 while it lasts.
        rules: The app's own metric rules, as the pod's annotation has them; empty for none, `None` when this statement
            says nothing of them: they are long, and told when they change and from time to time.
    """

    namespace: str
    pod: str
    uid: str
    app: str
    process: str
    release: str
    ips: tuple[str, ...]
    ports: tuple[int, ...]
    from_ns: int
    to_ns: int = 0
    rules: str | None = None


class PodNews(msgspec.Struct, frozen=True):
    """What one pack says about the pods of its node.

    Attributes:
        statements: In the order in which they came true.
        complete: Whether they are all pods that are there now: whoever is not among them is gone.
        known_ns: Everything that happened to the node's pods before this time is stated in this pack or in one before
            it of its partition; 0 when nothing is known of pods.
    """

    statements: tuple[PodStatement, ...] = ()
    complete: bool = False
    known_ns: int = 0


NO_NEWS: Final = PodNews()
"""Of an agent that asks no API server, and of a pack that says nothing."""


@lru_cache(maxsize=16384)
def plain_address(text: str) -> str | None:
    """An address as `ipaddress` writes it; `None` when it is none. A zone (`%eth0`) is no part of an address here."""
    try:
        return None if "%" in text else str(ip_address(text))
    except ValueError:
        return None


@lru_cache(maxsize=16384)
def split_upstream(text: str) -> tuple[str, int]:
    """Address and port of `ip:port` or `[ip]:port`; an empty address, and 0, when it is neither."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        return "", 0
    ip = plain_address(host)
    if ip is None or not colon or not (port.isascii() and port.isdigit()) or len(port) > _PORT_DIGITS:
        return "", 0
    return ip, int(port)


def check_statements(statements: Iterable[PodStatement]) -> None:
    """Refuse statements that no agent makes.

    Raises:
        FormatError: Says what is out of range.
    """
    for number, statement in enumerate(statements):
        if number >= MOST_STATEMENTS:
            raise FormatError(f"more than {MOST_STATEMENTS} statements about pods")
        _check(statement)


def _check(statement: PodStatement) -> None:
    names = (statement.namespace, statement.pod, statement.uid, statement.app, statement.process, statement.release)
    if max(map(len, names)) > NAME_BYTES:
        raise FormatError("a name of a pod is out of range")
    if not 1 <= len(statement.ips) <= MOST_ADDRESSES or any(plain_address(ip) != ip for ip in statement.ips):
        raise FormatError("the addresses of a pod are none, or not written as they should be")
    if len(statement.ports) > MOST_PORTS or not all(0 < port <= _LAST_PORT for port in statement.ports):
        raise FormatError("the ports of a pod are out of range")
    if not 0 <= statement.from_ns <= _INT64_MAX or not (
        statement.to_ns == 0 or statement.from_ns <= statement.to_ns <= _INT64_MAX
    ):
        raise FormatError(f"a pod is there from {statement.from_ns} to {statement.to_ns}")
    if statement.rules and len(statement.rules.encode()) > POD_RULES_BYTES:
        raise FormatError("the rules of a pod are too long")
