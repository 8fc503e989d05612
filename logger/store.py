"""The seam between the table and what it is stored on: everything that Delta itself does not read or write.

A store is a folder of named objects: data files, the Delta log's entries, and small objects under `_state/`. An object
is written once, whole and durable, and never changed. A local folder is the only kind so far; a bucket fits behind the
same few methods.
"""

import contextlib
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from pipeline.errors import SettingsError, StoreUnavailableError
from pipeline.names import TABLE_DIRECTORY

TEMPORARY_SUFFIX: Final = ".tmp"
"""Of an object not yet whole; what a crash leaves of it is swept with the orphans."""


@dataclass(frozen=True, slots=True)
class ObjectFact:
    """One object as a listing shows it.

    Attributes:
        name: Relative to the store, with `/`.
        modified_ms: When it was written, milliseconds since the epoch.
    """

    name: str
    modified_ms: int


@contextlib.contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise `StoreUnavailableError` in place of the operating system's errors (no room, I/O error, not there)."""
    try:
        yield
    except OSError as error:
        raise StoreUnavailableError(f"{doing}: {error}") from error


class Store:
    """A table's folder on a local disk. Methods block, are safe to call from many threads.

    All of them raise `StoreUnavailableError` when the disk has no room or fails.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def uri(self) -> str:
        """What deltalake opens."""
        return str(self._root)

    def put(self, name: str, data: bytes) -> None:
        """Write a new object, durably.

        Raises:
            FileExistsError: The object is there already, and is left as it is.
        """
        path = self._root / name
        temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}")
        exists = False
        with translated(f"writing {name}"):
            self._make_folder(path.parent)
            try:
                temporary.write_bytes(data)
                _sync(temporary)
                try:
                    os.link(temporary, path)
                except FileExistsError:
                    exists = True
            finally:
                temporary.unlink(missing_ok=True)
            _sync(path.parent)
        if exists:
            raise FileExistsError(name)

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[pa.NativeFile]:
        """Write a new object as a stream; it is durable after the block, and gone when the block fails."""
        path = self._root / name
        with translated(f"writing {name}"):
            self._make_folder(path.parent)
            try:
                with pa.OSFile(str(path), "wb") as sink:
                    yield sink
                _sync(path)
                _sync(path.parent)
            except BaseException:
                path.unlink(missing_ok=True)
                raise

    def reading(self, name: str) -> pa.NativeFile:
        """Open an object for reading at any place."""
        with translated(f"reading {name}"):
            return pa.OSFile(str(self._root / name), "rb")

    def get(self, name: str) -> bytes | None:
        """An object's bytes; `None` when there is none of that name."""
        with translated(f"reading {name}"):
            try:
                return (self._root / name).read_bytes()
            except FileNotFoundError:
                return None

    def exists(self, name: str) -> bool:
        """Whether there is an object of that name."""
        with translated(f"looking for {name}"):
            return (self._root / name).exists()

    def folders(self, prefix: str) -> list[str]:
        """Names of the folders right below the root that begin with `prefix`, sorted."""
        with translated("listing"):
            return sorted(path.name for path in self._root.glob(f"{prefix}*") if path.is_dir())

    def objects(self, folder: str) -> list[ObjectFact]:
        """The objects right below `folder`, sorted by name; empty when there is no such folder."""
        facts = []
        with translated(f"listing {folder}"), contextlib.suppress(FileNotFoundError):
            for item in os.scandir(self._root / folder):
                with contextlib.suppress(FileNotFoundError):
                    if item.is_file():
                        facts.append(ObjectFact(f"{folder}/{item.name}", item.stat().st_mtime_ns // 1_000_000))
        return sorted(facts, key=lambda fact: fact.name)

    def delete(self, name: str) -> None:
        """Delete an object, if it is there."""
        with translated(f"deleting {name}"):
            (self._root / name).unlink(missing_ok=True)

    def drop_folder(self, folder: str) -> None:
        """Take away an empty folder; one that is in use, or not there, is left."""
        with contextlib.suppress(OSError):
            (self._root / folder).rmdir()

    def set_aside(self, name: str, suffix: str) -> None:
        """Rename an object that cannot be read, so that a person can look at it."""
        with translated(f"setting aside {name}"):
            path = self._root / name
            path.rename(path.with_name(path.name + suffix))
            _sync(path.parent)

    def sync(self, names: list[str]) -> None:
        """Make objects durable that something else wrote (deltalake writes the log and does not wait for the disk).

        One that is no longer there is passed over: the log's old entries are cleaned up.
        """
        with translated("syncing"):
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    _sync(self._root / name)
            for folder in {(self._root / name).parent for name in names}:
                _sync(folder)

    def _make_folder(self, folder: Path) -> None:
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            for made in (folder.parent, self._root, self._root.parent):
                _sync(made)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_store(url: str) -> Store:
    """Open the table's folder in the store that `url` names; it is made if it is not there.

    Args:
        url: A folder's path, or `file:///path`.

    Raises:
        SettingsError: The URL is of a kind that is not supported.
        StoreUnavailableError: The folder cannot be made.
    """
    parts = urlsplit(url)
    if parts.scheme == "s3":
        raise SettingsError(f"STORE_URL={url!r}: object stores are not supported yet, name a folder")
    if not url or (parts.scheme not in {"", "file"}) or (parts.scheme == "file" and parts.netloc):
        raise SettingsError(f"STORE_URL={url!r}: allowed are a folder's path and file:///path")
    root = Path(unquote(parts.path) if parts.scheme == "file" else url).absolute() / TABLE_DIRECTORY
    with translated(f"making {root}"):
        root.mkdir(parents=True, exist_ok=True)
    return Store(root)
