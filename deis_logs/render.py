"""Lines to bytes: text for people, JSON and CSV for programs, raw for whoever wants exactly what was written.

A line over 1 MiB comes in rows that follow each other. Text and raw put them together, so the newline after a row is
written only when the next row, or `close`, shows that the line has ended there.
"""

import csv
import io
import zlib
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Final, Protocol

from deis_logs.lines import Line, encode_line
from deis_logs.safe import visible, visible_json
from pipeline.limits import LINE_BYTES
from pipeline.names import CONTROLLER_PROCESS

OpenLine = tuple[str, int, int]
"""The row after which no newline stands yet: its source, offset and continuation."""

_PALETTE: Final = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)  # no red: it would look like an error
_LABELS: Final = 10_000  # labels remembered; more pods than that in one run start afresh
_TIME_CHARACTERS: Final = 30  # 2026-11-24T12:00:00.123456789Z
_MICROSECONDS: Final = 26
_DIM: Final = "\x1b[2m"
_RESET: Final = "\x1b[0m"


class Output(StrEnum):
    """Formats of `tail` and `search`."""

    TEXT = "text"
    JSON = "json"
    RAW = "raw"


class ExportOutput(StrEnum):
    """Formats of `export`."""

    TEXT = "text"
    JSON = "json"
    RAW = "raw"
    CSV = "csv"


class Renderer(Protocol):
    """Turns lines into bytes; remembers only whether the last line is still open."""

    open_line: OpenLine | None
    """Set to go on where another renderer stopped."""

    def header(self) -> bytes:
        """Return what stands before the first line."""

    def render(self, lines: Sequence[Line]) -> bytes:
        """Return the bytes of `lines`."""

    def close(self) -> bytes:
        """Return what ends the open line."""


class TextRenderer:
    """`2026-11-24T12:00:00.123456Z web.x7k2p | message`; a line of context has `-` in place of `|`.

    Args:
        colour: Whether to colour the label by process and pod.
        highlight: Gets a message as it is; returns it safe, with its matches marked. `None`: only made safe.
    """

    def __init__(self, *, colour: bool = False, highlight: Callable[[str], str] | None = None) -> None:
        self.open_line: OpenLine | None = None
        self._colour = colour
        self._show = highlight or visible
        self._labels: dict[tuple[str, str, str, bool], str] = {}
        self._shades: dict[str, int] = {}

    def header(self) -> bytes:
        """Nothing."""
        return b""

    def render(self, lines: Sequence[Line]) -> bytes:
        """See `Renderer.render`."""
        texts = [""] if self.open_line else []
        last = self.open_line
        show, labels = self._show, self._labels
        for line in lines:
            if line.continuation and _continues(last, line):
                texts[-1] += show(line.message)
            else:
                key = (line.process, line.pod, line.container, line.context)
                label = labels.get(key) or self._label(key)
                texts.append(f"{self._time(line.time)} {label} {show(line.message)}")
            last = (line.source, line.offset, line.continuation)
        self.open_line = last
        return "\n".join(texts).encode("utf-8", "backslashreplace")

    def close(self) -> bytes:
        """See `Renderer.close`."""
        return _close(self)

    def _time(self, time: str) -> str:
        short = f"{time[:_MICROSECONDS]}Z" if len(time) == _TIME_CHARACTERS else time
        return f"{_DIM}{visible(short)}{_RESET}" if self._colour else visible(short)

    def _label(self, key: tuple[str, str, str, bool]) -> str:
        if len(self._labels) >= _LABELS:
            self._labels.clear()
            self._shades.clear()
        process, pod, container, context = key
        label = visible(label_of(process=process, pod=pod, container=container))
        if self._colour:
            label = f"\x1b[{self._shade(f'{process} {pod}')}m{label}{_RESET}"
        label += " -" if context else " |"
        self._labels[key] = label
        return label

    def _shade(self, writer: str) -> int:
        """Choose a writer's colour: that of its name's hash, or the next one that nobody has yet."""
        if writer not in self._shades:
            first = zlib.crc32(writer.encode("utf-8", "replace")) % len(_PALETTE)
            shades = _PALETTE[first:] + _PALETTE[:first]
            taken = set(self._shades.values())
            self._shades[writer] = next((shade for shade in shades if shade not in taken), shades[0])
        return self._shades[writer]


