"""What is asked for: an app, a range of time, filters; and how that goes into a request."""

from dataclasses import dataclass
from typing import TypeAlias

Parameters: TypeAlias = list[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which lines are wanted. An empty tuple or string filters nothing; `before` and `after` are lines of context."""

    process: tuple[str, ...] = ()
    release: tuple[str, ...] = ()
    pod: tuple[str, ...] = ()
    container: tuple[str, ...] = ()
    stream: tuple[str, ...] = ()
    text: str = ""
    regex: str = ""
    before: int = 0
    after: int = 0

    def parameters(self) -> Parameters:
        """Return the query parameters of these filters, in a fixed order."""
        found: Parameters = []
        for name in ("process", "release", "pod", "container", "stream"):
            found += [(name, value) for value in getattr(self, name)]
        found += [(name, value) for name in ("text", "regex") if (value := getattr(self, name))]
        found += [(name, str(value)) for name in ("before", "after") if (value := getattr(self, name))]
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One app's lines in a range of time, `since_ns` inclusive, `until_ns` exclusive, nanoseconds since the epoch."""

    app: str
    since_ns: int | None = None
    until_ns: int | None = None
    filters: Filters = Filters()

    @property
    def history_path(self) -> str:
        """Path of the app's history."""
        return f"/v1/apps/{self.app}/logs"

    @property
    def follow_path(self) -> str:
        """Path of the app's follow."""
        return f"/v1/apps/{self.app}/logs/follow"

    def history_parameters(self) -> Parameters:
        """Return the parameters of a read of history, without order, limit and cursor."""
        found: Parameters = [("format", "ndjson")]
        if self.since_ns is not None:
            found.append(("since", str(self.since_ns)))
        if self.until_ns is not None:
            found.append(("until", str(self.until_ns)))
        return found + self.filters.parameters()
