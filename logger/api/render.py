"""Pages of lines in the formats of the interface, and times as answers have them."""

import functools
import io
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.csv

from logger.reading.follow import End, Event, Watermark
from logger.reading.hub import Lines
from logger.reading.lines import Line, format_times, integers, lines_of_table, own_values, taken, texts
from logger.reading.page import Page
from pipeline.names import CONTROLLER_PROCESS

NDJSON: Final = "application/x-ndjson"
TEXT: Final = "text/plain; charset=utf-8"
CSV: Final = "text/csv; charset=utf-8"
ARROW: Final = "application/vnd.apache.arrow.stream"
SSE: Final = "text/event-stream"

_encoder = msgspec.json.Encoder()
# The contract's own pattern, for what follows the last dash of a pod's name.
_POD_NAME = re.compile(r"(\w.*)-(\w.*)-(\w.*)-(\w.*)", re.ASCII)
_CONTROLLER_LINE = re.compile(rb"(INFO|WARN|WARNING|DEBUG|ERROR|CRITICAL)\s+\[([^\s\]]+)\]:(.*)", re.DOTALL)


def format_time(time_ns: int) -> str:
    """RFC 3339 in UTC with nine decimals."""
    return format_times(np.array([time_ns], dtype=np.int64))[0]


def partial_header(shards: Collection[int]) -> dict[str, str]:
    """The header of an answer that lacks the newest lines of some shards."""
    return {"Partial": f"shards {','.join(map(str, sorted(shards)))}"} if shards else {}


@functools.lru_cache(maxsize=4096)
def tag(process: str, release: str, pod: str) -> str:
    """What stands in brackets after the app: `web.v3.x7k2p`; the suffix is there if the pod's name has three dashes."""
    match = _POD_NAME.search(pod)
    return f"{process}.{release}.{match[4]}" if match else f"{process}.{release}"


def ndjson(page: Page) -> bytes:
    """One JSON object a line."""
    context = None if page.context is None else page.context.tolist()
    return _encoder.encode_lines(lines_of_table(page.table, context))


def arrow(page: Page) -> bytes:
    """An Arrow IPC stream of rows in `logger.rows.SCHEMA`, with a column `context` if context was asked for."""
    # A file's metadata and dictionaries have the names of all apps in it: they are none of this reader's business.
    table = own_values(page.table)
    if page.context is not None:
        table = table.append_column("context", pa.array(page.context))
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def csv(page: Page) -> bytes:
    """A header, then one record a row: the fields of ndjson, `raw` and `context` always."""
    lines = lines_of_table(page.table, [False] * page.table.num_rows if page.context is None else page.context.tolist())
    columns = {name: [getattr(line, name) for line in lines] for name in Line.__struct_fields__}
    schema = pa.schema([pa.field(name, _CSV_TYPES.get(name, pa.string())) for name in Line.__struct_fields__])
    sink = io.BytesIO()
    pyarrow.csv.write_csv(pa.table(columns, schema=schema), sink)
    return sink.getvalue()


_CSV_TYPES: Final = {
    "ordinal": pa.int32(),
    "offset": pa.int64(),
    "continuation": pa.int32(),
    "context": pa.bool_(),
}


def text(page: Page, *, goes_on: bool = False, descending: bool = False) -> bytes:
    """`{time} {app}[{tag}]: {message}` a line, the message as it was; the rows of a long line are put together.

    Args:
        page: The rows.
        goes_on: Whether the page before ended inside the line that this one begins with.
        descending: Whether the rows are newest first.
    """
    table = taken(page.table, np.arange(page.table.num_rows)[::-1]) if descending else page.table
    lines = joined_lines(table, format_times(integers(table["time_ns"])), app_line, goes_on=goes_on)
    if descending:
        lines.reverse()
    return b"\n".join(lines) + (b"" if page.cut_line or not lines else b"\n")


def contract_text(table: pa.Table) -> bytes:
    """Lines as deis/logger wrote them: times in seconds, with a numeric offset."""
    times = [_contract_time(time_ns) for time_ns in integers(table["time_ns"]).tolist()]
    lines = joined_lines(table, times, contract_line)
    return b"".join([line + b"\n" for line in lines])


