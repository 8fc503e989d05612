"""Messages that came together, as lines in the runtime's format, by app and process.

A line is what the host's own log would show: `host program[123]: text`, with MSGID and structured data before the text
where a message has them. Errors and worse go to the stream `stderr`. What is no message is kept as it came.
"""

from collections.abc import Iterable
from datetime import tzinfo
from typing import Final

from fluentd.inputs.intake import Lines
from fluentd.inputs.lines import cri_lines
from fluentd.syslog.message import Message, Time, parse_message
from fluentd.syslog.metrics import SyslogMetrics
from fluentd.syslog.naming import Naming
from pipeline.cri import STDERR, STDOUT

_ERROR: Final = 3
_TRAILERS: Final = b"\r\n\0"


class Batcher:
    """See the module.

    Args:
        naming: Whose lines they are.
        zone: Of times that state none.
        metrics: Of this input.
    """

    def __init__(self, *, naming: Naming, zone: tzinfo, metrics: SyslogMetrics) -> None:
        self._naming, self._zone, self._metrics = naming, zone, metrics

    def lines(self, messages: Iterable[bytes], *, now_ns: int) -> list[Lines]:
        """Make lines, those of one app and process together, in the order of the messages.

        Args:
            messages: Without framing.
            now_ns: When they came, nanoseconds since the epoch.
        """
        found: dict[tuple[str, str], list[bytes]] = {}
        for one in messages:
            content = one.rstrip(_TRAILERS)
            if not content:
                self._metrics.odd("empty")
                continue
            message = parse_message(content, now_ns=now_ns, zone=self._zone)
            found.setdefault(self._naming.whose(message), []).append(self._line(message, content, now_ns))
        return [Lines(app, process, b"".join(data), len(data)) for (app, process), data in found.items()]

    def _line(self, message: Message | None, content: bytes, now_ns: int) -> bytes:
        if message is None:
            self._metrics.odd("format")
            return cri_lines(now_ns, content)
        if message.time is Time.WRONG:
            self._metrics.odd("time")
        stream = STDERR if message.severity <= _ERROR else STDOUT
        return cri_lines(message.time_ns, _told(message), stream=stream)


def _told(message: Message) -> bytes:
    """A message as one text."""
    process = b"[%s]" % message.process if message.process else b""
    program = b"%s%s:" % (message.name, process) if message.name or process else b""
    parts = (message.host, program, message.kind, message.data, message.text)
    return b" ".join([part for part in parts if part])
