"""What the names of values mean: which metric they are made of, and how. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from monitor.metric import Kind, Metric


class Form(StrEnum):
    """How a window's amounts become a value."""

    RATE = "rate"
    NEWEST = "newest"
    QUANTILE = "quantile"
    FAILED_RATIO = "failed ratio"


KINDS: Final[Mapping[Form, Kind]] = {
    Form.RATE: Kind.COUNTER,
    Form.FAILED_RATIO: Kind.COUNTER,
    Form.NEWEST: Kind.GAUGE,
    Form.QUANTILE: Kind.HISTOGRAM,
}
"""Of which kind the metric of each must be."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a name stands for.

    Attributes:
        metric: The metric that it is made of.
        form: How.
        quantile: Of a `Form.QUANTILE`: 0 to 1.
    """

    metric: str
    form: Form
    quantile: float = 0.0

    @property
    def counts_nothing_as(self) -> float | None:
        """The value of who has no samples in a complete window; `None` when that says nothing."""
        return 0.0 if self.form is Form.RATE else None


BUILT_IN: Final[Mapping[str, Meaning]] = {
    "requests_per_second": Meaning("app_requests", Form.RATE),
    "latency_p50_seconds": Meaning("app_request_duration_seconds", Form.QUANTILE, 0.5),
    "latency_p95_seconds": Meaning("app_request_duration_seconds", Form.QUANTILE, 0.95),
    "latency_p99_seconds": Meaning("app_request_duration_seconds", Form.QUANTILE, 0.99),
    "error_ratio": Meaning("app_requests", Form.FAILED_RATIO),
    "lines_per_second": Meaning("app_lines", Form.RATE),
}
"""Names that are there without any rule."""

_PER_SECOND: Final = "_per_second"
_QUANTILE: Final = re.compile(r"(.+)_p([0-9]{1,4})")
_LISTED_QUANTILES: Final = ("p50", "p95", "p99")


def meanings_of(name: str) -> tuple[Meaning, ...]:
    """What a name may stand for, the likeliest first; it is the first whose metric is there and of its kind.

    Beside `BUILT_IN`: `<counter>_per_second`, `<histogram>_p95` (any digits: the quantile behind the point), `<gauge>`.
    """
    if name in BUILT_IN:
        return (BUILT_IN[name],)
    found = [Meaning(name.removesuffix(_PER_SECOND), Form.RATE)] if name.endswith(_PER_SECOND) else []
    if match := _QUANTILE.fullmatch(name):
        found.append(Meaning(match[1], Form.QUANTILE, float(f"0.{match[2]}")))
    return (*found, Meaning(name, Form.NEWEST))


def names_of(metric: Metric) -> tuple[str, ...]:
    """The usual names of what is made of a metric."""
    if metric.kind is Kind.COUNTER:
        return (f"{metric.name}{_PER_SECOND}",)
    if metric.kind is Kind.HISTOGRAM:
        return tuple(f"{metric.name}_{quantile}" for quantile in _LISTED_QUANTILES)
    return (metric.name,)
