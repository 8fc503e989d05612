"""A rule that somebody wrote, compiled, and the samples that it makes of lines."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from monitor.metric import Kind, Metric, Samples
from monitor.rules.access import exemplars
from monitor.rules.codes import I64, encode_texts
from monitor.rules.columns import Column, Who, label_sets
from monitor.rules.misses import NOT_A_NUMBER, UNMATCHED, Misses
from monitor.rules.numbers import F64
from monitor.rules.places import rows_of
from monitor.rules.readers import FieldValues, JsonReader, LogfmtReader, PatternReader, Reader
from monitor.rules.requests import cut_value
from monitor.rules.rows import Bools, Text
from monitor.rules.spec import Reading, metric_of
from monitor.rules.traces import traces_of
from monitor.rules.units import reader_of
from pipeline.lines.batch import Batch, ChunkFacts

_FORMATS: Final[Mapping[str, Reader]] = {"json": JsonReader(), "logfmt": LogfmtReader()}


@dataclass(frozen=True, slots=True)
class LineRule:
    """See the module.

    Attributes:
        metric: What it makes.
        reader: How fields are read.
        reading: What was written.
        number: Makes a number in the metric's unit of the value's text.
    """

    metric: Metric
    reader: Reader
    reading: Reading
    number: Callable[[str], float]

    @classmethod
    def of(cls, reading: Reading, *, prefix: str = "") -> "LineRule":
        """Compile a rule.

        Raises:
            ValueError: Something makes no sense; names the field.
        """
        metric = metric_of(reading, prefix=prefix)
        reader = _FORMATS.get(reading.format) or _pattern(reading)
        return cls(metric, reader, reading, reader_of(reading.unit))

    @property
    def fields(self) -> set[str]:
        """What the rule reads of a line."""
        return {*self.reading.when, *self.reading.labels.values(), *filter(None, (self.reading.value,))}


def _pattern(reading: Reading) -> PatternReader:
    try:
        reader = PatternReader.of(reading.pattern)
    except ValueError as error:
        raise ValueError(f"pattern: {error}") from error
    for name, fields in (
        ("value", (reading.value,)),
        ("labels", reading.labels.values()),
        ("when", reading.when),
    ):
        for field in filter(None, fields):
            if field not in reader.groups:
                raise ValueError(f"{name}: the pattern has no group {field!r}")
    return reader


def rule_samples(
    batch: Batch, writers: Who, rules_of: Callable[[ChunkFacts], Sequence[LineRule]], misses: Misses
) -> Iterator[Samples]:
    """Samples of all rules; lines that several rules read in the same way are read once."""
    places: dict[int, tuple[LineRule, list[int]]] = {}
    for index, facts in enumerate(batch.facts):
        for rule in rules_of(facts):
            places.setdefault(id(rule), (rule, []))[1].append(index)
    groups: dict[tuple[tuple[int, ...], Reader], list[LineRule]] = {}
    for rule, of_facts in places.values():
        groups.setdefault((tuple(of_facts), rule.reader), []).append(rule)
    texts: dict[tuple[int, ...], Text] = {}
    for (place, reader), rules in groups.items():
        text = texts.get(place)
        if text is None:
            texts[place] = text = Text.of(batch, rows_of(batch, place))
        found = reader.read(text, sorted({field for rule in rules for field in rule.fields}))
        unread = np.delete(text.rows, found.which)
        for rule in rules:
            misses.add(unread, rule.metric.name, UNMATCHED)
            yield _samples(rule, text, found, batch, writers=writers, misses=misses)


def _samples(rule: LineRule, text: Text, found: FieldValues, batch: Batch, *, writers: Who, misses: Misses) -> Samples:
    """Samples of one rule of lines that were read."""
    kept = _meant(rule, found)
    values, absent = _values(rule, found)
    if values is not None:
        misses.add(text.rows[found.which[kept & absent]], rule.metric.name, UNMATCHED)
        wrong = np.isnan(values) | ((values < 0) & (rule.metric.kind is Kind.COUNTER))
        misses.add(text.rows[found.which[kept & ~absent & wrong]], rule.metric.name, NOT_A_NUMBER)
        kept &= ~wrong
    chosen = np.flatnonzero(kept)
    lines = found.which[chosen]
    rows = text.rows[lines]
    labels = [_label(found.values[field], chosen) for field in rule.reading.labels.values()]
    index, sets = label_sets(writers.of(rows), labels)
    traces = traces_of(text) if rule.metric.edges else {}
    return Samples(
        rule.metric,
        sets,
        index,
        rows,
        batch.time_ns[rows],
        None if values is None else values[chosen],
        exemplars(traces, lines, index),
    )


def _meant(rule: LineRule, found: FieldValues) -> Bools:
    """Which of the lines have the values that the rule asks for."""
    meant = np.ones(len(found.which), np.bool_)
    for field, allowed in rule.reading.when.items():
        meant &= pc.is_in(found.values[field], pa.array(allowed, pa.large_string())).to_numpy(zero_copy_only=False)
    return meant


def _values(rule: LineRule, found: FieldValues) -> tuple[F64 | None, Bools]:
    """The value of each line, NaN where it is no number, and which have none; `None` when the rule counts lines."""
    if not rule.reading.value:
        return None, np.zeros(0, np.bool_)
    codes, texts = encode_texts(found.values[rule.reading.value].fill_null(""))
    numbers = np.fromiter(map(rule.number, texts), np.float64, len(texts))
    numbers[~np.isfinite(numbers)] = np.nan
    return numbers[codes], np.array([not each for each in texts], np.bool_)[codes]


def _label(values: Any, chosen: I64) -> Column:
    codes, texts = encode_texts(values.take(pa.array(chosen)).fill_null(""))
    return Column.distinct(codes, [cut_value(text) for text in texts])
