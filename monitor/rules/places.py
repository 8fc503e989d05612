"""Whose lines a rule reads."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
import numpy as np

from monitor.rules.codes import I64
from pipeline.limits import NAME_BYTES
from pipeline.lines.batch import Batch, ChunkFacts

_Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]*\*?\Z", min_length=1, max_length=NAME_BYTES)]
Names = Annotated[tuple[_Name, ...], msgspec.Meta(max_length=1000)]


class Where(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose lines are meant; an empty list means everybody's. A name may end in `*`.

    Attributes:
        namespaces: Names of namespaces.
        apps: Of apps.
        processes: Of process types.
        containers: Of containers.
    """

    namespaces: Names = ()
    apps: Names = ()
    processes: Names = ()
    containers: Names = ()

    def concerns(self, facts: ChunkFacts) -> bool:
        """Whether these lines are meant."""
        return (
            named(self.namespaces, facts.namespace)
            and named(self.apps, facts.app)
            and named(self.processes, facts.process)
            and named(self.containers, facts.container)
        )


def named(names: Sequence[str], name: str) -> bool:
    """Whether a name is among others, of which an empty list means all, and the end of one may be `*`."""
    return not names or any(name == one or (one[-1] == "*" and name.startswith(one[:-1])) for one in names)


def rows_of(batch: Batch, facts: Sequence[int]) -> I64:
    """Rows that have one of the facts of these numbers."""
    meant = np.zeros(len(batch.facts), np.bool_)
    meant[list(facts)] = True
    return np.flatnonzero(meant[batch.facts_index])
