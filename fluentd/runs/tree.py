"""All runs of the node: what discovery found of them, which are looked at, and up to when everything is read.

No task and no lock: whoever owns it calls it from one task.
"""

import hashlib
from collections.abc import Callable, Iterator

from fluentd.chunks.outgoing import Outgoing
from fluentd.chunks.surroundings import RunKey, Surroundings
from fluentd.files.discovery import SETTLED_NS, FoundFile, Listing, Place
from fluentd.pods.gate import Gate, Standing
from fluentd.runs.checkpoint import KnownRun
from fluentd.runs.run import Run

HOT_SECONDS = 1.0
"""A run that had something to send is looked at in each pass for this long: cheaper than an event for each write."""


def choose_partition(workload: str, key: RunKey, *, spread: int, partitions: int) -> int:
    """Partition of a run: by its workload, whose lines then lie together, over `spread` neighbours for a big one.

    By a hash that mixes well: the low bits of a checksum put `app-0-web` to `app-7-web` into one partition of eight.
    """
    step = _hash("\0".join(map(str, key))) % max(1, spread)
    return (_hash(workload) + step) % partitions


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=8).digest())


class Tree:
    """See the module.

    Args:
        around: What all runs share.
        choose: Partition of a new run.
        gate: Tells what is read; everything by default.

    Attributes:
        skipped: Containers that are not read.
        unlisted: Whether one of them is to be read now, so that its files have to be listed.
    """

    def __init__(self, *, around: Surroundings, choose: Callable[[Place, int], int], gate: Gate | None = None) -> None:
        self._around = around
        self._choose = choose
        self._gate = gate
        self.skipped: set[str] = set()
        self.unlisted = False
        self._sorted_out: tuple[int, frozenset[str]] = (-1, frozenset())
        self._waiting: dict[RunKey, Run] = {}
        self._runs: dict[RunKey, Run] = {}
        self._places: dict[str, dict[int, Run]] = {}
        self._due: dict[RunKey, Run] = {}
        self._scanned_ns = 0

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs.values())

    def restore(self, known: KnownRun, *, root: str, partitions: int) -> None:
        """Take in one run of the checkpoint. A partition that the queue does not have is chosen again."""
        path = f"{root}/{known.namespace}_{known.pod}_{known.uid}/{known.container}"
        place = Place(path, known.namespace, known.pod, known.uid, known.container)
        partition = known.partition if known.partition < partitions else self._choose(place, known.restart)
        self._add(
            Run(
                place=place,
                restart=known.restart,
                partition=partition,
                around=self._around,
                next_ordinal=known.next_ordinal,
                known=known.sources,
            )
        )

    def _add(self, run: Run) -> None:
        self._runs[run.key] = run
        self._places.setdefault(run.place.path, {})[run.restart] = run

    def apply(self, listing: Listing, *, now: float, complete: bool = True) -> None:
        """Take in a listing; every run that may have more is due for a look afterwards, or those of the places listed.

        Args:
            listing: Of everything that changed.
            now: Monotonic seconds.
            complete: Whether it is of all places, so that others are gone.
        """
        for path, files in listing.changed.items():
            self._update(listing.places[path], files, now=now)
        if not complete:
            return
        if self._gate is not None:
            self._sort_out(listing, self._gate)
        if not listing.problems:
            for path in self._places.keys() - listing.places.keys():
                for run in self._places[path].values():
                    run.update((), now=now)
            if not listing.unsteady:
                self._scanned_ns = listing.started_ns
        self._wake(listing.started_ns, now=now)

    def _update(self, place: Place, files: list[FoundFile], *, now: float) -> None:
        standing = Standing.READ if self._gate is None else self._gate.standing(place)
        if standing is Standing.SKIP:
            self._leave_out(place.path)
            return
        self.skipped.discard(place.path)
        newest = max((one.restart for one in files if one.stamp[0]), default=0)
        runs = self._places.setdefault(place.path, {})
        for restart in {one.restart for one in files} - runs.keys():
            if (place.uid, place.container, restart) not in self._runs:
                self._add(
                    Run(place=place, restart=restart, partition=self._choose(place, restart), around=self._around)
                )
        for restart, run in runs.items():
            run.superseded |= restart < newest
            run.update([one for one in files if one.restart == restart], now=now)
            self._due[run.key] = run
        if standing is Standing.WAIT:
            self._waiting.update({run.key: run for run in runs.values()})

    def _sort_out(self, listing: Listing, gate: Gate) -> None:
        """Drop the runs of containers that are not read any more, and notice those that are read now."""
        changes, (seen, places) = gate.changes, self._sorted_out
        if changes == seen and places == listing.places.keys():
            return  # asking for each of a thousand containers takes 3 ms
        self._sorted_out = changes, frozenset(listing.places)
        for path, place in listing.places.items():
            skip = gate.standing(place) is Standing.SKIP
            if skip and path not in self.skipped:
                self._leave_out(path)
            elif not skip and path in self.skipped:
                self.skipped.discard(path)
                self.unlisted = True
        self.skipped &= listing.places.keys()
        gate.retain(listing.places.values())

    def _leave_out(self, path: str) -> None:
        self.skipped.add(path)
        for run in self._places.pop(path, {}).values():
            run.close()
            del self._runs[run.key]
            self._due.pop(run.key, None)
            self._waiting.pop(run.key, None)

    def _release(self, gate: Gate) -> None:
        """Let those go on that have waited long enough. What is known now may tell another partition."""
        for key, run in list(self._waiting.items()):
            standing = gate.standing(run.place)
            if standing is Standing.SKIP:
                self._leave_out(run.place.path)
            elif standing is Standing.READ:
                self._waiting.pop(key, None)
                if not len(run.identities):
                    run.partition = self._choose(run.place, run.restart)

    def _wake(self, scan_ns: int, *, now: float) -> None:
        """Every run is due for a look, but for those of which the kernel says that a look would find nothing.

        Runs of which nothing is left are forgotten. One that is still is asked that after the next thorough scan.
        """
        before_ns = scan_ns - SETTLED_NS
        for key, run in list(self._runs.items()):
            if key not in self._due and run.is_still(before_ns=before_ns):
                run.complete_ns = max(run.complete_ns, scan_ns)
                continue
            self._due[key] = run
            run.forget_gone(now=now)
            if run.over:
                del self._runs[key], self._due[key], self._places[run.place.path][run.restart]
                self._waiting.pop(key, None)
        self._places = {path: runs for path, runs in self._places.items() if runs}

    def due(self) -> list[Run]:
        """Runs to look at in this pass."""
        if not self._waiting or self._gate is None:
            return list(self._due.values())
        self._release(self._gate)
        return [run for key, run in self._due.items() if key not in self._waiting]

    def touch(self, path: str) -> None:
        """Something was written in a container's directory: its runs are due."""
        for run in self._places.get(path, {}).values():
            self._due[run.key] = run

    def next_chunk(self, run: Run, *, now: float, pass_ns: int) -> Outgoing | None:
        """See `Run.next_chunk`.

        Args:
            run: One that is due.
            now: Monotonic seconds.
            pass_ns: Wall time before the first look of this pass at anything.
        """
        outgoing = run.next_chunk(now=now)
        if outgoing is None and run.caught_up:
            run.complete_ns = min(pass_ns, run.waits_from_ns or pass_ns)
        return outgoing

    def may_rest(self, run: Run, *, now: float) -> bool:
        """Whether `run` has been quiet for a while, so that an event or the next scan is soon enough."""
        return run.settled and now - run.active_at >= HOT_SECONDS

    def rest(self, run: Run) -> None:
        """Look at `run` no more until something happens."""
        self._due.pop(run.key, None)
        run.rest()

    @property
    def complete_ns(self) -> int:
        """Everything that was written before this wall time was read; 0 while unknown."""
        read_ns = [run.complete_ns for run in self._runs.values() if run.waits_for_bytes]
        if not read_ns:
            return self._scanned_ns
        return min(self._scanned_ns, *read_ns)

    def problems(self) -> list[str]:
        """Files that could not be read, with the reason."""
        return [run.problem for run in self._runs.values() if run.problem]

    def known_runs(self) -> tuple[KnownRun, ...]:
        """What the checkpoint keeps."""
        return tuple(
            KnownRun(
                run.place.namespace,
                run.place.pod,
                run.place.uid,
                run.place.container,
                run.restart,
                run.partition,
                run.identities.next_ordinal,
                tuple(source.known() for source in run.identities),
            )
            for run in self._runs.values()
        )

    def close(self) -> None:
        """Give back all descriptors."""
        for run in self._runs.values():
            run.close()
