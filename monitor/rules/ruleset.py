"""All rules: what is built in, what the operator's file says, and what apps say of their own lines."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, Self

import numpy as np

from monitor.metric import Metric, Samples
from monitor.rules.access import access_samples
from monitor.rules.applines import app_access
from monitor.rules.builtin import BUILT_IN, VERSION
from monitor.rules.columns import Column
from monitor.rules.levels import LEVELS, levels_of
from monitor.rules.linerule import LineRule, rule_samples
from monitor.rules.misses import Misses
from monitor.rules.own import AppRules
from monitor.rules.places import rows_of
from monitor.rules.rows import Text
from monitor.rules.rulesfile import FILE_BYTES, read_file
from monitor.rules.sources import routers_of, source_samples
from monitor.rules.traffic import traffic, writers_of
from pipeline.errors import SettingsError
from pipeline.lines.batch import Batch, ChunkFacts

Own = Mapping[tuple[str, str], AppRules]
"""What apps say of their own lines, by namespace and app."""

NO_OWN: Final[Own] = MappingProxyType({})

_DIGEST_BYTES: Final = 8
_MOST_REMEMBERED: Final = 10_000


class RuleSet:
    """Makes samples of lines: the same ones of the same lines, wherever batches are cut.

    Args:
        text: The operator's file; empty for the built-in rules alone.
        name: What errors call it.

    Attributes:
        metrics: What the rules make, without what apps' own rules do.
        digest: Changes when the rules do: other samples may come of the same lines.

    Raises:
        SettingsError: The file makes no sense; names the rule and the field.
    """

    def __init__(self, text: bytes = b"", *, name: str = "rules") -> None:
        try:
            file, rules = read_file(text)
        except ValueError as error:
            raise SettingsError(f"{name}: {error}") from error
        self._sources = file.sources
        self._rules = tuple(zip(file.metrics, rules, strict=True))
        self._of_writers: dict[tuple[str, str, str, str], tuple[LineRule, ...]] = {}
        self.metrics: tuple[Metric, ...] = tuple(dict.fromkeys((*BUILT_IN, *(rule.metric for rule in rules))))
        self.digest: str = hashlib.blake2b(b"%d\0" % VERSION + text, digest_size=_DIGEST_BYTES).hexdigest()

    @classmethod
    def load(cls, path: Path | None) -> Self:
        """Read the operator's file, if there is one.

        Raises:
            SettingsError: It cannot be read, or makes no sense.
        """
        if path is None:
            return cls()
        try:
            with path.open("rb") as file:
                text = file.read(FILE_BYTES + 1)
        except OSError as error:
            raise SettingsError(f"MONITOR_RULES={path}: {error}") from error
        return cls(text, name=f"MONITOR_RULES={path}")

    def samples(self, batch: Batch, *, own: Own = NO_OWN) -> list[Samples]:
        """What the lines of a batch add to metrics.

        Args:
            batch: The lines.
            own: What apps say of their own lines.

        Returns:
            At most one `Samples` for each metric and rule; what has none is left out.
        """
        if not batch.rows:
            return []
        writers, misses = writers_of(batch), Misses()
        routers = routers_of(batch, self._sources)
        of_routers = {index for router in routers for index in router.facts}
        others = Text.of(batch, rows_of(batch, [at for at in range(len(batch.facts)) if at not in of_routers]))
        made = traffic(batch, writers, _levels(batch, others))
        made += source_samples(batch, routers, misses)
        made += access_samples(app_access(others, batch.time_ns, writers))
        made += rule_samples(batch, writers, lambda facts: self._rules_of(facts, own), misses)
        made += misses.samples(batch, writers)
        return [samples for samples in made if len(samples.index)]

    def _rules_of(self, facts: ChunkFacts, own: Own) -> tuple[LineRule, ...]:
        """The rules that read lines of a writer."""
        key = (facts.namespace, facts.app, facts.process, facts.container)
        of_file = self._of_writers.get(key)
        if of_file is None:
            if len(self._of_writers) >= _MOST_REMEMBERED:
                self._of_writers.clear()
            of_file = tuple(rule for reading, rule in self._rules if reading.where.concerns(facts))
            self._of_writers[key] = of_file
        of_app = own.get((facts.namespace, facts.app))
        return of_file if of_app is None else of_file + of_app.rules_of(facts)


def _levels(batch: Batch, others: Text) -> Column:
    """Levels of all lines; those of routers have none."""
    codes = np.zeros(batch.rows, np.int32)
    codes[others.rows] = levels_of(others)
    return Column(codes, LEVELS)
