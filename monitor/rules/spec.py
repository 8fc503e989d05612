r"""What people write: rules that make metrics of their lines.

::

    metrics:
      - name: shop_checkout_seconds
        kind: histogram
        help: How long checkouts took.
        where: {apps: [shop], processes: [web]}
        pattern: 'checkout of (?P<kind>\w+) took (?P<took>[0-9.]+) ms'
        value: took
        unit: ms
        labels: {kind: kind}
        edges: [0.1, 0.5, 2]
      - name: jobs_total
        kind: counter
        format: json
        when: {event: [job done]}
        labels: {queue: job.queue}
"""

import math
import re
from itertools import pairwise
from typing import Annotated, Final, Literal

import msgspec

from monitor.metric import Kind, Metric
from monitor.rules.builtin import DURATION_EDGES
from monitor.rules.places import Names, Where
from monitor.rules.units import Unit, suffix_of

MOST_LABELS: Final = 8
MOST_EDGES: Final = 30
MOST_PATTERN_CHARACTERS: Final = 1000

_RESERVED_LABELS: Final = frozenset(
    {"namespace", "app", "process", "release", "pod", "shard", "instance", "job", "le", "quantile"}
)
_NAME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9_]{0,127}")
_LABEL: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9_]{0,63}")
_SUFFIXES: Final = ("_total", "_bucket", "_count", "_sum", "_created", "_info")

_Field = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
_Values = Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=100)]


class Processes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which of an app's own lines are meant; an empty list means all. A name may end in `*`."""

    processes: Names = ()
    containers: Names = ()


class Reading(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How lines become samples of one metric.

    Attributes:
        name: Of the metric, in its base unit.
        kind: See `Kind`.
        help: One sentence.
        pattern: RE2 that is searched for in a line; its named groups are fields. Or:
        format: What a line is: its keys are fields, with dots into objects.
        when: Values that fields must have; lines that have others are none of this rule's.
        value: Field with the value. Without one, a counter counts lines.
        unit: Of the value.
        labels: Fields with the values of labels, by name of the label.
        edges: Upper edges of a histogram's buckets.
    """

    name: str
    kind: Kind
    help: Annotated[str, msgspec.Meta(max_length=300)] = ""
    pattern: Annotated[str, msgspec.Meta(max_length=MOST_PATTERN_CHARACTERS)] = ""
    format: Literal["", "json", "logfmt"] = ""
    when: Annotated[dict[_Field, _Values], msgspec.Meta(max_length=MOST_LABELS)] = {}
    value: Annotated[str, msgspec.Meta(max_length=128)] = ""
    unit: Unit = ""
    labels: Annotated[dict[str, _Field], msgspec.Meta(max_length=MOST_LABELS)] = {}
    edges: Annotated[tuple[float, ...], msgspec.Meta(max_length=MOST_EDGES)] = ()


class FileReading(Reading, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rule of the operator's file."""

    where: Where = Where()


class AppReading(Reading, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rule of an app for its own lines."""

    where: Processes = Processes()


def metric_of(reading: Reading, *, prefix: str = "") -> Metric:
    """The definition of a rule's metric.

    Args:
        reading: The rule.
        prefix: What the metric's name begins with.

    Raises:
        ValueError: Something makes no sense; names the field.
    """
    _check_value(reading)
    for label in reading.labels:
        if not _LABEL.fullmatch(label) or label in _RESERVED_LABELS:
            raise ValueError(f"labels: {label!r} is no name for a label, or has a meaning already")
    name = _checked_name(reading)
    told = reading.help or f"Made of lines by the rule {reading.name}."
    return Metric(prefix + name, reading.kind, told, tuple(reading.labels), _edges(reading))


def _checked_name(reading: Reading) -> str:
    name = reading.name.removesuffix("_total") if reading.kind is Kind.COUNTER else reading.name
    if not _NAME.fullmatch(name):
        raise ValueError(f"name: {reading.name!r} is no name for a metric")
    if name.endswith(_SUFFIXES):
        raise ValueError(f"name: the end of {reading.name!r} has a meaning already")
    if not name.endswith(suffix_of(reading.unit)):
        raise ValueError(f"name: it must end with {suffix_of(reading.unit)}, the base unit of {reading.unit}")
    return name


def _check_value(reading: Reading) -> None:
    if bool(reading.pattern) == bool(reading.format):
        raise ValueError("pattern, format: one of them must be said, and one only")
    if reading.kind is not Kind.COUNTER and not reading.value:
        raise ValueError(f"value: a {reading.kind} needs one")
    if reading.unit and not reading.value:
        raise ValueError("unit: there is no value")


def _edges(reading: Reading) -> tuple[float, ...]:
    if reading.kind is not Kind.HISTOGRAM:
        if reading.edges:
            raise ValueError(f"edges: a {reading.kind} has none")
        return ()
    edges = reading.edges or (DURATION_EDGES if suffix_of(reading.unit) == "_seconds" else ())
    if not edges:
        raise ValueError("edges: they must be said where the value is no time")
    if not all(map(math.isfinite, edges)) or any(low >= high for low, high in pairwise(edges)):
        raise ValueError("edges: they must be finite and ascend")
    return edges
