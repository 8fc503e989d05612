"""What the monitor answers about an app's metrics: `GET /v1/metrics/{app}`, as docs/metrics.md describes it."""

import msgspec

from deis_logs.errors import ServerError


class Series(msgspec.Struct, frozen=True):
    """One series.

    Attributes:
        labels: What tells it from the others.
        value: Of a counter its rate per second, of a histogram its samples per second, of a gauge its newest value.
        points: The same for each step of the last minutes, the oldest first.
        p50: Median of a histogram.
        p95: Its 95th percentile.
        p99: Its 99th percentile.
    """

    labels: dict[str, str] = {}
    value: float | None = None
    points: list[float | None] = []
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


class Known(msgspec.Struct, frozen=True):
    """One metric.

    Attributes:
        name: Of the metric.
        kind: `counter`, `gauge` or `histogram`.
        age_seconds: How long ago its newest sample was.
        sets: How many label sets it has.
        series: Its series.
        overflowed: Samples of the window that are in no series of their own, for the app has too many.
    """

    name: str
    kind: str
    age_seconds: float
    sets: int = 0
    series: list[Series] = []
    overflowed: int = 0


class Overview(msgspec.Struct, frozen=True):
    """Everything about one app.

    Attributes:
        app: The app.
        watermark: Up to when everything is known.
        watermark_age_seconds: How long ago that was.
        window_seconds: Of the values.
        step_seconds: From one point to the next.
        metrics: Its metrics.
    """

    app: str
    watermark: str
    watermark_age_seconds: float
    window_seconds: int
    step_seconds: int
    metrics: list[Known]


def read_overview(body: bytes) -> Overview:
    """Read an answer.

    Raises:
        ServerError: It is none.
    """
    try:
        return msgspec.json.decode(body, type=Overview)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ServerError(f"the answer is not that of a monitor ({error}): check --url") from error
