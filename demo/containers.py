"""One container's log files, written as containerd does and rotated as kubelet does.

`<root>/<namespace>_<pod>_<uid>/<container>/<restart>.log`. containerd stores a line of more than 16 KiB as pieces
(`P` ... `F`), each with a time of its own, and at the end of a container an unfinished line as a last `P`. kubelet
removes the oldest rotated files, compresses the others (`.tmp`, then rename, then remove), renames the live file to
`<restart>.log.<time>`, and has containerd reopen it: the newest rotated file is plain until the next rotation.

Source: containerd, internal/cri/io/logger.go (`redirectLogs`); kubelet, pkg/kubelet/logs/container_log_manager.go.
"""

import gzip
import io
import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from pipeline.cri import STDOUT, format_line, format_time

PIECE_BYTES: Final = 16 * 1024
"""containerd's `max_container_log_line_size`: most content of one stored line."""

ROTATE_BYTES: Final = 10 * 1024 * 1024
"""kubelet's `containerLogMaxSize`."""

KEEP_FILES: Final = 5
"""kubelet's `containerLogMaxFiles`, the live one included."""


@dataclass(frozen=True, slots=True)
class Container:
    """A container of a pod, as the log folder's name states it."""

    namespace: str
    pod: str
    uid: str
    name: str

    def folder(self, root: Path) -> Path:
        """Where its log files are, below kubelet's folder of pod logs."""
        return root / f"{self.namespace}_{self.pod}_{self.uid}" / self.name


class ContainerLog:
    """The log files of one container, over its restarts.

    Args:
        root: kubelet's folder of pod logs.
        container: Whose log it is.
        restart: Number of the run to write first.
        rotate_bytes: The live file is rotated once it has this many bytes; 0 for only when asked.
        keep_files: How many files of a run are kept, the live one included.
    """

    def __init__(
        self,
        root: Path,
        container: Container,
        *,
        restart: int = 0,
        rotate_bytes: int = ROTATE_BYTES,
        keep_files: int = KEEP_FILES,
    ) -> None:
        self.container = container
        self.folder = container.folder(root)
        self._restart = restart
        self._rotate_bytes = rotate_bytes
        self._keep_files = keep_files
        self._rotation_due = False
        self._last_rotation = datetime.min.replace(tzinfo=UTC)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._file = self._open()

    @property
    def path(self) -> Path:
        """The live file."""
        return self.folder / f"{self._restart}.log"

    def _open(self) -> io.FileIO:
        return io.FileIO(self.path, "ab")

    def write(self, content: bytes, *, stream: int = STDOUT) -> None:
        """Write what a container wrote up to a newline; the newline is not part of `content`."""
        *pieces, last = _pieces(content)
        for piece in pieces:
            self._append(format_line(format_time(time.time_ns()), stream, piece, partial=True))
        self._append(format_line(format_time(time.time_ns()), stream, last))

    def write_unfinished(self, content: bytes, *, stream: int = STDOUT) -> None:
        """Write what a container wrote without a newline before it ended: nothing but `P` pieces."""
        for piece in _pieces(content):
            self._append(format_line(format_time(time.time_ns()), stream, piece, partial=True))

    def write_stored(self, data: bytes) -> None:
        """Append bytes as they are, which may be anything: lines already in the runtime's format, or harm."""
        self._append(data)

    def rotate_soon(self) -> None:
        """Rotate after the next stored line: kubelet does not wait for the end of a line that is in pieces."""
        self._rotation_due = True

    def _append(self, data: bytes) -> None:
        self._file.write(data)
        full = self._rotate_bytes and self._file.tell() >= self._rotate_bytes
        if full or self._rotation_due:
            self.rotate()

    def rotate(self) -> None:
        """Rotate as kubelet does: drop the oldest, compress the others, rename the live file, open a new one."""
        self._rotation_due = False
        rotated = self.rotated()
        excess = max(0, len(rotated) - (self._keep_files - 2))
        for path in rotated[:excess]:
            path.unlink()
        for path in rotated[excess:]:
            if path.suffix != ".gz":
                _compress(path)
        self.path.rename(self.folder / f"{self.path.name}.{self._rotation_time()}")
        self._file.close()
        self._file = self._open()

    def rotated(self) -> list[Path]:
        """Rotated files of this run, oldest first."""
        return sorted(path for path in self.folder.glob(f"{self.path.name}.*") if path.suffix != ".tmp")

    def _rotation_time(self) -> str:
        # kubelet looks every 10 s; here rotations may come faster than the seconds that name them.
        moment = max(datetime.now(UTC).replace(microsecond=0), self._last_rotation)
        while list(self.folder.glob(f"{self.path.name}.{moment:%Y%m%d-%H%M%S}*")):
            moment += timedelta(seconds=1)
        self._last_rotation = moment
        return f"{moment:%Y%m%d-%H%M%S}"

    def copytruncate(self) -> None:
        """Rotate as logrotate's `copytruncate` does: copy the live file, then empty it in place."""
        shutil.copyfile(self.path, self.folder / f"{self.path.name}.{self._rotation_time()}")
        self._file.truncate(0)

    def restart(self) -> None:
        """End this run of the container and begin the next one."""
        self._file.close()
        self._restart += 1
        self._file = self._open()

    def close(self) -> None:
        """Close the live file."""
        self._file.close()


def next_restart(folder: Path) -> int:
    """Number of the run that follows those whose files are in a container's log folder; 0 when there are none."""
    numbers = [int(path.name.split(".", 1)[0]) for path in folder.glob("[0-9]*.log*")]
    return max(numbers, default=-1) + 1


def remove_dead_runs(folder: Path, *, before: int) -> None:
    """Remove the files of runs below `before`, as kubelet does for all but the last dead container."""
    for path in folder.glob("[0-9]*.log*"):
        if int(path.name.split(".", 1)[0]) < before:
            path.unlink()


def _pieces(content: bytes) -> list[bytes]:
    return [content[start : start + PIECE_BYTES] for start in range(0, len(content), PIECE_BYTES)] or [b""]


def _compress(path: Path) -> None:
    temporary = path.with_name(f"{path.name}.tmp")
    with path.open("rb") as plain, gzip.open(temporary, "wb", compresslevel=6) as compressed:
        shutil.copyfileobj(plain, compressed)
    temporary.rename(path.with_name(f"{path.name}.gz"))
    path.unlink()
