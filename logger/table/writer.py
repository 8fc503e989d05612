"""The table: one handle for ingest, which commits, and any number of readers, which pin snapshots.

The protocol of a commit (rows, queue positions and resume state become visible together, exactly once)::

    write data files   durable, not yet part of the table
    write state        durable, under a new id that tells this commit from all others
    advance            to the newest version of the log
      my id is there?    done: an attempt before was taken after all
      fence              position and state id of each shard are what I committed last; else another logger took over
    append             files, `<queue id>/<shard>` = next offset, `<queue id>/<shard>/state` = id, on that very version
    advance            again: only finding my id there says that it worked
"""

import sys
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date as Date  # noqa: N812 - `date` is the partition column here
from itertools import islice
from typing import Final, Self

import structlog

from logger.parts import Part
from logger.table.actions import add_action
from logger.table.commit import CommitRefusedError, LogWriter
from logger.table.datafile import write_data_file
from logger.table.deltalog import LogState
from logger.table.snapshot import FileEntry
from logger.table.state import UNREFERENCED_SECONDS, id_ms, new_id, read_state, write_state
from logger.table.view import other_queues, position_id, standing, state_id
from pipeline.errors import FencedError, StoreUnavailableError
from pipeline.failpoints import failpoint
from pipeline.store import Store, open_store

log = structlog.get_logger()

ATTEMPTS: Final = 50
"""A commit gives way to this many others before it counts as the storage not answering."""

CHECKPOINT_VERSIONS: Final = 200
"""Ingest writes a checkpoint of the log itself when upkeep, which does so sooner, has not for this many versions."""

