"""Canaries as text. Pure; whatever comes from outside is made visible where it is printed."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from rich.table import Table
from rich.text import Text

from deis_logs.safe import visible
from deis_telemetry.judged import Canary, Evidence, Look, Status
from deis_telemetry.shown import age, number

_COLUMNS: Final = ("CANARY", "PHASE", "REASON", "RELEASES", "SINCE", "EVIDENCE")
_BAR: Final = 10

Row = tuple[str, ...]


def rows_of(canaries: Sequence[Canary], now: datetime) -> Iterator[Row]:
    """Rows of the list."""
    for canary in canaries:
        status = canary.status
        yield (
            canary.path,
            status.phase,
            _reason(status),
            _releases(status),
            _since(status.since, now),
            meter(canary.fraction) if status.evidence else "-",
        )


def table_of(canaries: Sequence[Canary], now: datetime) -> Table:
    """The list as a table."""
    table = Table(box=None, pad_edge=False)
    for column in _COLUMNS:
        table.add_column(column, overflow="fold")
    for row in rows_of(canaries, now):
        table.add_row(*(Text(visible(cell)) for cell in row))
    return table


def meter(fraction: float) -> str:
    """How much of the evidence for a rollback is there: `███░░░░░░░ 31 %`."""
    filled = round(min(fraction, 1.0) * _BAR)
    return f"{'█' * filled}{'░' * (_BAR - filled)} {fraction:.0%}".replace("%", " %")


def lines_of(canary: Canary, now: datetime) -> Iterator[str]:
    """Everything about one canary."""
    for line in _lines(canary, now):
        yield visible(line)


def _lines(canary: Canary, now: datetime) -> Iterator[str]:
    status = canary.status
    yield f"{canary.path}: {status.phase}" + (f", {status.reason}" if status.reason else "")
    if status.message:
        yield f"  {status.message}"
    if status.canary_release:
        yield f"  release    {_releases(status)}, {_since(status.since, now)}, step {status.step + 1}"
    yield f"  target     {canary.target}, policy {canary.policy}"
    if status.said is not None:
        by_itself = "" if status.said.automatic else "; only a person may act on it"
        yield f"  verdict    {status.said.decision}, {status.said.reason}{by_itself}"
    for each in status.evidence:
        yield f"  {each.metric:<10} {compared(each)}"
        yield f"  {'':<10} evidence {meter(each.fraction)} of what rolls back alone ({evidence_of(each)})"
    yield from _around(canary)
    if status.pending:
        yield f"  waiting    {status.pending}: `deis-telemetry canary approve {canary.path} {status.pending}`"


def _around(canary: Canary) -> Iterator[str]:
    status = canary.status
    for edge in canary.depends_on:
        yield f"  depends on {edge.name} ({edge.policy})"
    for basis in status.basis:
        yield f"  judged on  {basis.name} {basis.release}"
    if status.caused_by:
        yield f"  caused by  {status.caused_by}"
    if status.intent is not None:
        yield f"  doing      {status.intent.action} {status.intent.name}"
    if status.keep_until is not None:
        yield f"  until      {status.keep_until:%Y-%m-%dT%H:%M:%SZ} late evidence still rolls back"
    holding = [condition.type for condition in status.conditions if condition.status == "True"]
    if holding:
        yield f"  conditions {', '.join(holding)}"


def compared(evidence: Evidence) -> str:
    """Both values and what is known of their ratio."""
    high = "" if evidence.ratio_high is None else f" to {number(evidence.ratio_high)}"
    low = number(evidence.ratio_low)
    ratio = f"{low}{high}" if high else f"{low} or more"
    return f"canary {_share(evidence.canary)}, stable {_share(evidence.stable)}, ratio {ratio}"


def evidence_of(evidence: Evidence) -> str:
    """The logarithms, and the noise."""
    noise = "" if evidence.phi is None else f", noise {number(evidence.phi)}"
    return f"log {evidence.log_e:.2f} of {evidence.threshold:.2f}{noise}"


def line_of(canary: Canary, now: datetime) -> str:
    """One canary in one line, for who follows it."""
    status = canary.status
    shown = f", evidence {meter(canary.fraction)}" if status.evidence else ""
    message = f": {status.message}" if status.message else ""
    return visible(f"{now:%H:%M:%S} {canary.path} {status.phase}, {_reason(status)}{shown}{message}")


def look_of(look: Look) -> str:
    """What would have been decided at one minute."""
    verdict = look.verdict
    fraction = max(0.0, verdict.log_evidence / verdict.threshold) if verdict.threshold > 0 else 0.0
    said = f"{verdict.decision:<12} {verdict.reason:<16}"
    return visible(f"minute {look.minute:>4}  {said} {meter(fraction):<17} {verdict.message}")


def _reason(status: Status) -> str:
    """Why; and for whom it waits."""
    return f"{status.reason} ({status.pending})" if status.pending else status.reason or "-"


def _releases(status: Status) -> str:
    if not status.canary_release:
        return status.stable_release or "-"
    return f"{status.canary_release} beside {status.stable_release}"


def _since(since: datetime | None, now: datetime) -> str:
    return "-" if since is None else age(max(0.0, (now - since).total_seconds()))


def _share(value: float | None) -> str:
    return "unknown" if value is None else number(value)
