"""A table's folder on a local disk; see `pipeline.store.Store`, which says what the methods do."""

import contextlib
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

import pyarrow as pa

from pipeline.errors import StoreUnavailableError
from pipeline.store import TEMPORARY_SUFFIX, GoneError, ObjectFact, Span

_NO_OPTIONS: Final[Mapping[str, str]] = MappingProxyType({})


class FolderStore:
    """Objects as files."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def uri(self) -> str:
        """See `Store`."""
        return str(self._root)

    @property
    def options(self) -> Mapping[str, str]:
        """See `Store`."""
        return _NO_OPTIONS

    @property
    def readers(self) -> int:
        """See `Store`."""
        return 1

    @property
    def may_tear(self) -> bool:
        """See `Store`: deltalake links a file into place without waiting for the disk."""
        return True

    def put(self, name: str, data: bytes) -> None:
        """See `Store`."""
        path = self._root / name
        temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}")
        exists = False
        with _translated(f"writing {name}"):
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
        """See `Store`."""
        path = self._root / name
        with _translated(f"writing {name}"):
            self._make_folder(path.parent)
            try:
                with pa.OSFile(str(path), "wb") as sink:
                    yield sink
                _sync(path)
                _sync(path.parent)
            except BaseException:
                path.unlink(missing_ok=True)
                raise

    def reading(self, name: str, spans: Sequence[Span] | None = None) -> pa.NativeFile:  # noqa: ARG002 - a disk reads at any place
        """See `Store`."""
        with _translated(f"reading {name}"):
            return pa.OSFile(str(self._root / name), "rb")

    def tail(self, name: str, *, size_bytes: int, count: int) -> bytes:  # noqa: ARG002 - the file itself knows its size
        """See `Store`."""
        with _translated(f"reading {name}"), (self._root / name).open("rb", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            start = max(end - count, 0)
            return os.pread(file.fileno(), end - start, start)

    def get(self, name: str) -> bytes | None:
        """See `Store`."""
        with _translated(f"reading {name}"):
            try:
                return (self._root / name).read_bytes()
            except FileNotFoundError:
                return None

    def folders(self, prefix: str) -> list[str]:
        """See `Store`."""
        with _translated("listing"):
            return sorted(path.name for path in self._root.glob(f"{prefix}*") if path.is_dir())

    def objects(self, folder: str) -> list[ObjectFact]:
        """See `Store`."""
        facts = []
        with _translated(f"listing {folder}"), contextlib.suppress(FileNotFoundError):
            for item in os.scandir(self._root / folder):
                with contextlib.suppress(FileNotFoundError):
                    if item.is_file():
                        facts.append(ObjectFact(f"{folder}/{item.name}", item.stat().st_mtime_ns // 1_000_000))
        return sorted(facts, key=lambda fact: fact.name)

    def delete(self, name: str) -> None:
        """See `Store`."""
        with _translated(f"deleting {name}"):
            (self._root / name).unlink(missing_ok=True)

    def drop_folder(self, folder: str) -> None:
        """See `Store`."""
        with contextlib.suppress(OSError):
            (self._root / folder).rmdir()

    def set_aside(self, name: str, suffix: str) -> None:
        """See `Store`."""
        with _translated(f"setting aside {name}"):
            path = self._root / name
            path.rename(path.with_name(path.name + suffix))
            _sync(path.parent)

    def sync(self, names: Sequence[str]) -> None:
        """See `Store`."""
        with _translated("syncing"):
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


def open_folder(root: Path) -> FolderStore:
    """Open the folder `root`; it is made if it is not there.

    Raises:
        StoreUnavailableError: It cannot be made.
    """
    with _translated(f"making {root}"):
        root.mkdir(parents=True, exist_ok=True)
    return FolderStore(root)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _translated(doing: str) -> Iterator[None]:
    """Raise `StoreUnavailableError` in place of the operating system's errors (no room, I/O error, not there)."""
    try:
        yield
    except FileNotFoundError as error:
        raise GoneError(f"{doing}: {error}") from error
    except OSError as error:
        raise StoreUnavailableError(f"{doing}: {error}") from error
