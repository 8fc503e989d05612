"""What a pod's annotations ask of the agent: not to read it, to hold it to a rate, to hide secrets, to spread it.

Annotations are written by whoever makes the pod. A value that makes no sense is left out and named, and the others
hold; nothing here tells whose log it is, so that no app can take another one's name.

=================================  ==========================================================================
`logs.deis.io/exclude`             `true`: the pod is not read
`logs.deis.io/exclude-containers`  `proxy,init`: these containers are not read
`logs.deis.io/rate-limit`          `1000 lines/s`, `64 KiB/s burst 1 MiB`; the burst is one second's worth by default
`logs.deis.io/redact`              names of packs (`default,cards`), and patterns in RE2 syntax, `/.../`, one a line
`logs.deis.io/spread`              over how many partitions the runs of its app are spread
`fluentbit.io/exclude`             `true`, as Fluent Bit has it; also `exclude-CONTAINER`, `exclude_stderr`,
                                   `exclude_stdout-CONTAINER`
`vector.dev/exclude`               `true`, a label, as Vector has it
`vector.dev/exclude-containers`    as Vector has it
=================================  ==========================================================================
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from pipeline.limits import KIB, MIB

DEIS: Final = "logs.deis.io/"
FLUENT_BIT: Final = "fluentbit.io/exclude"
VECTOR: Final = "vector.dev/exclude"

EVERY_CONTAINER: Final = ""
STREAMS: Final = frozenset({"stdout", "stderr"})

MOST_SPREAD: Final = 64
MOST_REDACTIONS: Final = 16
MOST_PATTERN_CHARACTERS: Final = 512
_MOST_CONTAINERS: Final = 64
_MOST_PER_SECOND: Final = 10**12

_TRUE, _FALSE = frozenset({"true", "yes", "on"}), frozenset({"false", "no", "off", ""})
_CONTAINER = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_PATTERN = re.compile(r"/.+/")
_PACK = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_FLUENT_BIT = re.compile(r"fluentbit\.io/exclude(?:_(stdout|stderr))?(?:-(.+))?")
_UNITS: Final[Mapping[str, int]] = {
    "": 1, "lines": 1, "line": 1, "bytes": 1, "b": 1, "kb": 1000, "kib": KIB, "mb": 10**6, "mib": MIB,
}  # fmt: skip
_AMOUNT = r"(\d{1,12}) ?(lines?|bytes|[KM]?i?B)"
_RATE = re.compile(rf"{_AMOUNT}/s(?: burst (\d{{1,12}}) ?(lines?|bytes|[KM]?i?B)?)?", re.IGNORECASE | re.ASCII)


class Unit(StrEnum):
    """What a rate limit counts."""

    LINES = "lines"
    BYTES = "bytes"


class RateLimit(NamedTuple):
    """A rate that is not exceeded for long.

    Attributes:
        unit: What is counted.
        per_second: So many each second, at least 1.
        burst: So many at once after a rest, at least 1.
    """

    unit: Unit
    per_second: int
    burst: int


class Stream(NamedTuple):
    """One stream of a container, or of each container of the pod (`EVERY_CONTAINER`)."""

    container: str
    name: str


@dataclass(frozen=True, slots=True)
class PodRules:
    """What the annotations of one pod ask for.

    Attributes:
        exclude: The pod is not read.
        exclude_containers: These containers of it are not read.
        exclude_streams: Lines of these streams are dropped.
        rate_limit: For each container of the pod by itself; `None` for none.
        redact: Names of packs, and patterns in RE2 syntax as `/.../`, not yet compiled. At most `MOST_REDACTIONS`.
        spread: Over how many partitions the runs of its app are spread, 1 to `MOST_SPREAD`.
    """

    exclude: bool = False
    exclude_containers: frozenset[str] = frozenset()
    exclude_streams: frozenset[Stream] = frozenset()
    rate_limit: RateLimit | None = None
    redact: tuple[str, ...] = ()
    spread: int = 1

    def excludes(self, container: str) -> bool:
        """Whether `container` is not read at all."""
        return self.exclude or container in self.exclude_containers or self.excluded_streams(container) == STREAMS

    def excluded_streams(self, container: str) -> frozenset[str]:
        """The streams of `container` whose lines are dropped: of `stdout` and `stderr`."""
        if not self.exclude_streams:
            return frozenset()
        return frozenset(one.name for one in self.exclude_streams if one.container in (EVERY_CONTAINER, container))


NO_RULES: Final = PodRules()
"""Of a pod without annotations, and of one that nothing is known of."""


@dataclass(slots=True)
class _Reading:
    """Rules while they are read."""

    problems: list[str] = field(default_factory=list)
    exclude: bool = False
    containers: set[str] = field(default_factory=set)
    streams: set[Stream] = field(default_factory=set)
    rate_limit: RateLimit | None = None
    redact: tuple[str, ...] = ()
    spread: int = 1


def parse_rules(*, labels: Mapping[str, str], annotations: Mapping[str, str]) -> tuple[PodRules, list[str]]:
    """Read the rules of a pod.

    Args:
        labels: Of the pod.
        annotations: Of the pod; those of others are passed over.

    Returns:
        The rules, and what made no sense: the names of annotations, with the reason.
    """
    reading = _Reading()
    if VECTOR in labels:
        _read(reading, VECTOR, labels[VECTOR])
    for name, value in annotations.items():
        if name.startswith((DEIS, FLUENT_BIT, f"{VECTOR}-containers")):
            _read(reading, name, value)
    if reading == _Reading():
        return NO_RULES, []
    rules = PodRules(
        exclude=reading.exclude,
        exclude_containers=frozenset(reading.containers),
        exclude_streams=frozenset(reading.streams),
        rate_limit=reading.rate_limit,
        redact=reading.redact,
        spread=reading.spread,
    )
    return rules, reading.problems


def _read(reading: _Reading, name: str, value: str) -> None:
    """Read one annotation, or note what is wrong with it."""
    try:
        if name.startswith(FLUENT_BIT):
            _read_fluent_bit(reading, name, value)
        else:
            _READERS.get(name, _refuse)(reading, value)
    except ValueError as error:
        reading.problems.append(f"{name}: {error}")


def _refuse(reading: _Reading, value: str) -> None:  # noqa: ARG001 - one of `_READERS`
    raise ValueError("no such annotation")


def _read_exclude(reading: _Reading, value: str) -> None:
    reading.exclude |= _parse_bool(value)


def _read_containers(reading: _Reading, value: str) -> None:
    reading.containers.update(_parse_containers(value))


def _read_rate_limit(reading: _Reading, value: str) -> None:
    reading.rate_limit = parse_rate_limit(value)


def _read_redact(reading: _Reading, value: str) -> None:
    reading.redact = tuple(_parse_redact(value))


def _read_spread(reading: _Reading, value: str) -> None:
    reading.spread = _parse_spread(value)


_READERS: Final[Mapping[str, Callable[[_Reading, str], None]]] = {
    f"{DEIS}exclude": _read_exclude,
    f"{DEIS}exclude-containers": _read_containers,
    f"{DEIS}rate-limit": _read_rate_limit,
    f"{DEIS}redact": _read_redact,
    f"{DEIS}spread": _read_spread,
    VECTOR: _read_exclude,
    f"{VECTOR}-containers": _read_containers,
}


def _read_fluent_bit(reading: _Reading, name: str, value: str) -> None:
    match = _FLUENT_BIT.fullmatch(name)
    if match is None:
        raise ValueError("no such annotation")
    stream, container = match.groups()
    if not _parse_bool(value):
        return
    if stream:
        reading.streams.add(Stream(container or EVERY_CONTAINER, stream))
    elif container:
        reading.containers.update(_parse_containers(container))
    else:
        reading.exclude = True


def _parse_bool(value: str) -> bool:
    word = value.strip().lower()
    if word not in _TRUE | _FALSE:
        raise ValueError("not true or false")
    return word in _TRUE


def _parse_containers(value: str) -> list[str]:
    names = [name.strip() for name in value.split(",") if name.strip()]
    if len(names) > _MOST_CONTAINERS or not all(map(_CONTAINER.fullmatch, names)):
        raise ValueError(f"not the names of up to {_MOST_CONTAINERS} containers, with commas between")
    return names


def parse_rate_limit(value: str) -> RateLimit:
    """Read a rate: `1000 lines/s`, `64 KiB/s burst 1 MiB`.

    Raises:
        ValueError: It is none.
    """
    match = _RATE.fullmatch(" ".join(value.split()))
    if match is None:
        raise ValueError("no rate such as `1000 lines/s` or `64 KiB/s burst 1 MiB`")
    number, unit, burst, burst_unit = match.groups()
    counted = _counted(unit)
    if burst_unit and _counted(burst_unit) is not counted:
        raise ValueError("rate and burst count different things")
    per_second = int(number) * _UNITS[unit.lower()]
    most_at_once = int(burst) * _UNITS[(burst_unit or "").lower()] if burst else per_second
    if not (0 < per_second <= _MOST_PER_SECOND and 0 < most_at_once <= _MOST_PER_SECOND):
        raise ValueError(f"rate and burst are 1 to {_MOST_PER_SECOND}")
    return RateLimit(counted, per_second, most_at_once)


def _counted(unit: str) -> Unit:
    return Unit.LINES if unit.lower().startswith("line") else Unit.BYTES


def _parse_redact(value: str) -> Iterator[str]:
    entries = [entry for line in value.splitlines() for entry in _redact_entries(line.strip())]
    if len(entries) > MOST_REDACTIONS:
        raise ValueError(f"more than {MOST_REDACTIONS} packs and patterns")
    for entry in entries:
        if entry.startswith("/"):
            if not (_PATTERN.fullmatch(entry) and len(entry) <= MOST_PATTERN_CHARACTERS):
                raise ValueError(f"a pattern is `/.../`, up to {MOST_PATTERN_CHARACTERS} characters")
        elif not _PACK.fullmatch(entry):
            raise ValueError("neither a pack's name nor a pattern in slashes")
    yield from entries


def _redact_entries(line: str) -> list[str]:
    """A pattern may contain commas, so it has its line to itself."""
    return [line] if line.startswith("/") else [name.strip() for name in line.split(",") if name.strip()]


def _parse_spread(value: str) -> int:
    text = value.strip()
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MOST_SPREAD):
        raise ValueError(f"not a number from 1 to {MOST_SPREAD}")
    return int(text)