@functools.lru_cache(maxsize=1024)
def _seconds(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")


def _contract_time(time_ns: int) -> str:
    return _seconds(time_ns // 1_000_000_000)


def app_line(time: str, app: str, process: str, tagged: str, message: bytes) -> bytes:
    """A line of an app, or of the controller about it, as it was."""
    if process == CONTROLLER_PROCESS:
        return f"{time} deis[controller]: ".encode() + message
    return f"{time} {app}[{tagged}]: ".encode() + message


def contract_line(time: str, app: str, process: str, tagged: str, message: bytes) -> bytes:
    """A line of an app, or what the controller says about one: of a message's first line the level and the text."""
    if process == CONTROLLER_PROCESS:
        said = _CONTROLLER_LINE.match(message)
        if said is not None and said[2] == app.encode():
            message = said[1] + b" " + said[3].strip()
    return app_line(time, app, process, tagged, message)


def joined_lines(
    table: pa.Table,
    times: Sequence[str],
    make: Callable[[str, str, str, str, bytes], bytes],
    *,
    goes_on: bool = False,
) -> list[bytes]:
    """One line for each line of `table`, whose rows are in reading order."""
    processes = texts(table["process"])
    tags = map(tag, processes, texts(table["release"]), texts(table["pod"]))
    rows = zip(times, texts(table["app"]), processes, tags, contents(table), strict=True)
    names = list(zip(texts(table["source"]), integers(table["offset"]).tolist(), strict=True))
    continued = (integers(table["continuation"]) > 0).tolist()
    lines: list[bytes] = []
    pieces: list[bytes] = []
    for number, row in enumerate(rows):
        if continued[number] and (names[number] == names[number - 1] if number else goes_on):
            pieces.append(row[-1])
            continue
        _close(lines, pieces)
        pieces = [make(*row)]
    _close(lines, pieces)
    return lines


def _close(lines: list[bytes], pieces: list[bytes]) -> None:
    if pieces:
        lines.append(pieces[0] if len(pieces) == 1 else b"".join(pieces))


def contents(table: pa.Table) -> Iterable[bytes]:
    """Each row's line as it was written."""
    messages: list[Any] = table["message"].cast(pa.binary()).to_pylist()
    if table["raw"].null_count == table.num_rows:
        return messages
    raws: list[Any] = table["raw"].to_pylist()
    return [message if raw is None else raw for message, raw in zip(messages, raws, strict=True)]


# --- a follow


def _with_cursors(lines: Lines) -> list[bytes]:
    """Each line's object with its type and cursor in front."""
    objects = map(_encoder.encode, lines.lines)
    return [
        b'{"type":"line","cursor":"' + token.encode() + b'",' + encoded[1:]
        for token, encoded in zip(lines.tokens, objects, strict=True)
    ]


def _ndjson_lines(lines: Lines) -> bytes:
    return b"".join([encoded + b"\n" for encoded in _with_cursors(lines)])


def _sse_lines(lines: Lines) -> bytes:
    return b"".join(
        [
            b"event: line\nid: " + token.encode() + b"\ndata: " + encoded + b"\n\n"
            for token, encoded in zip(lines.tokens, _with_cursors(lines), strict=True)
        ]
    )


_LINE_FORMS: Final[Mapping[str, Callable[[Lines], bytes]]] = MappingProxyType(
    {"ndjson": _ndjson_lines, "sse": _sse_lines}
)


def follow_event(event: Event, form: str) -> bytes:
    """An event of a follow as bytes of the stream; `form` is `ndjson` or `sse`."""
    match event:
        case Lines():
            return event.encoded(form, _LINE_FORMS[form])
        case Watermark(time_ns, token):
            up_to = None if time_ns is None else format_time(time_ns)
            return _event("watermark", {"complete_up_to": up_to}, form, token)
        case End(reason):
            return _event("end", {"reason": reason}, form)


def _event(kind: str, facts: Mapping[str, str | None], form: str, token: str = "") -> bytes:
    encoded = _encoder.encode({"type": kind, **({"cursor": token} if token else {}), **facts})
    if form == "ndjson":
        return encoded + b"\n"
    name = b"event: " + kind.encode() + (b"\nid: " + token.encode() if token else b"")
    return name + b"\ndata: " + encoded + b"\n\n"
