"""Values of the series that somebody may see: those of one namespace, and of its selectors."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from monitor.hpa.cached import Cached
from monitor.hpa.refusal import UnknownError, no_value
from monitor.hpa.selector import Selector
from monitor.metric import OVERFLOW, UNKNOWN
from monitor.reading import Reader
from monitor.values import SERVED, Values, Wanted, read_values

_KNOWN_SECONDS: Final = 30.0
_NOT_KNOWN: Final = frozenset({"", UNKNOWN, OVERFLOW})


@dataclass(frozen=True, slots=True)
class Source:
    """Where values come from.

    Attributes:
        reader: Answers questions.
        now_ns: The clock.
        window_seconds: Length of a window.
        stale_seconds: Oldest end of a window.
    """

    reader: Reader
    now_ns: Callable[[], int]
    window_seconds: int
    stale_seconds: float
    _kept: Cached[str, frozenset[str]] = field(
        default_factory=lambda: Cached(entries=1, seconds=_KNOWN_SECONDS), init=False, repr=False
    )

    async def values(
        self,
        name: str,
        *,
        namespace: str,
        selector: Selector,
        by: tuple[str, ...] = (),
    ) -> Values:
        """Values of a name in a namespace.

        Args:
            name: See `monitor.meaning.meanings_of`.
            namespace: The only one whose series count, whatever the selector says.
            selector: Of labels of the metric.
            by: Labels that tell values apart.

        Raises:
            UnknownError: Nothing is called so.
            StaleError: What is known ends too long ago.
            IncompleteError: Not all of it is known.
        """
        wanted = Wanted(
            name,
            match=_narrowed(namespace, selector),
            by=by,
            seen=selector.labels(),
            keep=selector.holds,
            window_seconds=self.window_seconds,
            stale_seconds=self.stale_seconds,
        )
        try:
            return await read_values(self.reader, wanted, now_ns=self.now_ns())
        except KeyError as error:
            raise UnknownError(f"no metric is called {name}") from error

    async def nothing(self, values: Values, namespace: str, app: str | None = None) -> float:
        """The value of who has no samples in a complete window.

        Args:
            values: What was asked for.
            namespace: Whose.
            app: Whose; `None` for all of the namespace.

        Raises:
            RefusalError: There is none. It is 0 only if the metric is made of somebody's lines at all (else a router's
                may not be read), and something was measured of this app (else its name may be a mistake).
            IncompleteError: Not all shards say.
        """
        what, metric = app or namespace, values.meaning.metric
        nothing = values.meaning.counts_nothing_as
        if nothing is None:
            raise no_value(f"no samples of {metric} in the window of {what}")
        known = {one.metric.name for one in await self.reader.known(namespace=namespace, app=app)}
        if not known:
            raise no_value(f"nothing has been measured of {what}")
        if metric not in known and metric not in await self._everywhere():
            raise no_value(f"{metric} has been measured of nobody")
        return nothing

    async def _everywhere(self) -> frozenset[str]:
        """Names of the metrics that anybody has, as of a moment ago."""
        kept = self._kept.get("")
        if kept is None:
            kept = frozenset(one.metric.name for one in await self.reader.known())
            self._kept.put("", kept)
        return kept


def _narrowed(namespace: str, selector: Selector) -> dict[str, frozenset[str]]:
    """What labels must be: the namespace, and what the selector names, so that less is read.

    What is not known of who served is read, too: it must not go unnoticed that a value lacks it.
    """
    found = {"namespace": frozenset({namespace})}
    for label in selector.labels():
        allowed = selector.allowed(label)
        if allowed is not None and label != "namespace":
            found[label] = allowed | _NOT_KNOWN if label in SERVED else allowed | {OVERFLOW}
    return found
