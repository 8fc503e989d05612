"""A bounded memory of answers that age."""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Cached(Generic[K, V]):
    """Answers by what was asked.

    Args:
        entries: Most of them; the oldest goes first.
        seconds: How long one counts.
        clock: Seconds that never go back.
    """

    def __init__(self, *, entries: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._entries, self._seconds, self._clock = entries, seconds, clock
        self._kept: OrderedDict[K, tuple[float, V]] = OrderedDict()

    def get(self, key: K) -> V | None:
        """The answer, `None` when there is none that counts."""
        found = self._kept.get(key)
        if found is None or self._clock() >= found[0]:
            return None
        return found[1]

    def put(self, key: K, value: V) -> None:
        """Keep an answer."""
        self._kept.pop(key, None)
        self._kept[key] = (self._clock() + self._seconds, value)
        while len(self._kept) > self._entries:
            self._kept.popitem(last=False)
