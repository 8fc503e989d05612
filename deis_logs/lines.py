"""What the logger sends: lines of history, events of a follow, the list of apps; and how it is decoded."""

from typing import Final, TypeAlias

import msgspec

from deis_logs.errors import ServerError


class Line(msgspec.Struct, gc=False, omit_defaults=True):
    """One row of the logger's answer; fields and their order are those of `docs/api.md`.

    Attributes:
        raw: The bytes of the line when they are not UTF-8, else `None`.
        context: Whether the line is there only as context of a match.
    """

    app: str
    time: str
    process: str
    release: str
    pod: str
    container: str
    node: str
    stream: str
    message: str
    source: str
    ordinal: int
    offset: int
    continuation: int
    raw: bytes | None = None
    context: bool = False

    @property
    def content(self) -> bytes:
        """The line as its container wrote it, without the newline."""
        return self.message.encode("utf-8", "surrogatepass") if self.raw is None else self.raw


class LineEvent(Line, gc=False, omit_defaults=True, tag_field="type", tag="line"):
    """A line of a follow, with the cursor that goes on after it."""

    cursor: str = ""


class Watermark(msgspec.Struct, gc=False, tag_field="type", tag="watermark"):
    """Every line written before `complete_up_to` has been sent; `None` while unknown."""

    complete_up_to: str | None = None
    cursor: str = ""


class End(msgspec.Struct, gc=False, tag_field="type", tag="end"):
    """The logger ends this stream; the cursor of the last line goes on in another one."""

    reason: str = ""
    cursor: str = ""


Event: TypeAlias = LineEvent | Watermark | End


class App(msgspec.Struct):
    """One app that the token may read."""

    app: str
    first_time: str | None = None
    last_time: str | None = None
    lines: int | None = None


class Apps(msgspec.Struct):
    """The answer of `GET /v1/apps`."""

    apps: list[App]


class _Kind(msgspec.Struct):
    type: str


_line_decoder = msgspec.json.Decoder(Line)
_event_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_kind_decoder = msgspec.json.Decoder(_Kind)
_apps_decoder = msgspec.json.Decoder(Apps)
_encoder = msgspec.json.Encoder()

_KNOWN: Final = frozenset({"line", "watermark", "end"})
_EVENT_PREFIX: Final = b'{"type":"line",'  # how this module's own encoder starts a LineEvent


def decode_lines(block: bytes) -> list[Line]:
    """Decode newline-delimited lines of history.

    Raises:
        ServerError: The block is something else.
    """
    try:
        return _line_decoder.decode_lines(block)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _not_understood(error) from error


def decode_events(block: bytes) -> list[Event]:
    """Decode newline-delimited events of a follow; events of kinds unknown here are left out.

    Raises:
        ServerError: The block is something else.
    """
    try:
        return _event_decoder.decode_lines(block)
    except msgspec.ValidationError:
        return [event for row in block.splitlines() if row.strip() and (event := _decode_event(row)) is not None]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _not_understood(error) from error


def _decode_event(row: bytes) -> Event | None:
    try:
        if _kind_decoder.decode(row).type not in _KNOWN:
            return None
        return _event_decoder.decode(row)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _not_understood(error) from error


def decode_apps(body: bytes) -> list[App]:
    """Decode the answer of `GET /v1/apps`.

    Raises:
        ServerError: The body is something else.
    """
    try:
        return _apps_decoder.decode(body).apps
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _not_understood(error) from error


def encode_line(line: Line) -> bytes:
    """Encode a line as `docs/api.md` describes it, without what belongs to a follow."""
    if isinstance(line, LineEvent):
        cursor, line.cursor = line.cursor, ""
        data = _encoder.encode(line)
        line.cursor = cursor
        return b"{" + data[len(_EVENT_PREFIX) :]
    return _encoder.encode(line)


def _not_understood(error: Exception) -> ServerError:
    return ServerError(f"the answer is not that of a logger ({error}): check --url")
