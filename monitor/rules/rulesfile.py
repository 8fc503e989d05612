"""The operator's file of rules: YAML, validated as far as it can be before any line is read."""

from typing import Annotated, Final, TypeVar

import msgspec

from monitor.metric import Kind, Metric
from monitor.rules.builtin import BUILT_IN
from monitor.rules.linerule import LineRule
from monitor.rules.sources import DEFAULT_SOURCES, Source
from monitor.rules.spec import FileReading, Reading
from monitor.rules.yamltext import read_yaml
from pipeline.limits import MIB

FILE_BYTES: Final = 1 * MIB
"""A longer file of rules is refused."""

MOST_FILE_METRICS: Final = 200

_PREFIXES: Final = ("own_", "monitor_")
"""Names of apps' own metrics begin so, and those of the monitor about itself."""

T = TypeVar("T")


class RulesFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the file says.

    Attributes:
        sources: Routers, in place of those that are known without a file; of several that fit, the first counts.
        metrics: Rules.
    """

    sources: Annotated[tuple[Source, ...], msgspec.Meta(max_length=100)] = DEFAULT_SOURCES
    metrics: Annotated[tuple[FileReading, ...], msgspec.Meta(max_length=MOST_FILE_METRICS)] = ()


def read_file(text: bytes) -> tuple[RulesFile, tuple[LineRule, ...]]:
    """Read the operator's file.

    Returns:
        What it says, and its rules, compiled, in its order.

    Raises:
        ValueError: It makes no sense; names the rule and the field.
    """
    if len(text) > FILE_BYTES:
        raise ValueError(f"over {FILE_BYTES} bytes")
    said = read_yaml(text.decode())
    file = validated({} if said is None else said, RulesFile)
    rules: list[LineRule] = []
    for number, reading in enumerate(file.metrics):
        where = f"metrics[{number}] ({reading.name})"
        if reading.name.startswith(_PREFIXES):
            raise ValueError(f"{where}.name: it must not begin with {' or '.join(_PREFIXES)}")
        rules.append(compiled(where, reading))
        check_names([*BUILT_IN, *(rule.metric for rule in rules[:-1])], rules[-1].metric, where)
    return file, tuple(rules)


def validated(said: object, kind: type[T]) -> T:
    """A value of a kind.

    Raises:
        ValueError: It is none; says where.
    """
    try:
        return msgspec.convert(said, kind)
    except msgspec.ValidationError as error:
        raise ValueError(str(error).replace("`$.", "`")) from error
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def compiled(where: str, reading: Reading, *, prefix: str = "") -> LineRule:
    """Compile a rule.

    Raises:
        ValueError: It makes no sense; begins with `where`.
    """
    try:
        return LineRule.of(reading, prefix=prefix)
    except ValueError as error:
        raise ValueError(f"{where}.{error}") from error


def check_names(known: list[Metric], metric: Metric, where: str) -> None:
    """Two rules may make one metric, if they define it alike; else what is exposed must not have the same name.

    Raises:
        ValueError: A name is taken.
    """
    for other in known:
        if metric != other and exposed(metric) & exposed(other):
            raise ValueError(f"{where}.name: {metric.name} is, or is called as, another metric: {other.name}")


def exposed(metric: Metric) -> set[str]:
    """Names under which Prometheus knows a metric."""
    suffixes: dict[Kind, tuple[str, ...]] = {
        Kind.COUNTER: ("", "_total", "_created"),
        Kind.GAUGE: ("",),
        Kind.HISTOGRAM: ("", "_bucket", "_count", "_sum", "_created"),
    }
    return {metric.name + suffix for suffix in suffixes[metric.kind]}
