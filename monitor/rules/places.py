"""Whose lines a rule reads."""

from collections.abc import Callable, Sequence
from typing import Annotated

import msgspec
import numpy as np

from monitor.rules.rows import Bools
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
            _named(self.namespaces, facts.namespace)
            and _named(self.apps, facts.app)
            and _named(self.processes, facts.process)
            and _named(self.containers, facts.container)
        )


def _named(names: Sequence[str], name: str) -> bool:
    return not names or any(name == one or (one[-1] == "*" and name.startswith(one[:-1])) for one in names)


def rows_where(batch: Batch, concerns: Callable[[ChunkFacts], bool]) -> Bools:
    """Which rows of a batch some writers wrote."""
    meant = np.fromiter(map(concerns, batch.facts), np.bool_, len(batch.facts))
    return meant[batch.facts_index]
