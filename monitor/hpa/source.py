"""Values of the series that somebody may see: those of one namespace, and of its selectors."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from monitor.hpa.refusal import UnknownError
from monitor.hpa.selector import Selector
from monitor.metric import OVERFLOW, UNKNOWN
from monitor.reading import Reader
from monitor.values import SERVED, Values, Wanted, read_values

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

    async def has(self, namespace: str, app: str | None = None) -> bool:
        """Whether anything has been measured of an app of a namespace, or of any: else its name may be a mistake.

        Raises:
            IncompleteError: Not all shards say.
        """
        return bool(await self.reader.known(namespace=namespace, app=app))


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
