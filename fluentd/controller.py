r"""Whose line of the Deis controller's log it is: what the controller says about an app belongs to that app's log.

The controller writes `LEVEL [app]: text` about deploys, scaling and the like; a text of several lines has the app on
its first line only. This module says, for bytes of the controller's log, where the app changes. It is pure and looks at
one line at a time; only the controller's own source pays for it.

* A line that begins with a level and `[app]:` is about that app.
* A line that begins another way in which the controller begins a line (a level alone, gunicorn's
  `[time] [pid] [LEVEL]`, an access line) is the platform's own.
* Any other line goes on with the message before it in its stream, if it comes soon after it and the message is not too
  long already; else it is the platform's own.
* Pieces of one line (tag `P`) stay together: what looks like a beginning inside a line is content.

Source: deis/controller, `api.models.app.App.log` and its logging settings.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from pipeline.chunk import AppId
from pipeline.cri import parse_header

PLATFORM: Final = AppId("")
"""In place of an app: the line is the platform's own."""

MESSAGE_LINES: Final = 1_000
"""Most lines of one message; what follows is the platform's own: a stack trace has hundreds at most."""

MESSAGE_GAP_NS: Final = 1_000_000_000
"""Most time between two lines of one message, which is one write: what comes later was not said about the app."""

_HEAD_BYTES: Final = 512  # of a line's content: a level and an app are in the first 100
_PARSED_BYTES: Final = _HEAD_BYTES + 128  # with the runtime's header before it
_ABOUT = re.compile(rb"(?:INFO|WARN|WARNING|DEBUG|ERROR|CRITICAL)\s{1,16}\[([a-z][a-z0-9-]{0,62})\]:")
_OWN = re.compile(
    rb"(?:INFO|WARN|WARNING|DEBUG|ERROR|CRITICAL)(?:\s|$)"
    rb"|\[[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8} [+-][0-9]{4}\] \[[0-9]{1,10}\] \["
    rb'|[0-9A-Fa-f.:]{2,45} (?:\S{1,64} ){0,3}(?:\[[^]]{1,64}\] )?"[A-Z]{3,10} '
)


class Voice(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one stream of the controller last spoke of.

    Attributes:
        app: Whose its last line was.
        lines: How many lines the message has so far, 0 before the first.
        time_ns: Time of the last line.
        partial: Whether the last line goes on in the next of this stream.
    """

    app: AppId = PLATFORM
    lines: int = 0
    time_ns: int = 0
    partial: bool = False


class Voices(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What is to be known of the log before a position. The checkpoint keeps it: version 1.

    Attributes:
        streams: Of `STDOUT` and `STDERR`.
        open_app: Whose the last line was; it may go on.
    """

    streams: tuple[Voice, Voice] = (Voice(), Voice())
    open_app: AppId = PLATFORM


class Segment(NamedTuple):
    """Consecutive lines that belong to one app.

    Attributes:
        app: Whose they are, or `PLATFORM`.
        first_line: Index of the first of them.
        voices: After the last of them.
    """

    app: AppId
    first_line: int
    voices: Voices


def app_of_header(content: bytes) -> AppId | None:
    """Whom a line is about that begins like this; `PLATFORM` for one of the platform's own; `None` if it goes on."""
    about = _ABOUT.match(content)
    if about is not None:
        return AppId(about[1].decode())
    return PLATFORM if _OWN.match(content) else None


def segments(lines: list[bytes], voices: Voices, *, mid_line: bool) -> Iterator[Segment]:
    """Find where the app changes; at least one segment.

    Args:
        lines: Lines in the runtime's format without their newlines; the last one may be the beginning of one.
        voices: Before the first of them.
        mid_line: Whether the first of them began before.
    """
    app, first_line = voices.open_app, 0
    for index, line in enumerate(lines):
        after = voices if mid_line and index == 0 else _hear(voices, line)
        if index and after.open_app != app:
            yield Segment(app, first_line, voices)
            first_line = index
        app, voices = after.open_app, after
    yield Segment(app, first_line, voices)


def _hear(voices: Voices, line: bytes) -> Voices:
    """The voices after `line`, whose app is then `open_app`."""
    header = parse_header(line[:_PARSED_BYTES])
    if header is None:
        return Voices(voices.streams, PLATFORM)
    content = line[header.content_start : header.content_start + _HEAD_BYTES]
    streams = list(voices.streams)
    heard = _next_voice(streams[header.stream], content, header.time_ns)
    streams[header.stream] = Voice(heard.app, heard.lines, header.time_ns, header.partial)
    return Voices((streams[0], streams[1]), heard.app)


def _next_voice(voice: Voice, content: bytes, time_ns: int) -> Voice:
    if voice.partial:
        return voice
    app = app_of_header(content)
    if app is not None:
        return Voice(app, 1)
    if voice.lines < MESSAGE_LINES and abs(time_ns - voice.time_ns) <= MESSAGE_GAP_NS:
        return Voice(voice.app, voice.lines + 1)
    return Voice()