NOWHERE: Final = (0, 0)
"""Position and state id of a shard that was never committed."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far ingest is at one version of the table.

    Attributes:
        version: Of the Delta table.
        positions: Next queue offset of each shard as of exactly this version; a shard never committed is absent.
    """

    version: int
    positions: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A commit whose files are written: what an attempt, and a repetition of it, puts into the log."""

    identity: int
    positions: Mapping[int, int]
    states: Mapping[int, bytes]
    entries: tuple[FileEntry, ...]

    def serves(self, positions: Mapping[int, int], states: Mapping[int, bytes]) -> bool:
        """Whether this is the same commit. Same positions and states mean the same rows."""
        return self.positions == positions and self.states == states

    def is_old(self) -> bool:
        """Whether upkeep may soon take the files for orphans."""
        return id_ms(new_id()) - id_ms(self.identity) > UNREFERENCED_SECONDS * 1000 // 2


class IngestTable:
    """The one handle for ingest, never shared with readers. Methods block; call them through `asyncio.to_thread`.

    It follows the log and nothing else: what other loggers' files hold is for readers to find out, when they are asked.
    """

    def __init__(self, store: Store, *, queue_id: str) -> None:
        self._store = store
        self._queue_id = queue_id
        self._lock = threading.Lock()
        self._log = LogWriter(store)
        self._prepared: _Prepared | None = None
        self._checked = self._log.state.version
        self._held = standing(self._log.advance(), queue_id)

    @classmethod
    def open(cls, store_url: str, *, queue_id: str) -> Self:
        """Open the table for ingest of the queue `queue_id`; it is made if it is not there.

        Raises:
            SettingsError: The URL is of no known kind.
            StoreUnavailableError: The storage fails.
        """
        return cls(open_store(store_url), queue_id=queue_id)

    @property
    def standing(self) -> Standing:
        """The table as this handle saw it last."""
        state = self._log.state
        found = standing(state, self._queue_id)
        return Standing(state.version, {shard: position for shard, (position, _) in found.items()})

    def load_states(self) -> dict[int, bytes]:
        """Take all shards as they stand, see `take`: the resume state of each. Call it before fetching."""
        with self._lock:
            states = self._newest_states(None)
            self._prepared = None
            self._held = standing(self._log.state, self._queue_id)
            return states

    def take(self, shards: Collection[int]) -> dict[int, tuple[int, bytes]]:
        """Take some shards as they stand: position and resume state of each that was ever committed.

        From now on a commit of them is fenced against what was read here; what the caller held of them in memory is
        void. The other shards stay as they were taken. Call it while no commit is being repeated.

        Raises:
            StoreUnavailableError: The storage fails.
        """
        with self._lock:
            states = self._newest_states(shards)
            self._prepared = None
            found = standing(self._log.state, self._queue_id)
            self._held |= {shard: found.get(shard, NOWHERE) for shard in shards}
            return {shard: (found[shard][0], state) for shard, state in states.items()}

    def look(
        self, shards: Collection[int], *, known: Mapping[int, int], most: int = sys.maxsize
    ) -> dict[int, tuple[int, bytes]]:
        """Ids and resume states of shards that others commit, without taking them.

        Args:
            shards: Which.
            known: Ids that the caller has seen, by shard; those that are still the newest are left out.
            most: So many commits' states are read, first those of shards of which the caller knows the oldest.

        Raises:
            StoreUnavailableError: The storage fails.
        """
        with self._lock:
            seen = standing(self._log.advance(), self._queue_id)
            new = [shard for shard in shards if shard in seen and known.get(shard) != seen[shard][1]]
            new.sort(key=lambda shard: known.get(shard, 0))  # ids ascend with time
            chosen = set(islice(dict.fromkeys(seen[shard][1] for shard in new), most))
            new = [shard for shard in new if seen[shard][1] in chosen]
            states = self._newest_states(new) if new else {}
            return {shard: (standing(self._log.state, self._queue_id)[shard][1], states[shard]) for shard in states}

    def moved(self, shards: Collection[int]) -> dict[int, int]:
        """Those of `shards` that somebody else has committed since they were taken or committed here: their positions.

        A position that is ours all the same was left by an operator, who changed no more than the resume state.

        Raises:
            StoreUnavailableError: The storage fails.
        """
        with self._lock:
            found = standing(self._log.advance(), self._queue_id)
            return {
                shard: found.get(shard, NOWHERE)[0]
                for shard in shards
                if found.get(shard, NOWHERE) != self._held.get(shard, NOWHERE)
            }

    def states_of_other_queues(self) -> list[bytes]:
        """Resume states of the queues that the table was fed from before this one.

        Raises:
            StoreUnavailableError: The storage fails.
        """
        with self._lock:
            others = other_queues(self._log.advance(), self._queue_id)
            identities = {identity for queue in others for _, identity in standing(self._log.state, queue).values()}
            found = (read_state(self._store, identity) for identity in sorted(identities))
            return [state for states in found if states is not None for state in states.values()]

    def commit(
        self, *, parts: Mapping[str, Part], positions: Mapping[int, int], states: Mapping[int, bytes]
    ) -> Standing:
        """Commit rows, positions and resume state, all or nothing; durable when it returns.

        After a `StoreUnavailableError` repeat the call with the same arguments: an attempt that was taken after all is
        found, files that are written already are used.

        Args:
            parts: Day of arrival (`YYYY-MM-DD`) to rows in `logger.rows.SCHEMA`, in the order of the files.
            positions: Next queue offset of each shard concerned, never less than before.
            states: Resume state of the same shards.

        Returns:
            The table at a version that holds this commit.

        Raises:
            FencedError: Another logger committed some of the shards, which are named; nothing was committed.
            StoreUnavailableError: No room, or the storage does not answer.
        """
        _check_arguments(parts, positions, states)
        with self._lock:
            if not positions:
                self._log.advance()
                return self.standing
            prepared = self._prepare(parts, positions, states)
            for _ in range(ATTEMPTS):
                if self._is_in(prepared, self._log.advance()):
                    self._adopt(prepared)
                    self._checkpoint()
                    return self.standing
                self._check_fence(positions)
                self._append(prepared)
        raise StoreUnavailableError(f"{ATTEMPTS} commits were refused in favour of others")

    def _prepare(
        self, parts: Mapping[str, Part], positions: Mapping[int, int], states: Mapping[int, bytes]
    ) -> _Prepared:
        last = self._prepared
        if last is not None and last.serves(positions, states):
            if not last.is_old() or self._is_in(last, self._log.advance()):
                return last
            self._discard(last.entries)
        identity = new_id()
        entries = self._write_parts(parts, identity)
        failpoint("logger.commit.data")
        try:
            write_state(self._store, identity, states)
        except StoreUnavailableError:
            self._discard(entries)
            raise
        failpoint("logger.commit.state")
        self._prepared = _Prepared(identity, dict(positions), dict(states), entries)
        return self._prepared

    def _write_parts(self, parts: Mapping[str, Part], identity: int) -> tuple[FileEntry, ...]:
        entries: list[FileEntry] = []
        try:
            for date, part in sorted(parts.items()):
                path = f"date={date}/{identity:016x}.parquet"
                if part.num_rows:
                    entries.append(
                        write_data_file(self._store, path, part, queue_id=self._queue_id, created_ms=id_ms(identity))
                    )
        except StoreUnavailableError:
            self._discard(entries)
            raise
        return tuple(entries)

    def _append(self, prepared: _Prepared) -> None:
        transactions = {position_id(self._queue_id, shard): to for shard, to in prepared.positions.items()}
        transactions |= {state_id(self._queue_id, shard): prepared.identity for shard in prepared.positions}
        failpoint("logger.commit.before")
        try:
            self._log.append([add_action(entry) for entry in prepared.entries], transactions)
        except CommitRefusedError:
            return  # the next look at the log tells by whom: upkeep (append again), or another logger (fenced)
        failpoint("logger.commit.after")

    def _is_in(self, prepared: _Prepared, state: LogState) -> bool:
        return any(
            state.transactions.get(state_id(self._queue_id, shard)) == prepared.identity for shard in prepared.positions
        )

    def _check_fence(self, positions: Mapping[int, int]) -> None:
        found = standing(self._log.state, self._queue_id)
        lost = [shard for shard in positions if found.get(shard, NOWHERE) != self._held.get(shard, NOWHERE)]
        if lost:
            told = (
                f"shard {shard} stands at {found.get(shard, NOWHERE)[0]}, "
                f"this logger left it at {self._held.get(shard, NOWHERE)[0]}"
                for shard in lost
            )
            raise FencedError("; ".join(told), lost)
        for shard, position in positions.items():
            if position < self._held.get(shard, NOWHERE)[0]:
                raise ValueError(f"shard {shard} would go back from {self._held[shard][0]} to {position}")

    def _adopt(self, prepared: _Prepared) -> None:
        self._held |= {shard: (to, prepared.identity) for shard, to in prepared.positions.items()}
        self._prepared = None

    def _checkpoint(self) -> None:
        """Keep the log short for whoever opens the table, if nobody else does; the commit stands all the same."""
        if self._log.state.version - self._checked < CHECKPOINT_VERSIONS:
            return
        self._checked = self._log.state.version
        try:
            self._log.checkpoint_if_due(CHECKPOINT_VERSIONS, clean_up=False)
        except StoreUnavailableError as error:
            log.warning("no checkpoint of the log", error=str(error))

    def _newest_states(self, shards: Collection[int] | None) -> dict[int, bytes]:
        """Resume states of `shards`, of all for `None`, as of the version that the log now stands at."""
        for _ in range(ATTEMPTS):
            states = self._read_states(self._log.advance(), shards)
            if states is not None:
                return states
        raise StoreUnavailableError("resume states are named by the table but are not there")

    def _read_states(self, log: LogState, shards: Collection[int] | None) -> dict[int, bytes] | None:
        files: dict[int, dict[int, bytes]] = {}
        states: dict[int, bytes] = {}
        for shard, (_, identity) in standing(log, self._queue_id).items():
            if shards is not None and shard not in shards:
                continue
            if identity not in files:
                found = read_state(self._store, identity)
                if found is None:
                    return None  # superseded and swept since: look at the log again
                files[identity] = found
            states[shard] = files[identity][shard]
        return states

    def _discard(self, entries: tuple[FileEntry, ...] | list[FileEntry]) -> None:
        for entry in entries:
            self._store.delete(entry.path)


def _check_arguments(parts: Mapping[str, Part], positions: Mapping[int, int], states: Mapping[int, bytes]) -> None:
    if positions.keys() != states.keys():
        raise ValueError(f"positions are of shards {sorted(positions)}, states of {sorted(states)}")
    if parts and not positions:
        raise ValueError("rows without positions would be committed again after a restart")
    for date in parts:
        if Date.fromisoformat(date).isoformat() != date:
            raise ValueError(f"{date!r} is no day in the form YYYY-MM-DD")
