"""Which container log files there are, from names alone: nothing is opened here.

kubelet keeps `<namespace>_<pod>_<uid>/<container>/<restart>.log`, renames it at rotation to
`<restart>.log.<YYYYMMDD-HHMMSS>`, and compresses that to `….gz` by way of `….tmp`. logrotate numbers instead:
`<restart>.log.1` is the newest, then `.2.gz` and so on.

Source: Kubernetes, pkg/kubelet/logs/container_log_manager.go; logrotate(8).
"""

import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from pipeline.limits import NAME_BYTES

_POD = re.compile(r"([^_]+)_([^_]+)_([^_]+)")  # strange names go on, in a safe form (see `fluentd.pods.names`)
_LOG = re.compile(r"(0|[1-9]\d{0,8})\.log(?:[.\-](\d{8}(?:-\d{6})?)|\.(\d{1,6}))?(\.gz)?", re.ASCII)
SETTLED_NS = 1_000_000_000
"""The kernel's times move in steps of milliseconds: what has one younger than this may change unseen."""

_LISTING_TRIES = 3

_Parsed = tuple[int, tuple[int, str, int, bool], bool, bool]

_Torn = tuple[str, int, int]
"""A name that led to another file than the one listed: the name, and the inodes listed and found, 0 for none."""


Stamp = tuple[int, int, int]
"""See `FoundFile.stamp`."""


class Inode(NamedTuple):
    """A file as the kernel names it. Reused after deletion, so a hint only, unless the file is held open."""

    device: int
    number: int


@dataclass(frozen=True, slots=True)
class Place:
    """The directory of one container's logs, and what its path says."""

    path: str
    namespace: str
    pod: str
    uid: str
    container: str


@dataclass(frozen=True, slots=True)
class FoundFile:
    """One file of a run.

    Attributes:
        path: Where it was found; a link is resolved.
        restart: Restart number in its name.
        live: Whether it has the name that the runtime writes to.
        gzip: Whether it is compressed.
        inode: See `Inode`.
        stamp: (bytes, modified ns, changed ns): a file whose inode and stamp are unchanged is the same one, unchanged.
        linked: Whether the name is a link, so that inotify does not see its writes.
    """

    path: str
    restart: int
    live: bool
    gzip: bool
    inode: Inode
    stamp: Stamp
    linked: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    """What one scan found.

    Attributes:
        started_ns: Wall time before the first directory was looked at.
        places: Every container directory there is.
        changed: Files of the directories that changed since the scan before, oldest first.
        problems: What could not be looked at, with the reason; such a scan proves nothing about completeness.
        ignored: Links that lead out of the allowed folders, and folders that are named like no pod's or container's.
        unsteady: Whether a directory changed each time it was listed: files of it may be missing.
    """

    started_ns: int
    places: dict[str, Place]
    changed: dict[str, list[FoundFile]]
    problems: list[str]
    ignored: list[str]
    unsteady: list[str] = field(default_factory=list)


def parse_pod(name: str) -> tuple[str, str, str] | None:
    """Namespace, pod and uid in the name of a pod's directory; `None` when it is none."""
    match = _POD.fullmatch(name)
    if match is None or not all(map(_is_name, match.groups())):
        return None
    namespace, pod, uid = match.groups()
    return namespace, pod, uid


def _is_name(text: str) -> bool:
    """Whether a name can be told to others: short, and without control characters or bytes that are not UTF-8."""
    return len(os.fsencode(text)) <= NAME_BYTES and text.isprintable()


def parse_log(name: str) -> _Parsed | None:
    """Restart, rank (ascending from the oldest), live, gzip in a log file's name; `None` when it is none."""
    match = _LOG.fullmatch(name)
    if match is None:
        return None
    restart, date, number, suffix = match.groups()
    live = date is None and number is None
    if live and suffix:
        return None
    # Numbers count back in time. A plain file is before its own compressed copy, which then is recognised as one.
    rank = (2 if live else int(number is not None), date or "", -int(number or 0), suffix is not None)
    return int(restart), rank, live, suffix is not None


class _Pod(NamedTuple):
    """A pod's folder as it was listed when its time was `changed_ns`, and what it holds that is no container's."""

    changed_ns: int
    places: list[Place]
    ignored: list[str]


