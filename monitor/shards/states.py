"""States of shards in the store: each is written for one position of the queue, and never changed.

An object `<queue id>/<shard>/<position>-<rules>` holds what `ShardMetrics.state` gave, compressed, with a checksum. It
is a function of the shard's records before the position and of the rules: two monitors that write the same name write
the same content, and it does not matter whose it is. All methods block.
"""

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import structlog
import zstandard

from pipeline.errors import FormatError
from pipeline.store import Store

log = structlog.get_logger()

KEPT: Final = 2
"""Newest states of a shard that are kept: one may turn out to be damaged."""

STATE_BYTES: Final = 1024 * 1024 * 1024
"""Largest state that is read: far more than the bounds of series allow."""

_NAME: Final = re.compile(r"([0-9]{20})-([0-9a-f]{1,64})")
_LEVEL: Final = 1


@dataclass(frozen=True, slots=True, order=True)
class StateName:
    """One state.

    Attributes:
        offset: The position that it was written for.
        rules: Digest of the rules that made it.
    """

    offset: int
    rules: str

    def __str__(self) -> str:
        return f"{self.offset:020d}-{self.rules}"


class States:
    """The states of one queue's shards.

    Args:
        store: Where they lie.
        queue_id: The queue.
        rules: Digest of the rules in use here.
    """

    def __init__(self, store: Store, *, queue_id: str, rules: str) -> None:
        self._store = store
        self._queue_id = queue_id
        self._rules = rules
        self._written: dict[int, deque[StateName]] = {}

    def newest_offset(self, shard: int) -> int:
        """Of the newest state, whoever made it; -1 when there is none."""
        return max((name.offset for name in self._names(shard)), default=-1)

    def choices(self, shard: int, *, start: int) -> list[StateName]:
        """The states of a shard that is about to be taken, the one to take first.

        Those of the rules in use are exact for them, as long as the queue still has all records since; of others, what
        is the same is taken over.

        Args:
            shard: The shard.
            start: Oldest position that the queue has.
        """
        self._written.pop(shard, None)  # others may have written since
        names = self._names(shard)
        return sorted(names, key=lambda name: (name.rules == self._rules and name.offset >= start, name), reverse=True)

    def read(self, shard: int, name: StateName) -> bytes | None:
        """A state; `None` when it is not there any more.

        Raises:
            FormatError: Its bytes are damaged.
        """
        data = self._store.get(f"{self._folder(shard)}/{name}")
        if data is None:
            return None
        try:
            return zstandard.ZstdDecompressor().decompress(data, max_output_size=STATE_BYTES)
        except zstandard.ZstdError as error:
            raise FormatError(f"state {name} of shard {shard}: {error}") from error

    def write(self, shard: int, offset: int, state: bytes) -> int:
        """Write a state; returns its bytes in the store. One that is there already is the same."""
        data = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compress(state)
        try:
            self._store.put(f"{self._folder(shard)}/{StateName(offset, self._rules)}", data)
        except FileExistsError:
            log.debug("state is there already", shard=shard, offset=offset)
        return len(data)

    def sweep(self, shard: int, *, written: int) -> None:
        """Delete all but the newest `KEPT`, after a state of the position `written`.

        What others left is looked for once; after that only what was written here is deleted. Listing costs as much as
        writing, and whoever takes the shard looks again.
        """
        mine = self._written.get(shard)
        if mine is None:
            for name in sorted(self._names(shard), reverse=True)[KEPT:]:
                self._store.delete(f"{self._folder(shard)}/{name}")
            mine = self._written[shard] = deque()
        mine.append(StateName(written, self._rules))
        while len(mine) > KEPT:
            self._store.delete(f"{self._folder(shard)}/{mine.popleft()}")

    def drop_beyond(self, shard: int, offset: int) -> None:
        """Delete states of positions that the queue does not have (any more)."""
        for name in self._names(shard):
            if name.offset > offset:
                self._store.delete(f"{self._folder(shard)}/{name}")

    def _names(self, shard: int) -> Iterator[StateName]:
        for fact in self._store.objects(self._folder(shard)):
            match = _NAME.fullmatch(fact.name.rpartition("/")[2])
            if match is not None:
                yield StateName(int(match[1]), match[2])

    def _folder(self, shard: int) -> str:
        return f"{self._queue_id}/{shard}"
