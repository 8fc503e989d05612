"""Retention: for how long an app's rows are kept. It is counted from the end of the day on which they arrived."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta


@dataclass(frozen=True, slots=True)
class Retention:
    """How long rows are kept.

    Attributes:
        default_seconds: For every app that has none of its own; `None` keeps rows for ever.
        per_app_seconds: For single apps, shorter or longer; `None` keeps rows for ever.
    """

    default_seconds: float | None = None
    per_app_seconds: Mapping[str, float | None] = field(default_factory=dict)

    def expired(self, app: str, *, date: str, now: datetime) -> bool:
        """Whether rows of `app` that arrived on `date` (`YYYY-MM-DD`) are past their time."""
        seconds = self.per_app_seconds.get(app, self.default_seconds)
        return seconds is not None and now >= end_of_day(date) + timedelta(seconds=seconds)


def end_of_day(date: str) -> datetime:
    """The first moment after `date`."""
    return datetime.fromisoformat(date).replace(tzinfo=UTC) + timedelta(days=1)
