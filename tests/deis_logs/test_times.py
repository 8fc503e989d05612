"""What people type for a moment."""

import contextlib
import time
from datetime import UTC, datetime
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deis_logs.times import format_time, parse_moment, parse_time

NOW_NS: Final = 1_795_521_600 * 10**9  # 2026-11-24T12:00:00Z
SECOND_NS: Final = 10**9


@pytest.mark.parametrize(
    ("text", "back_seconds"),
    [
        ("90s", 90),
        ("5m", 300),
        ("1h30m", 5400),
        ("2h", 7200),
        ("7d", 604800),
        ("2w", 1209600),
        ("0s", 0),
        (" 5m ", 300),
    ],
)
def test_a_duration_counts_back_from_now(text: str, back_seconds: int) -> None:
    assert parse_moment(text, now_ns=NOW_NS) == NOW_NS - back_seconds * SECOND_NS


@pytest.mark.parametrize(
    ("text", "moment_ns"),
    [
        ("2026-11-24T12:00:00Z", NOW_NS),
        ("2026-11-24t12:00:00z", NOW_NS),
        ("2026-11-24 12:00:00Z", NOW_NS),
        ("2026-11-24T12:00Z", NOW_NS),
        ("2026-11-24T17:30:00+05:30", NOW_NS),
        ("2026-11-24T12:00:00.5Z", NOW_NS + SECOND_NS // 2),
        ("2026-11-24T12:00:00.123456789Z", NOW_NS + 123456789),
        ("1970-01-01T00:00:00Z", 0),
    ],
)
def test_a_time_is_taken_to_the_nanosecond(text: str, moment_ns: int) -> None:
    assert parse_moment(text, now_ns=NOW_NS) == moment_ns


@pytest.mark.parametrize(
    ("text", "moment_ns"), [("2026-11-24T14:00:00", NOW_NS), ("2026-11-24", NOW_NS - 14 * 3600 * SECOND_NS)]
)
def test_a_time_without_a_zone_is_local(text: str, moment_ns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC-2")
        time.tzset()
        try:
            assert parse_moment(text, now_ns=NOW_NS) == moment_ns
        finally:
            patch.undo()
            time.tzset()


@pytest.mark.parametrize(
    "text",
    [
        *("", "abc", "5", "5x", "-5m", "m", "1.5h", "\u0665m", "5m\n6", "9" * 100 + "s"),
        *("2026-13-01", "2026-11-24T25:00:00Z", "2026-11-24T12:00:00+99:00", "2026-11-24T12:00:00.1234567890Z"),
        *("1960-01-01T00:00:00Z", "9999-01-01T00:00:00Z"),
    ],
)
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_moment(text, now_ns=NOW_NS)


@settings(max_examples=60, deadline=None)
@given(st.text())
def test_any_text_is_a_moment_or_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert 0 <= parse_moment(text, now_ns=NOW_NS) < 2**63


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**63 - 1))
def test_what_is_formatted_reads_back(time_ns: int) -> None:
    text = format_time(time_ns)
    assert parse_time(text) == time_ns
    assert len(text) == 30
    assert datetime.fromisoformat(text[:26]).replace(tzinfo=UTC).timestamp() == pytest.approx(time_ns / 1e9, abs=1e-5)
