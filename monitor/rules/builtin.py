"""The metrics that are made without anybody's rule."""

from typing import Final

from monitor.metric import Kind, Metric

VERSION: Final = 1
"""Raised when a built-in rule makes other samples of the same lines: states written before are not gone on from."""

DURATION_EDGES: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Seconds."""

LINES: Final = Metric("app_lines", Kind.COUNTER, "Lines.", ("stream", "level"))
LINE_BYTES: Final = Metric(
    "app_line_bytes", Kind.COUNTER, "Bytes of lines, without what the runtime adds.", ("stream", "level")
)
REQUESTS: Final = Metric(
    "app_requests", Kind.COUNTER, "Requests, by who wrote the access line.", ("source", "method", "code")
)
REQUEST_SECONDS: Final = Metric(
    "app_request_duration_seconds", Kind.HISTOGRAM, "How long requests took.", ("source",), DURATION_EDGES
)
RESPONSE_BYTES: Final = Metric("app_response_bytes", Kind.COUNTER, "Bytes of responses.", ("source",))
TRIES: Final = Metric(
    "app_tries", Kind.COUNTER, "Requests as a router passed them to a pod, each try for itself.", ("source", "code")
)
TRY_SECONDS: Final = Metric(
    "app_try_duration_seconds", Kind.HISTOGRAM, "How long tries took.", ("source",), DURATION_EDGES
)
WITHOUT_UPSTREAM: Final = Metric(
    "app_requests_without_upstream", Kind.COUNTER, "Requests that a router passed to no pod.", ("source", "code")
)
MISSES: Final = Metric(
    "app_rule_misses", Kind.COUNTER, "Lines, or values of lines, that a rule could not read.", ("rule", "reason")
)

BUILT_IN: Final = (
    LINES,
    LINE_BYTES,
    REQUESTS,
    REQUEST_SECONDS,
    RESPONSE_BYTES,
    TRIES,
    TRY_SECONDS,
    WITHOUT_UPSTREAM,
    MISSES,
)
