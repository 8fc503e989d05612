"""Results beside targets, as a table that can stand in a document."""

from typing import Final

from bench.canary.cells import Cell, Target
from bench.canary.trial import Outcome, Outcomes

HEAD: Final = (
    "| cell | ours: % rolled back (95 %) | median, 95 % by | target | | Flagger's rule | Kayenta's rule |\n"
    "| --- | --- | --- | --- | --- | --- | --- |"
)


def row(cell: Cell, outcomes: Outcomes) -> str:
    """One line of the table."""
    mine = outcomes["ours"]
    low, high = mine.interval
    cells = [
        cell.name,
        f"{100 * mine.rolled_back:.1f} ({100 * low:.1f} to {100 * high:.1f})",
        f"{_minute(mine.by(0.5))}, {_minute(mine.by(0.95))}",
        asked(cell.target),
        judgement(cell.target, mine),
        _short(outcomes["Flagger's rule"]),
        _short(outcomes["Kayenta's rule"]),
    ]
    return f"| {' | '.join(cells)} |"


def asked(target: Target) -> str:
    """A target in words."""
    parts = [
        f"<= {100 * target.most:g} %" if target.most is not None else "",
        f">= {100 * target.least:g} %" if target.least is not None else "",
        f"median <= {target.median}" if target.median is not None else "",
        f"all by {target.all_by}" if target.all_by is not None else "",
    ]
    return ", ".join(part for part in parts if part)


def judgement(target: Target, outcome: Outcome) -> str:
    """`pass`, `FAIL`, or nothing where nothing is asked."""
    if target == Target():
        return ""
    return "pass" if met(target, outcome) else "FAIL"


def met(target: Target, outcome: Outcome) -> bool:
    """Whether what came out is what was asked."""
    rate, (_, upper) = outcome.rolled_back, outcome.interval
    median, last = outcome.by(0.5), outcome.by(1.0)
    return (
        (target.most is None or (rate <= target.most and upper <= 2 * target.most))
        and (target.least is None or rate >= target.least)
        and (target.median is None or (median is not None and median <= target.median))
        and (target.all_by is None or (last is not None and last <= target.all_by))
    )


def _short(outcome: Outcome) -> str:
    return f"{100 * outcome.rolled_back:.1f} @ {_minute(outcome.by(0.5))}"


def _minute(minute: int | None) -> str:
    return "-" if minute is None else str(minute)
