"""What is known of pods, kept on disk: an agent that starts while the API server is away knows what it knew.

The file is a hint, not a record: it is written some seconds after a change, and one that cannot be read is passed over.
Version 1: a byte 0x01, then msgpack of an array of `Kept`.
"""

import asyncio
import threading
from pathlib import Path
from typing import Final

import msgspec
import structlog

from fluentd.kubernetes.pods import KnownPod, KnownPods, PodKey
from pipeline.limits import MIB
from pipeline.names import PODS_FILE, PODS_MAGIC

log = structlog.get_logger()

PODS_FILE_BYTES: Final = 16 * MIB
"""A longer file is not read: a node has hundreds of pods, and each takes some hundred bytes."""

_INTERVAL_SECONDS: Final = 2.0


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """One pod."""

    key: PodKey
    pod: KnownPod


class PodMemory:
    """See the module.

    Args:
        folder: Where the file is; it need not be there yet.
        known: What is kept, and given back at once.
    """

    def __init__(self, folder: Path, known: KnownPods) -> None:
        self._path, self._known = folder / PODS_FILE, known
        self._partial = self._path.with_suffix(".partial")
        self._writing = threading.Lock()  # a write goes on in its thread when its task is cancelled
        self._saved = known.changes
        known.restore({one.key: one.pod for one in _read(self._path)})

    async def run(self) -> None:
        """Write what changed from time to time, until cancelled; then once more."""
        try:
            while True:
                await asyncio.sleep(_INTERVAL_SECONDS)
                if (text := self._news()) is not None:
                    await asyncio.to_thread(self._write, text)
        finally:
            if (text := self._news()) is not None:
                self._write(text)

    def _news(self) -> bytes | None:
        """The file's new content, `None` if it has not changed."""
        if self._known.changes == self._saved:
            return None
        self._saved = self._known.changes
        return PODS_MAGIC + msgspec.msgpack.encode([Kept(key, pod) for key, pod in self._known.snapshot().items()])

    def _write(self, text: bytes) -> None:
        """Replace the file. A disk that is full costs no line: the next change tries again."""
        try:
            with self._writing:
                self._partial.write_bytes(text)
                self._partial.replace(self._path)
        except OSError as error:
            log.warning("cannot keep what is known of pods", path=str(self._path), error=str(error))


def _read(path: Path) -> list[Kept]:
    try:
        with path.open("rb") as file:
            text = file.read(PODS_FILE_BYTES + 1)
        return _decode(text)
    except FileNotFoundError:
        return []
    except (OSError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        log.warning("what was known of pods cannot be read, and is asked for again", path=str(path), error=str(error))
        return []


def _decode(text: bytes) -> list[Kept]:
    if not text.startswith(PODS_MAGIC) or len(text) > PODS_FILE_BYTES:
        raise ValueError("no file of version 1")
    return msgspec.msgpack.decode(text[len(PODS_MAGIC) :], type=list[Kept])
