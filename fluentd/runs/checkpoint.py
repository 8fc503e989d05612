"""How far the queue has the bytes, on disk: what the agent needs to go on after a restart.

Format, version 1: one msgpack array, see `Checkpoint`. A write replaces the file as a whole: a temporary file, fsync,
rename, fsync of the folder; so there is always the old one or the new one.
"""

import fcntl
import os
from pathlib import Path
from typing import Self

import msgspec

from fluentd.files.source import Known
from pipeline.errors import FatalError, FormatError
from pipeline.failpoints import failpoint
from pipeline.names import CHECKPOINT_FILE

VERSION = 1
LOCK_FILE = "lock"


class KnownRun(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One run of one container.

    Attributes:
        namespace: See `pipeline.chunk.Origin`, as the next four.
        pod: Name of the pod.
        uid: Of the pod.
        container: Its name.
        restart: Restart number.
        partition: Where all of its bytes go.
        next_ordinal: What the next new source gets.
        sources: Its sources whose files may still be there.
    """

    namespace: str
    pod: str
    uid: str
    container: str
    restart: int
    partition: int
    next_ordinal: int
    sources: tuple[Known, ...]


class Checkpoint(msgspec.Struct, frozen=True, array_like=True):
    """All that the agent remembers.

    Attributes:
        version: Of this format.
        queue_id: The queue that has the bytes; see `pipeline.queue.Producer`.
        runs: In no order.
    """

    version: int
    queue_id: str
    runs: tuple[KnownRun, ...]


class _Versioned(msgspec.Struct, array_like=True):
    version: int


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Checkpoint)
_version_decoder = msgspec.msgpack.Decoder(_Versioned)


def encode(checkpoint: Checkpoint) -> bytes:
    """Encode a checkpoint."""
    return _encoder.encode(checkpoint)


def decode(data: bytes) -> Checkpoint:
    """Decode a checkpoint.

    Raises:
        FormatError: It is none, or one of another version.
    """
    try:
        version = _version_decoder.decode(data).version
        if version != VERSION:
            raise FormatError(f"version {version}, known is {VERSION}")
        return _decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise FormatError(f"no checkpoint: {error}") from error


class CheckpointFolder:
    """The agent's folder, held by one agent at a time. Blocking.

    Args:
        path: Made when it is not there.

    Raises:
        FatalError: Another agent holds it, or it cannot be made or written to.
    """

    def __init__(self, path: Path) -> None:
        self._file = path / CHECKPOINT_FILE
        self._temporary = path / f"{CHECKPOINT_FILE}.tmp"
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise FatalError(f"AGENT_STATE={path} is of no use: {error}") from error
        self._folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.close()
            raise FatalError(f"another agent uses {path} (AGENT_STATE)") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the folder."""
        os.close(self._lock)
        os.close(self._folder)

    def load(self) -> Checkpoint | None:
        """The last checkpoint written, `None` when there was none.

        Raises:
            FormatError: The file is damaged, or of another version; it names the file.
            OSError: It cannot be read.
        """
        try:
            return decode(self._file.read_bytes())
        except FileNotFoundError:
            return None
        except FormatError as error:
            hint = "without it every file is sent again from its start"
            raise FormatError(f"{self._file}: {error}; {hint}") from error

    def save(self, data: bytes) -> None:
        """Replace the checkpoint; the old one stays when it fails.

        Raises:
            OSError: No room, or the disk is broken.
        """
        descriptor = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            failpoint("agent.checkpoint.temp")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        failpoint("agent.checkpoint.fsync")
        os.rename(self._temporary, self._file)  # noqa: PTH104 - beside the os calls of the same few steps
        failpoint("agent.checkpoint.renamed")
        os.fsync(self._folder)
