"""All rules: what is built in, what the operator's file says, and what apps say of their own lines."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, Self

import numpy as np

from monitor.metric import Metric, Samples
from monitor.rules.builtin import BUILT_IN, VERSION
from monitor.rules.misses import Misses
from monitor.rules.own import AppRules
from monitor.rules.sources import DEFAULT_SOURCES, source_samples
from monitor.rules.traffic import traffic
from pipeline.errors import SettingsError
from pipeline.lines.batch import Batch

Own = Mapping[tuple[str, str], AppRules]
"""What apps say of their own lines, by namespace and app."""

NO_OWN: Final[Own] = MappingProxyType({})

_DIGEST_BYTES: Final = 8
_LEVELS: Final = ("",)


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
        if text.strip():
            raise SettingsError(f"{name}: no rules of this kind are known")
        self._sources = DEFAULT_SOURCES
        self.metrics: tuple[Metric, ...] = BUILT_IN
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
            return cls(path.read_bytes(), name=str(path))
        except OSError as error:
            raise SettingsError(f"MONITOR_RULES={path}: {error}") from error

    def samples(self, batch: Batch, *, own: Own = NO_OWN) -> list[Samples]:  # noqa: ARG002 - no rule of apps yet
        """What the lines of a batch add to metrics.

        Args:
            batch: The lines.
            own: What apps say of their own lines.

        Returns:
            At most one `Samples` for each metric and rule; what has none is left out.
        """
        if not batch.rows:
            return []
        misses = Misses()
        made = traffic(batch, np.zeros(batch.rows, np.uint8), _LEVELS)
        made += source_samples(batch, self._sources, misses)
        made += misses.samples(batch)
        return [samples for samples in made if len(samples.index)]
