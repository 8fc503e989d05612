"""Where objects are kept: the seam between what is written down and the storage below it.

A store holds named objects: data files, the Delta log's entries, and small objects under `_state/`. An object is
written once, whole and durable, and never changed. `pipeline.store.folder` keeps them on a local disk,
`pipeline.store.bucket` in an
S3-compatible bucket; nothing else knows the difference.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import SplitResult, unquote, urlsplit

import pyarrow as pa

from pipeline.errors import SettingsError, StoreUnavailableError
from pipeline.names import TABLE_DIRECTORY

TEMPORARY_SUFFIX: Final = ".tmp"
"""Of an object not yet whole; what a crash leaves of it is swept with the orphans."""

Span = tuple[int, int]
"""Bytes `[start, stop)` of an object."""


class GoneError(StoreUnavailableError):
    """There is no object of that name (any more)."""


@dataclass(frozen=True, slots=True)
class ObjectFact:
    """One object as a listing shows it.

    Attributes:
        name: Relative to the store, with `/`.
        modified_ms: When it was written, milliseconds since the epoch.
    """

    name: str
    modified_ms: int


class Store(Protocol):
    """Where a table lies. Methods block, and are safe to call from many threads.

    All of them raise `StoreUnavailableError` when the storage fails, does not answer in time, or has no room.
    """

    @property
    def uri(self) -> str:
        """What deltalake opens."""

    @property
    def options(self) -> Mapping[str, str]:
        """How deltalake opens it."""

    @property
    def readers(self) -> int:
        """How many small objects are best read at a time: one on a disk, many where each costs a round trip."""

    @property
    def may_tear(self) -> bool:
        """Whether a power failure can leave an object of deltalake's that is not whole."""

    def put(self, name: str, data: bytes) -> None:
        """Write a new object, durably.

        Raises:
            FileExistsError: Another one is there already, and is left as it is.
        """

    def writing(self, name: str) -> AbstractContextManager[pa.NativeFile]:
        """Write a new object as a stream; it is durable after the block, and not there when the block fails."""

    def reading(self, name: str, spans: Sequence[Span] | None = None) -> pa.NativeFile:
        """Open an object for reading.

        Args:
            name: Of the object.
            spans: What will be read of it; `None` for all.

        Raises:
            GoneError: It is not there.
        """

    def tail(self, name: str, *, size_bytes: int, count: int) -> bytes:
        """Read the last `count` bytes, or all that there are, of an object of `size_bytes`.

        Raises:
            GoneError: It is not there.
        """

    def get(self, name: str) -> bytes | None:
        """An object's bytes; `None` when there is none of that name."""

    def folders(self, prefix: str) -> list[str]:
        """Names of the folders right below the root that begin with `prefix`, sorted."""

    def objects(self, folder: str) -> list[ObjectFact]:
        """The objects right below `folder`, sorted by name; empty when there is no such folder."""

    def delete(self, name: str) -> None:
        """Delete an object, if it is there."""

    def drop_folder(self, folder: str) -> None:
        """Take away an empty folder; one that is in use, or not there, is left."""

    def set_aside(self, name: str, suffix: str) -> None:
        """Rename an object that cannot be read, so that a person can look at it."""

    def sync(self, names: Sequence[str]) -> None:
        """Make objects durable that something else wrote; one that is no longer there is passed over."""


def open_store(url: str, *, directory: str = TABLE_DIRECTORY, cache: Path | None = None, cache_bytes: int = 0) -> Store:
    """Open a place in the store that `url` names.

    Args:
        url: A folder's path or `file:///path`, which is made if it is not there; or `s3://bucket/prefix`.
        directory: The place, below what `url` names; the table's by default.
        cache: Folder for the cache of a bucket's objects; `None` for no cache.
        cache_bytes: Most bytes that the cache takes.

    Raises:
        SettingsError: The URL is of a kind that is not supported, or its bucket is not described well enough.
        StoreUnavailableError: The folder cannot be made.
    """
    parts = urlsplit(url)
    if parts.scheme == "s3":
        return _open_bucket(url, parts, directory=directory, cache=cache, cache_bytes=cache_bytes)
    from pipeline.store.folder import open_folder  # noqa: PLC0415 - it imports this module

    if not url or (parts.scheme not in {"", "file"}) or (parts.scheme == "file" and parts.netloc):
        raise SettingsError(f"STORE_URL={url!r}: allowed are a folder's path, file:///path and s3://bucket/prefix")
    return open_folder(Path(unquote(parts.path) if parts.scheme == "file" else url).absolute() / directory)


def _open_bucket(url: str, parts: SplitResult, *, directory: str, cache: Path | None, cache_bytes: int) -> Store:
    from pipeline.store.bucket import open_bucket  # noqa: PLC0415 - a logger with a folder need not load the client
    from pipeline.store.diskcache import DiskCache  # noqa: PLC0415 - same

    if "@" in parts.netloc:  # not shown: it is a secret
        raise SettingsError("STORE_URL: credentials belong into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    prefix = parts.path.strip("/")
    if not parts.netloc or parts.query or parts.fragment or "//" in prefix:
        raise SettingsError(f"STORE_URL={url!r}: a bucket is named as s3://bucket/prefix")
    try:
        kept = DiskCache(cache, limit_bytes=cache_bytes) if cache is not None and cache_bytes > 0 else None
    except OSError as error:
        raise SettingsError(f"LOGGER_CACHE={str(cache)!r}: {error}") from error
    return open_bucket(parts.netloc, f"{prefix}/{directory}".strip("/"), cache=kept)
