"""Parts of all shards, put together: a whole answer or none."""

from collections.abc import Sequence

from monitor.reading import Answer, Known, Question
from monitor.series.part import KnownPart, Part


def merge(question: Question, parts: Sequence[Part], *, shards: int) -> Answer:
    """Put the parts of all shards together.

    Args:
        question: What was asked.
        parts: One of each shard, in any order.
        shards: How many there are.

    Raises:
        IncompleteError: A part is missing or unknown, or the window begins before what a shard holds; says which.
        KeyError: No shard knows a metric of that name.
    """
    raise NotImplementedError


def merge_known(parts: Sequence[Sequence[KnownPart]]) -> list[Known]:
    """The metrics of all shards, by name; label sets that are in several shards count once."""
    raise NotImplementedError
