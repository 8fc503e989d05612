"""A table's place in an S3-compatible bucket; see `pipeline.store.Store`, which says what the methods do.

Endpoint, region, credentials and whether plain HTTP is allowed are the client library's own affair: it reads the usual
AWS variables, and gives a request 30 s and a connection 5 s unless they say otherwise.

A new object is put only if there is none of its name (`If-None-Match: *`), which is what the Delta log's order rests
on. A put whose answer was lost is repeated, by the client library or by our callers, and then finds itself there. So an
object that is there with the very bytes that were to be put counts as put.
"""

import contextlib
import mmap
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import obstore
import pyarrow as pa
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store

from pipeline.errors import FormatError, SettingsError, StoreUnavailableError
from pipeline.limits import MIB
from pipeline.store import GoneError, ObjectFact, Span
from pipeline.store.diskcache import DiskCache

if TYPE_CHECKING:  # not there at run time
    from obstore.store import RetryConfig

RETRIES: Final = 4
RETRY_SECONDS: Final = 20
"""No retry begins later than this: callers back off by themselves, and count and show that the storage is away."""

MULTIPART_BYTES: Final = 64 * MIB
"""Larger objects are sent in parts. One request leaves nothing behind when it fails, parts have to be swept."""

READERS: Final = 16

_FIRST_BACKOFF_SECONDS: Final = 0.1
_MOST_BACKOFF_SECONDS: Final = 2.0
_NO_BUCKET: Final = "<Code>NoSuchBucket</Code>"
_COALESCED_BYTES: Final = 256 * 1024

_RETRY: "Final[RetryConfig]" = {
    "max_retries": RETRIES,
    "retry_timeout": timedelta(seconds=RETRY_SECONDS),
    "backoff": {
        "init_backoff": timedelta(seconds=_FIRST_BACKOFF_SECONDS),
        "max_backoff": timedelta(seconds=_MOST_BACKOFF_SECONDS),
        "base": 2,
    },
}
_DELTA_OPTIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "aws_conditional_put": "etag",
        "max_retries": str(RETRIES),
        "retry_timeout": f"{RETRY_SECONDS}s",
        "backoff_config.init_backoff": f"{int(_FIRST_BACKOFF_SECONDS * 1000)}ms",
        "backoff_config.max_backoff": f"{int(_MOST_BACKOFF_SECONDS * 1000)}ms",
    }
)