@dataclass(slots=True)
class Discovery:
    """Looks at the tree below `root`. Blocking; remembers directories' times, to list only those that changed.

    Args:
        root: The folder of pods' directories.
        link_targets: Folders into which links may point, beside `root`.
    """

    root: str
    link_targets: Sequence[str] = ()
    _settled: dict[str, int] = field(default_factory=dict)
    _pods: dict[str, _Pod] = field(default_factory=dict)

    def scan(self, *, started_ns: int, thorough: bool = False) -> Listing:
        """List every directory that changed, or every one if `thorough`.

        Args:
            started_ns: Wall time now.
            thorough: Distrust directories' times: a file may have grown without its directory changing.
        """
        listing = Listing(started_ns, {}, {}, [], [])
        for place in self._places(listing, thorough=thorough):
            listing.places[place.path] = place
            self.look(place, listing, thorough=thorough)
        self._settled = {path: time for path, time in self._settled.items() if path in listing.places}
        return listing

    def look(self, place: Place, listing: Listing, *, thorough: bool = True) -> None:
        """List one container's directory into `listing`."""
        try:
            changed_ns = _modified_ns(place.path)
            if not thorough and self._settled.get(place.path) == changed_ns:
                return
            torn: set[_Torn] = set()
            for _ in range(_LISTING_TRIES):
                torn_before, torn = torn, set()
                files = self._files(place.path, listing, torn)
                before_ns, changed_ns = changed_ns, _modified_ns(place.path)
                # Else a rotation fell between, and files may be missing. What is torn twice alike is no rotation, but a
                # mount or a file system whose listings number files in another way.
                if before_ns == changed_ns and torn <= torn_before:
                    break
            else:
                listing.unsteady.append(place.path)
            listing.changed[place.path] = files
            if changed_ns < listing.started_ns - SETTLED_NS:
                self._settled[place.path] = changed_ns
        except FileNotFoundError:
            listing.changed[place.path] = []
        except OSError as error:
            listing.problems.append(f"{place.path}: {error.strerror}")

    def _places(self, listing: Listing, *, thorough: bool) -> Iterator[Place]:
        known, self._pods = {} if thorough else self._pods, {}
        for name in self._directories(self.root, listing, required=True):
            path = f"{self.root}/{name}"
            try:
                changed_ns = _modified_ns(path)
            except FileNotFoundError:  # gone since it was listed
                continue
            pod = known.get(path)
            if pod is None or pod.changed_ns != changed_ns:
                pod = self._pod(name, changed_ns, listing)
            if changed_ns < listing.started_ns - SETTLED_NS:
                self._pods[path] = pod
            listing.ignored.extend(pod.ignored)
            yield from pod.places

    def _pod(self, name: str, changed_ns: int, listing: Listing) -> _Pod:
        path, names = f"{self.root}/{name}", parse_pod(name)
        if names is None:
            return _Pod(changed_ns, [], [path])
        problems = len(listing.problems)
        containers = self._directories(path, listing)
        return _Pod(
            changed_ns if len(listing.problems) == problems else 0,
            [Place(f"{path}/{container}", *names, container) for container in containers if _is_name(container)],
            [f"{path}/{container}" for container in containers if not _is_name(container)],
        )

    def _directories(self, path: str, listing: Listing, *, required: bool = False) -> list[str]:
        """Names of real directories. A link to one is not followed, since it may lead anywhere, or in a circle."""
        try:
            with os.scandir(path) as entries:
                return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
        except OSError as error:
            if required or not isinstance(error, FileNotFoundError):
                listing.problems.append(f"{path}: {error.strerror}")
            return []

    def _files(self, directory: str, listing: Listing, torn: set[_Torn]) -> list[FoundFile]:
        found = []
        with os.scandir(directory) as entries:
            for entry in entries:
                if (parsed := parse_log(entry.name)) is None:
                    continue
                path = self._resolve(entry, listing.ignored) if entry.is_symlink() else entry.path
                facts = None if path is None else _facts(path)
                if path == entry.path and (inode := facts.st_ino if facts else 0) != entry.inode():
                    torn.add((entry.name, entry.inode(), inode))
                if path is not None and facts is not None and stat.S_ISREG(facts.st_mode):
                    found.append((parsed[:2], _found(path, parsed, facts, linked=path != entry.path)))
        found.sort(key=itemgetter(0))
        return [file for _, file in found]

    def _resolve(self, entry: os.DirEntry[str], ignored: list[str]) -> str | None:
        """Where a link leads; `None` if nowhere, in a circle, or out of the allowed folders."""
        try:
            path = os.path.realpath(entry.path, strict=True)
        except OSError:
            return None
        if self._allowed(path):
            return path
        ignored.append(entry.path)
        return None

    def _allowed(self, path: str) -> bool:
        """A pod that can write here must not be able to have any file of the node read by a link."""
        return any(Path(path).is_relative_to(folder) for folder in (os.path.realpath(self.root), *self.link_targets))


def _modified_ns(path: str) -> int:
    return os.stat(path).st_mtime_ns  # noqa: PTH116 - thousands in each scan: half the cost of `Path.stat`


def _facts(path: str) -> os.stat_result | None:
    try:
        return os.stat(path, follow_symlinks=False)  # noqa: PTH116 - as above
    except FileNotFoundError:  # gone since it was listed
        return None


def _found(path: str, parsed: _Parsed, facts: os.stat_result, *, linked: bool) -> FoundFile:
    restart, _, live, gzip = parsed
    return FoundFile(path, restart, live, gzip, Inode(facts.st_dev, facts.st_ino), stamp_of(facts), linked)


def stamp_of(facts: os.stat_result) -> Stamp:
    """See `FoundFile.stamp`."""
    return facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns
