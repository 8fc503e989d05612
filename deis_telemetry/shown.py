"""Metrics as text: a table with the values, and a picture of the last minutes in one line. Pure."""

from collections.abc import Iterator, Sequence
from typing import Final

from rich.table import Table
from rich.text import Text

from deis_logs.safe import visible
from deis_telemetry.known import Known, Overview, Series

_BARS: Final = "▁▂▃▄▅▆▇█"
_LARGE: Final = 1000.0
_COLUMNS: Final = ("METRIC", "LABELS", "VALUE", "LAST MINUTES", "NEWEST")


def sparkline(points: Sequence[float | None]) -> str:
    """One character for each point, as high as it is beside the highest; a blank where nothing is known."""
    highest = max((point for point in points if point is not None), default=0.0)
    if highest <= 0:
        return "".join(" " if point is None else _BARS[0] for point in points)
    last = len(_BARS) - 1
    return "".join(" " if point is None else _BARS[round(max(point, 0.0) / highest * last)] for point in points)


def heading(overview: Overview) -> str:
    """What the values are of, and how old that is."""
    return (
        f"{visible(overview.app)}: {overview.window_seconds} s, complete up to {visible(overview.watermark)} "
        f"({age(overview.watermark_age_seconds)} ago)"
    )


def age(seconds: float) -> str:
    """A time span, as exact as anybody needs it."""
    if seconds < 120:  # noqa: PLR2004 - two minutes are better told in seconds
        return f"{seconds:.0f} s"
    if seconds < 7200:  # noqa: PLR2004 - and two hours in minutes
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h"


def rows_of(overview: Overview) -> Iterator[tuple[str, str, str, str, str]]:
    """Rows of the table: a metric's name stands beside its first series only."""
    for metric in overview.metrics:
        name = metric.name
        for series in metric.series or [Series()]:
            labels = " ".join(f"{key}={value}" for key, value in series.labels.items() if value)
            yield (name, labels, value_of(metric, series), sparkline(series.points), age(metric.age_seconds))
            name = ""
        if metric.overflowed:
            yield ("", f"{metric.overflowed} samples in too many label sets", "", "", "")


def value_of(metric: Known, series: Series) -> str:
    """A series' value with its unit."""
    if series.value is None:
        return "-"
    if metric.kind == "gauge":
        return number(series.value)
    rate = f"{number(series.value)}/s"
    if metric.kind == "counter" or series.p50 is None or series.p95 is None or series.p99 is None:
        return rate
    return f"{rate}, p50 {number(series.p50)}, p95 {number(series.p95)}, p99 {number(series.p99)}"


def number(value: float) -> str:
    """Three digits, or all that stand before the point."""
    return f"{value:,.0f}" if abs(value) >= _LARGE else f"{value:.3g}"


def table_of(overview: Overview) -> Table:
    """The table for a terminal, or for a file."""
    table = Table(box=None, pad_edge=False)
    for column in _COLUMNS:
        table.add_column(column, overflow="fold")
    for row in rows_of(overview):
        table.add_row(*(Text(visible(cell)) for cell in row))
    return table