class BucketStore:
    """Objects below a prefix of a bucket.

    Args:
        client: Stands at the prefix.
        uri: `s3://bucket/prefix`.
        cache: Keeps what was read of data files; `None` for no cache.
    """

    def __init__(self, client: S3Store, uri: str, *, cache: DiskCache | None) -> None:
        self._client = client
        self._uri = uri
        self._cache = cache

    @property
    def uri(self) -> str:
        """See `Store`."""
        return self._uri

    @property
    def options(self) -> Mapping[str, str]:
        """See `Store`."""
        return _DELTA_OPTIONS

    @property
    def readers(self) -> int:
        """See `Store`."""
        return READERS

    @property
    def may_tear(self) -> bool:
        """See `Store`."""
        return False

    def put(self, name: str, data: bytes) -> None:
        """See `Store`."""
        with _translated(f"writing {name}"):
            try:
                obstore.put(self._client, name, data, mode="create", use_multipart=False)
            except AlreadyExistsError as error:
                if self.get(name) != data:
                    raise FileExistsError(name) from error

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[pa.NativeFile]:
        """See `Store`. The object is held in memory until it is whole: data files are bounded."""
        with _translated(f"writing {name}"):
            sink = pa.BufferOutputStream()
            yield sink
            data = memoryview(sink.getvalue()).cast("B")
            obstore.put(self._client, name, data, use_multipart=len(data) > MULTIPART_BYTES, chunk_size=16 * MIB)

    def reading(self, name: str, spans: Sequence[Span] | None = None) -> pa.NativeFile:
        """See `Store`."""
        if spans is None:
            data = self.get(name)
            if data is None:
                raise GoneError(f"reading {name}: it is not there")
            return pa.BufferReader(data)
        if not spans:
            return pa.BufferReader(b"")
        # What is not read stays an untouched page, which takes no memory.
        image = mmap.mmap(-1, max(stop for _, stop in spans))
        for (start, stop), data in zip(spans, self._read(name, spans), strict=True):
            image[start:stop] = data
        return pa.BufferReader(pa.py_buffer(image))

    def tail(self, name: str, *, size_bytes: int, count: int) -> bytes:
        """See `Store`."""
        return self._read(name, [(max(size_bytes - count, 0), size_bytes)])[0]

    def get(self, name: str) -> bytes | None:
        """See `Store`."""
        with _translated(f"reading {name}"):
            try:
                return obstore.get(self._client, name).bytes().to_bytes()
            except FileNotFoundError as error:
                if _NO_BUCKET in str(error):
                    raise
                return None

    def folders(self, prefix: str) -> list[str]:
        """See `Store`."""
        with _translated("listing"):
            found = obstore.list_with_delimiter(self._client)["common_prefixes"]
        names = (path.rstrip("/").rpartition("/")[2] for path in found)
        return sorted(name for name in names if name.startswith(prefix))

    def objects(self, folder: str) -> list[ObjectFact]:
        """See `Store`."""
        with _translated(f"listing {folder}"):
            found = obstore.list_with_delimiter(self._client, folder)["objects"]
        facts = [ObjectFact(meta["path"], int(meta["last_modified"].timestamp() * 1000)) for meta in found]
        return sorted(facts, key=lambda fact: fact.name)

    def delete(self, name: str) -> None:
        """See `Store`."""
        with _translated(f"deleting {name}"), contextlib.suppress(FileNotFoundError):
            obstore.delete(self._client, name)

    def drop_folder(self, folder: str) -> None:
        """See `Store`: a bucket has no folders."""

    def set_aside(self, name: str, suffix: str) -> None:
        """See `Store`."""
        with _translated(f"setting aside {name}"):
            obstore.rename(self._client, name, name + suffix)

    def sync(self, names: Sequence[str]) -> None:
        """See `Store`: what a bucket has answered is durable."""

    def _read(self, name: str, spans: Sequence[Span]) -> list[bytes]:
        found = {span: self._cached(name, span) for span in spans}
        missing = [span for span, data in found.items() if data is None]
        if missing:
            starts, ends = [start for start, _ in missing], [stop for _, stop in missing]
            with _translated(f"reading {name}"):
                try:
                    got = obstore.get_ranges(self._client, name, starts=starts, ends=ends, coalesce=_COALESCED_BYTES)
                except BaseError as error:
                    self._check_size(name, max(ends), error)
                    raise
            for span, part in zip(missing, got, strict=True):
                found[span] = self._kept(name, span, part.to_bytes())
        return [data for data in found.values() if data is not None]

    def _check_size(self, name: str, size_bytes: int, error: BaseError) -> None:
        """Tell an object that is cut short, which no repetition helps, from storage that fails."""
        found = obstore.head(self._client, name)["size"]
        if found < size_bytes:
            raise FormatError(f"{name} is damaged: {found} bytes are left of {size_bytes}") from error

    def _kept(self, name: str, span: Span, data: bytes) -> bytes:
        start, stop = span
        if len(data) != stop - start:
            raise FormatError(f"{name} is damaged: {len(data)} bytes in place of {stop - start}")
        if self._cache is not None:
            self._cache.keep((name, *span), data)
        return data

    def _cached(self, name: str, span: Span) -> bytes | None:
        return None if self._cache is None else self._cache.get((name, *span))


def open_bucket(bucket: str, prefix: str, *, cache: DiskCache | None) -> BucketStore:
    """Open a place in a bucket; whether it answers is seen at the first request.

    Raises:
        SettingsError: The AWS variables do not describe how to reach it.
    """
    uri = f"s3://{bucket}/{prefix}"
    try:
        client = S3Store(bucket, prefix=prefix, retry_config=_RETRY)
    except BaseError as error:
        raise SettingsError(f"STORE_URL={uri}: {_first_line(error)}") from error
    return BucketStore(client, uri, cache=cache)


@contextlib.contextmanager
def _translated(doing: str) -> Iterator[None]:
    """Raise `StoreUnavailableError` in place of the client library's errors."""
    try:
        yield
    except (FileNotFoundError, BaseError) as error:
        if _NO_BUCKET in str(error):  # else a table would read as empty, and files as lost, because of a typing error
            raise StoreUnavailableError(f"{doing}: there is no such bucket") from error
        if isinstance(error, FileNotFoundError):
            raise GoneError(f"{doing}: it is not there") from error
        raise StoreUnavailableError(f"{doing}: {_first_line(error)}") from error


def _first_line(error: BaseError) -> str:
    return str(error).partition("\n")[0]  # what follows is for the library's authors
