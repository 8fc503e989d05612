"""An analysis as a picture: what both arms did each minute, and how the evidence grew. Pure.

SVG 1.1, made of lines and text only. Colours follow the reader's light or dark scheme. Nothing that comes from outside
gets into it without being escaped.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

from monitor.canary.counts import MINUTE_NS, MetricCounts, Observation, Policy, Verdict
from monitor.canary.decide.verdict import weigh

WIDTH: Final = 760
_LEFT, _RIGHT, _TOP, _PANEL, _GAP, _BOTTOM = 60, 20, 60, 120, 40, 40
_MOST_POINTS: Final = 600
"""More minutes than this are thinned out: no screen shows them."""

_MOST_PANELS: Final = 12
_TITLE_CHARACTERS: Final = 120
_ACROSS: Final = WIDTH - _LEFT - _RIGHT
_LN10: Final = math.log(10)

_STYLE: Final = (
    "text{font:12px sans-serif;fill:#222}.title{font-size:15px}.quiet{fill:#777}"
    "rect{fill:#fff}.axis{stroke:#999}.stable{stroke:#2f6fb7}.canary{stroke:#d9822b}.evidence{stroke:#6a3fa0}"
    ".threshold{stroke:#c0392b;stroke-dasharray:5 4}path,line{fill:none;stroke-width:1.5}"
    "@media(prefers-color-scheme:dark){rect{fill:#1b1b1f}text{fill:#ddd}.quiet{fill:#999}}"
)

Point = tuple[float, float | None]
"""A minute, and a value; `None` where it is not known."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A curve of a panel.

    Attributes:
        kind: `stable`, `canary` or `evidence`: its colour.
        points: Ascending minutes.
    """

    kind: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Panel:
    """One part of the picture.

    Attributes:
        title: Above it.
        curves: In it.
        level: A dashed line at this value.
        mark: A vertical line at this minute.
    """

    title: str
    curves: tuple[Curve, ...]
    level: float | None = None
    mark: float | None = None


def draw(title: str, policy: Policy, observation: Observation, verdict: Verdict) -> str:
    """Draw an analysis.

    Args:
        title: Which one it is.
        policy: How it is judged.
        observation: What was seen.
        verdict: What followed.

    Raises:
        ValueError: The counts cannot be judged by the policy; see `decide`.
    """
    minutes = max(1, (observation.until_ns - observation.start_ns) // MINUTE_NS)
    panels = [_metric_panel(counts, observation.start_ns) for counts in observation.metrics[: _MOST_PANELS - 1]]
    panels.append(_evidence_panel(policy, observation, verdict))
    height = _TOP + len(panels) * (_PANEL + _GAP) + _BOTTOM
    said = f"{verdict.decision}: {verdict.message}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{_safe(title)}</title><style>{_STYLE}</style>",
        f'<rect width="{WIDTH}" height="{height}"/>',
        f'<text class="title" x="{_LEFT}" y="24">{_safe(title)}</text>',
        f'<text x="{_LEFT}" y="44">{_safe(said)}</text>',
    ]
    for number, panel in enumerate(panels):
        parts += _drawn(panel, top=_TOP + number * (_PANEL + _GAP) + 20, minutes=minutes)
    parts.append(f'<text class="quiet" x="{_LEFT}" y="{height - 12}">minutes of the analysis, 0 to {minutes}</text>')
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def _metric_panel(counts: MetricCounts, start_ns: int) -> Panel:
    stable, canary = [], []
    for minute in counts.minutes:
        at = (minute.start_ns - start_ns) / MINUTE_NS
        stable.append((at, minute.stable_e / minute.stable_n if minute.stable_n else None))
        canary.append((at, minute.canary_e / minute.canary_n if minute.canary_n else None))
    return Panel(counts.metric, (Curve("stable", tuple(stable)), Curve("canary", tuple(canary))))


def _evidence_panel(policy: Policy, observation: Observation, verdict: Verdict) -> Panel:
    path = weigh(policy, observation).path
    points = tuple((number + 1.0, float(value) / _LN10) for number, value in enumerate(path))
    crossed = None
    if verdict.crossed_ns is not None:
        crossed = (verdict.crossed_ns - observation.start_ns) / MINUTE_NS
    return Panel("evidence, power of ten", (Curve("evidence", points),), verdict.threshold / _LN10, crossed)


@dataclass(frozen=True, slots=True)
class _Scale:
    """Where things of a panel are, in units of the picture."""

    top: float
    minutes: int
    low: float
    high: float

    def x(self, minute: float) -> float:
        return _LEFT + _ACROSS * min(max(minute / self.minutes, 0.0), 1.0)

    def y(self, value: float) -> float:
        within = min(max(value, self.low), self.high) - self.low
        return self.top + _PANEL * (1 - within / (self.high - self.low))


def _drawn(panel: Panel, *, top: float, minutes: int) -> Iterator[str]:
    low, high = _range(panel)
    scale = _Scale(top, minutes, low, high)
    bottom, right = top + _PANEL, _LEFT + _ACROSS
    yield f'<text x="{_LEFT}" y="{top - 6:.0f}">{_safe(panel.title)}</text>'
    yield from _legend(panel, top)
    yield f'<path class="axis" d="M{_LEFT} {top:.1f}V{bottom:.1f}H{right}"/>'
    for value in (low, high):
        at = scale.y(value) + 4
        yield f'<text class="quiet" text-anchor="end" x="{_LEFT - 6}" y="{at:.1f}">{value:.3g}</text>'
    for curve in panel.curves:
        yield f'<path class="{curve.kind}" d="{_path(curve.points, scale)}"/>'
    if panel.level is not None:
        yield _line(_LEFT, scale.y(panel.level), right, scale.y(panel.level))
    if panel.mark is not None:
        yield _line(scale.x(panel.mark), top, scale.x(panel.mark), bottom)


def _legend(panel: Panel, top: float) -> Iterator[str]:
    at = _LEFT + _ACROSS
    for curve in reversed(panel.curves if len(panel.curves) > 1 else ()):
        at -= 90
        yield f'<path class="{curve.kind}" d="M{at} {top - 10:.0f}h20"/>'
        yield f'<text x="{at + 26}" y="{top - 6:.0f}">{curve.kind}</text>'


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="threshold" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _range(panel: Panel) -> tuple[float, float]:
    """Lowest and highest value, 0 and the dashed line among them."""
    values = [value for curve in panel.curves for _, value in curve.points if value is not None]
    values += [0.0] if panel.level is None else [0.0, panel.level]
    low, high = min(values), max(values)
    return (low, high) if high > low else (low, low + 1.0)


def _path(points: Sequence[Point], scale: _Scale) -> str:
    """A curve; it is interrupted where a value, or a minute, is not known."""
    step = max(1, len(points) // _MOST_POINTS)
    drawn: list[str] = []
    before: float | None = None
    for minute, value in points[::step]:
        if value is None:
            before = None
            continue
        joined = before is not None and minute - before <= step
        drawn.append(f"{'L' if joined else 'M'}{scale.x(minute):.1f} {scale.y(value):.1f}{'' if joined else 'h1'}")
        before = minute
    return "".join(drawn)


def _safe(text: str) -> str:
    """Text that XML can hold: cut, without characters that XML forbids, escaped."""
    plain = "".join(character for character in text if character.isprintable())
    cut = plain if len(plain) <= _TITLE_CHARACTERS else f"{plain[: _TITLE_CHARACTERS - 1]}…"
    return escape(cut)
