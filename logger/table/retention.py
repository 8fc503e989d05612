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

    def expired(self, apps: Mapping[str, object], *, date: str, now: datetime) -> list[str]:
        """Which of `apps` have rows that arrived on `date` (`YYYY-MM-DD`) and are past their time."""
        age_seconds = (now - end_of_day(date)).total_seconds()
        own = {app: seconds for app, seconds in self.per_app_seconds.items() if app in apps}
        gone = [app for app, seconds in own.items() if seconds is not None and age_seconds >= seconds]
        if self.default_seconds is not None and age_seconds >= self.default_seconds:
            gone += [app for app in apps if app not in own]
        return gone


def end_of_day(date: str) -> datetime:
    """The first moment after `date`."""
    return datetime.fromisoformat(date).replace(tzinfo=UTC) + timedelta(days=1)
