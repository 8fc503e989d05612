"""Resume states: what ingest needs beside the table to go on exactly where a commit left off.

One object `_state/<id>` for each commit holds the state of every shard of that commit: the byte 0x01, then a msgpack
map of shard to bytes. It is durable before the commit that names it, by the transaction `<queue id>/<shard>/state`.
"""

import secrets
import time
from collections.abc import Mapping
from typing import Final

import msgspec

from pipeline.errors import FormatError
from pipeline.names import STATE_DIRECTORY
from pipeline.store import Store

UNREFERENCED_SECONDS: Final = 3600
"""A state that no transaction names is kept this long: a commit that is under way may be about to name it."""

_MAGIC: Final = b"\x01"
_RANDOM_BITS: Final = 22
_decoder = msgspec.msgpack.Decoder(dict[int, bytes])


def new_id() -> int:
    """An id that is unique without asking anybody: 41 bits of milliseconds and 22 random ones, under 2**63."""
    return (time.time_ns() // 1_000_000) << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)


def id_ms(identity: int) -> int:
    """When `identity` was made, milliseconds since the epoch."""
    return identity >> _RANDOM_BITS


def write_state(store: Store, identity: int, states: Mapping[int, bytes]) -> None:
    """Write the states of one commit, durably.

    Raises:
        StoreUnavailableError: Nothing was written.
    """
    store.put(_name(identity), _MAGIC + msgspec.msgpack.encode(dict(states)))


def read_state(store: Store, identity: int) -> dict[int, bytes] | None:
    """Read the states of one commit; `None` when they are no longer there.

    Raises:
        FormatError: It is no state of a version known here.
    """
    data = store.get(_name(identity))
    if data is None:
        return None
    if data[:1] != _MAGIC:
        raise FormatError(f"{_name(identity)} is no resume state: first byte {data[:1]!r}")
    try:
        return _decoder.decode(data[1:])
    except msgspec.MsgspecError as error:
        raise FormatError(f"{_name(identity)} is no resume state: {error}") from error


def sweep_states(store: Store, *, named: frozenset[int], now_ms: int) -> int:
    """Delete states that no transaction names and that are over `UNREFERENCED_SECONDS` old.

    Args:
        store: The table's folder.
        named: Ids that the newest version of the table names.
        now_ms: The time, milliseconds since the epoch.

    Returns:
        How many were deleted.
    """
    swept = 0
    for fact in store.objects(STATE_DIRECTORY):
        identity = _identity(fact.name)
        if identity is None or identity in named:
            continue
        if max(id_ms(identity), fact.modified_ms) < now_ms - UNREFERENCED_SECONDS * 1000:
            store.delete(fact.name)
            swept += 1
    return swept


def _name(identity: int) -> str:
    return f"{STATE_DIRECTORY}/{identity:016x}"


def _identity(name: str) -> int | None:
    try:
        return int(name.rpartition("/")[2], 16)
    except ValueError:
        return None
