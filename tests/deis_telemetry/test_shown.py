"""Metrics as `deis-telemetry metrics` shows them."""

import pytest

from deis_logs.errors import ServerError
from deis_telemetry.known import Known, Overview, Series, read_overview
from deis_telemetry.shown import age, heading, number, rows_of, sparkline, value_of


@pytest.mark.parametrize(
    ("points", "line"),
    [
        ([], ""),
        ([0.0, 0.0], "▁▁"),
        ([None, None], "  "),
        ([0.0, 3.5, 7.0], "▁▅█"),
        ([None, 1.0, 0.0], " █▁"),
        ([-1.0, 1.0], "▁█"),
    ],
)
def test_a_sparkline_is_as_high_as_its_points_and_blank_where_nothing_is_known(
    points: list[float | None], line: str
) -> None:
    assert sparkline(points) == line


def overview_of(*metrics: Known) -> Overview:
    return Overview(
        app="shop",
        watermark="2026-11-24T12:00:00.000Z",
        watermark_age_seconds=2.4,
        window_seconds=60,
        step_seconds=10,
        metrics=list(metrics),
    )


def test_each_series_has_a_row_and_what_is_beyond_the_budget_is_told() -> None:
    series = [
        Series({"process": "web", "release": "v3"}, 12.0, [1.0, 2.0]),
        Series({"process": "", "release": ""}, 0.5),
    ]
    rows = list(rows_of(overview_of(Known("app_requests", "counter", 3.0, 2, series, overflowed=7))))
    assert rows == [
        ("app_requests", "process=web release=v3", "12/s", "▅█", "3 s"),
        ("", "", "0.5/s", "", "3 s"),
        ("", "7 samples in too many label sets", "", "", ""),
    ]


def test_a_gauge_without_samples_is_no_zero() -> None:
    assert value_of(Known("queue_depth", "gauge", 1.0), Series()) == "-"
    assert value_of(Known("queue_depth", "gauge", 1.0), Series(value=0.0)) == "0"


def test_a_histogram_shows_its_rate_and_its_quantiles() -> None:
    series = Series(value=5.0, p50=0.01, p95=0.25, p99=1.5)
    assert value_of(Known("seconds", "histogram", 1.0), series) == "5/s, p50 0.01, p95 0.25, p99 1.5"


def test_what_the_monitor_says_cannot_act_on_a_terminal() -> None:
    overview = Overview("x\x1b[2J", "now\r", 1.0, 60, 10, [])
    assert heading(overview) == "x\\x1b[2J: 60 s, complete up to now\\r (1 s ago)"


@pytest.mark.parametrize(("seconds", "told"), [(0.4, "0 s"), (119, "119 s"), (600, "10 min"), (86_400, "24 h")])
def test_ages_are_as_exact_as_anybody_needs(seconds: float, told: str) -> None:
    assert age(seconds) == told


@pytest.mark.parametrize(("value", "told"), [(0.123456, "0.123"), (12.34, "12.3"), (1234567.0, "1,234,567")])
def test_numbers_have_three_digits_or_all_before_the_point(value: float, told: str) -> None:
    assert number(value) == told


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b"\xff", b'{"app": 1}'])
def test_what_is_no_answer_of_a_monitor_is_told(body: bytes) -> None:
    with pytest.raises(ServerError, match="check --url"):
        read_overview(body)