def label_of(*, process: str, pod: str, container: str) -> str:
    """Name a line's writer briefly: `web.x7k2p`; a container that is not the process's own is added: `web.x7k2p/proxy`.

    Without a process it is `pod/container`; what the controller says about an app is `deis[controller]`, as users of
    Deis know it.
    """
    if process == CONTROLLER_PROCESS:
        return "deis[controller]"
    if not process:
        return f"{pod}/{container}"
    label = f"{process}.{pod.rpartition('-')[2]}"
    return label if container == process or container.endswith(f"-{process}") else f"{label}/{container}"


class RawRenderer:
    """Each line's bytes and a newline: what the container wrote."""

    def __init__(self) -> None:
        self.open_line: OpenLine | None = None

    def header(self) -> bytes:
        """Nothing."""
        return b""

    def render(self, lines: Sequence[Line]) -> bytes:
        """See `Renderer.render`."""
        contents: list[bytes] = []
        last = self.open_line
        for line in lines:
            if last is not None and not (line.continuation and _continues(last, line)):
                contents.append(b"\n")
            contents.append(line.content)
            last = (line.source, line.offset, line.continuation)
        self.open_line = last
        return b"".join(contents)

    def close(self) -> bytes:
        """See `Renderer.close`."""
        return _close(self)


class JsonRenderer:
    """One object a line, as the logger gives it; control characters escaped, which changes no value."""

    def __init__(self) -> None:
        self.open_line: OpenLine | None = None

    def header(self) -> bytes:
        """Nothing."""
        return b""

    def render(self, lines: Sequence[Line]) -> bytes:
        """See `Renderer.render`; each row is an object of its own."""
        if not lines:
            return b""
        return visible_json(b"\n".join(map(encode_line, lines)) + b"\n")

    def close(self) -> bytes:
        """Nothing: no row is left open."""
        return b""


class CsvRenderer:
    """A table with a header (RFC 4180), each row a line; control characters made visible as in text."""

    COLUMNS: Final = (
        *("app", "time", "process", "release", "pod", "container", "node", "stream"),
        *("message", "source", "ordinal", "offset", "continuation"),
    )

    def __init__(self) -> None:
        self.open_line: OpenLine | None = None

    def header(self) -> bytes:
        """Return the names of the columns."""
        return ",".join(self.COLUMNS).encode() + b"\r\n"

    def render(self, lines: Sequence[Line]) -> bytes:
        """See `Renderer.render`."""
        table = io.StringIO(newline="")
        csv.writer(table).writerows([_cell(getattr(line, name)) for name in self.COLUMNS] for line in lines)
        return table.getvalue().encode("utf-8", "backslashreplace")

    def close(self) -> bytes:
        """Nothing: no row is left open."""
        return b""


def is_cut(renderer: Renderer, line: Line) -> bool:
    """Whether `line`, the last one rendered, may well go on in a row to come: it is open, and as long as rows get."""
    return renderer.open_line is not None and len(line.message) >= LINE_BYTES // 8  # a character has up to 4 bytes


def _continues(last: OpenLine | None, line: Line) -> bool:
    return last is not None and last == (line.source, line.offset, line.continuation - 1)


def _close(renderer: Renderer) -> bytes:
    was_open, renderer.open_line = renderer.open_line, None
    return b"\n" if was_open else b""


def _cell(value: str | int) -> str | int:
    return visible(value) if isinstance(value, str) else value


def make_renderer(output: str, *, colour: bool = False, highlight: Callable[[str], str] | None = None) -> Renderer:
    """Make the renderer of a format; `colour` and `highlight` matter to text only."""
    if output == "text":
        return TextRenderer(colour=colour, highlight=highlight)
    kinds: dict[str, type[JsonRenderer | RawRenderer | CsvRenderer]]
    kinds = {"json": JsonRenderer, "raw": RawRenderer, "csv": CsvRenderer}
    return kinds[output]()
