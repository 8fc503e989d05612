"""What rules could not read: counted by rule and reason, for whoever wrote it."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from monitor.metric import Samples
from monitor.rules.builtin import MISSES
from monitor.rules.codes import I64
from monitor.rules.columns import Column, Who, label_sets
from pipeline.lines.batch import Batch

UNMATCHED: Final = "unmatched"
"""A line at the rule's place that is none of its lines."""
NOT_A_NUMBER: Final = "number"
"""A value that is no number, or none that makes sense there."""


@dataclass(slots=True)
class Misses:
    """Collected while a batch is read.

    Attributes:
        found: Rows, rule and reason.
    """

    found: list[tuple[I64, str, str]] = field(default_factory=list)

    def add(self, rows: I64, rule: str, reason: str) -> None:
        """Some rows were not read."""
        if len(rows):
            self.found.append((rows, rule, reason))

    def samples(self, batch: Batch, writers: Who) -> list[Samples]:
        """All of them as one, in the order of rows."""
        if not self.found:
            return []
        rows = np.concatenate([rows for rows, _, _ in self.found])
        kind = np.repeat(np.arange(len(self.found), dtype=np.int32), [len(rows) for rows, _, _ in self.found])
        order = np.argsort(rows, kind="stable")
        rows, kind = rows[order], kind[order]
        rule = Column.distinct(kind, [rule for _, rule, _ in self.found])
        reason = Column.distinct(kind, [reason for _, _, reason in self.found])
        index, sets = label_sets(writers.of(rows), [rule, reason])
        return [Samples(MISSES, sets, index, rows, batch.time_ns[rows])]
