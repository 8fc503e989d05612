"""Requests out of access lines: those of usual lines as arrays, the others one by one, put together in order."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final, NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from monitor.metric import LabelSet
from monitor.rules.access import METHODS, NO_CODE, OTHER_METHOD, Access, Tries
from monitor.rules.codes import I32, I64, encode_texts
from monitor.rules.columns import Column, Who
from monitor.rules.numbers import F64
from monitor.rules.rows import Text
from pipeline.lines.batch import Batch

BLOCK_LINES: Final = 4096
"""So many lines are read at once. More need memory that the process takes anew each time: that cost a third of all."""

VALUE_BYTES: Final = 128
"""Most bytes of a label's value; a longer one is cut there."""

Order = I64 | slice
_AS_IT_IS: Final = slice(None)

_METHOD_CODES: Final = {name.encode(): code for code, name in enumerate(METHODS)}


class Try(NamedTuple):
    """A request as a router passed it on: address, code as in `access.CODES`, seconds or NaN."""

    upstream: bytes
    code: int
    seconds: float


class Request(NamedTuple):
    """One access line; names and units are as in `Access`, `owner` is what it says of whose request it was."""

    owner: bytes
    method: int
    code: int
    seconds: float
    size: float
    tries: Sequence[Try]


@dataclass(frozen=True, slots=True)
class Usual:
    """Lines of which arrays were made, with one try at most; arrays have one element for each.

    Attributes:
        which: int64, ascending: index of the line.
        owner: Arrow `large_binary`: what the line says of whose request it was.
        method: int32.
        code: int32.
        seconds: float64.
        size: float64.
        upstream: Arrow `large_binary`: address of the try; of no try when there is no colon in it.
        try_code: int32.
        try_seconds: float64.
    """

    which: I64
    owner: Any
    method: I32
    code: I32
    seconds: F64
    size: F64
    upstream: Any
    try_code: I32
    try_seconds: F64

    def sure(self) -> "Usual":
        """Without the lines of which a number could not be read."""
        good = (self.code >= 0) & ~np.isnan(self.seconds) & ~np.isnan(self.size)
        if good.all():
            return self
        kept = pa.array(np.flatnonzero(good))
        of = {field.name: getattr(self, field.name) for field in fields(self)}
        return Usual(
            **{name: each[good] if isinstance(each, np.ndarray) else each.take(kept) for name, each in of.items()}
        )

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Parts of one sequence of lines as one."""
        if len(parts) == 1:
            return parts[0]
        of = {field.name: [getattr(part, field.name) for part in parts] for field in fields(cls)}
        return cls(
            **{
                name: np.concatenate(each) if isinstance(each[0], np.ndarray) else pa.concat_arrays(each)
                for name, each in of.items()
            }
        )


class Format(Protocol):
    """A format of access lines."""

    def usual_lines(self, text: Text) -> Usual:
        """Read the usual ones of many lines at once; some formats have none."""

    def other_lines(self, lines: Sequence[bytes]) -> Sequence[Request | None]:
        """Read any lines by themselves; `None` for one that is none of this format."""


def no_usual_lines(_text: Text) -> Usual:
    """What a format has that knows no usual lines."""
    nothing, numbers, texts = np.zeros(0, np.int32), np.zeros(0, np.float64), pa.array([], pa.large_binary())
    return Usual(np.zeros(0, np.int64), texts, nothing, nothing, numbers, numbers, texts, nothing, numbers)


def methods(text: Text, at: I64) -> I32:
    """The method that stands at each place with a space behind it."""
    words = text.words(at)
    codes = np.full(len(at), OTHER_METHOD, np.int32)
    for code, name in enumerate(METHODS[:OTHER_METHOD]):
        wanted = f"{name} ".encode()
        mask = np.uint64((1 << (8 * len(wanted))) - 1)
        codes[(words & mask) == np.uint64(int.from_bytes(wanted, "little"))] = code
    return codes


def method_code(request: bytes) -> int:
    """The method at the beginning of a request line."""
    name, space, _ = request[:VALUE_BYTES].partition(b" ")
    return _METHOD_CODES.get(name, OTHER_METHOD) if space else OTHER_METHOD


def status_of(value: object) -> int | None:
    """A status as JSON has it, as a number or its text; `None` when it is none."""
    if isinstance(value, str) and len(value) <= 3 and value.isascii() and value.isdigit():  # noqa: PLR2004 - three digits
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < NO_CODE else None


def three_digits(text: Text, at: I64) -> I32:
    """The number of the three digits at each place; -1 where there are none."""
    words = text.words(at)
    value = np.zeros(len(at), np.int32)
    good = np.ones(len(at), np.bool_)
    for place in range(3):
        digit = ((words >> np.uint64(8 * place)) & np.uint64(0xFF)).astype(np.int32) - ord("0")
        good &= (digit >= 0) & (digit <= 9)  # noqa: PLR2004 - digits
        value = value * 10 + digit
    return np.where(good, value, -1).astype(np.int32)


def name_of(value: bytes) -> str:
    """A label's value: text of bounded length; bytes that are no UTF-8 are replaced."""
    return cut_value(value[: 4 * VALUE_BYTES].decode(errors="replace"))


def cut_value(value: str) -> str:
    """A label's value: text of bounded length."""
    encoded = value.encode()
    return value if len(encoded) <= VALUE_BYTES else encoded[:VALUE_BYTES].decode(errors="ignore")


def read_access(
    batch: Batch,
    rows: I64,
    source: str,
    form: Format,
    *,
    owned_by: Callable[[bytes], LabelSet],
    attributed: bool,
) -> tuple[Access, I64]:
    """Read access lines.

    Args:
        batch: The lines.
        rows: int64, ascending: which of them.
        source: See `Access`.
        form: Of the lines.
        owned_by: Whose request it was, by what the line says of that.
        attributed: Whether it is pods that listen at the addresses of tries.

    Returns:
        What was read, and which of the rows are none of this format.
    """
    usual, others = _read(batch, rows, form)
    read = [(index, request) for index, request in others if request is not None]
    which = _with(usual.which, [index for index, _ in read])
    # Nearly always all lines are usual: then nothing is moved.
    order: Order = np.argsort(which, kind="stable") if read else _AS_IT_IS
    requests = [request for _, request in read]
    found = rows[which[order]]
    owners = pa.concat_arrays([usual.owner, pa.array([each.owner for each in requests], pa.large_binary())])
    codes, names = encode_texts(owners)
    tries, upstreams = _tries(usual, requests, order)
    access = Access(
        source=source,
        rows=found,
        time_ns=batch.time_ns[found],
        who=Who.distinct(codes[order], [owned_by(name) for name in names]),
        method=_with(usual.method, [each.method for each in requests])[order],
        code=_with(usual.code, [each.code for each in requests])[order],
        seconds=_with(usual.seconds, [each.seconds for each in requests])[order],
        size=_with(usual.size, [each.size for each in requests])[order],
        tries=tries,
        upstreams=upstreams if attributed else ("",) * len(upstreams),
    )
    return access, rows[np.array([index for index, request in others if request is None], np.int64)]


def _read(batch: Batch, rows: I64, form: Format) -> tuple[Usual, list[tuple[int, Request | None]]]:
    """What usual lines say, and each other one with its index among the rows."""
    usual, others = [], []
    for first in range(0, max(len(rows), 1), BLOCK_LINES):
        text = Text.of(batch, rows[first : first + BLOCK_LINES])
        found = form.usual_lines(text).sure()
        left = np.ones(len(text), np.bool_)
        left[found.which] = False
        indices = np.flatnonzero(left).tolist()
        read = form.other_lines([text.line(index) for index in indices])
        others += [(first + index, request) for index, request in zip(indices, read, strict=True)]
        usual.append(replace(found, which=found.which + first))
    return Usual.joined(usual), others


def _tries(usual: Usual, requests: Sequence[Request], order: Order) -> tuple[Tries, tuple[str, ...]]:
    """Tries of all requests, in order, and their addresses."""
    lines = len(usual.which)
    more = [(lines + at, one) for at, request in enumerate(requests) for one in request.tries]
    codes, names = encode_texts(
        pa.concat_arrays([usual.upstream, pa.array([one.upstream for _, one in more], pa.large_binary())])
    )
    reached = np.array([b":" in name for name in names], np.bool_)
    single = np.flatnonzero(reached[codes[:lines]])
    request = _with(single, [at for at, _ in more])
    if requests:
        place = np.empty(lines + len(requests), np.int64)
        place[order] = np.arange(len(place))
        request = place[request]
    by_request: Order = np.argsort(request, kind="stable") if requests else _AS_IT_IS
    kept: Order = np.concatenate((single, np.arange(lines, len(codes)))) if len(single) < len(codes) else _AS_IT_IS
    upstream = Column.distinct(codes[kept] + np.int32(1), ["", *map(name_of, names)])
    tries = Tries(
        request=request[by_request],
        code=_with(usual.try_code, [one.code for _, one in more])[kept][by_request],
        seconds=_with(usual.try_seconds, [one.seconds for _, one in more])[kept][by_request],
        upstream=upstream.codes[by_request],
    )
    return tries, tuple(upstream.values)


def _with(values: npt.NDArray[Any], more: Sequence[float]) -> npt.NDArray[Any]:
    return np.concatenate((values, np.array(more, values.dtype))) if more else values
