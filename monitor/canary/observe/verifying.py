"""Before against after: how a release does since something that it depends on has changed.

There is no control arm, so whatever else changed meanwhile is in it: the verdict is for a person.
"""

from dataclasses import replace
from typing import Final

from monitor.canary.counts import MINUTE_NS, MetricCounts, MetricPolicy, Minute, Observation, Policy, Verdict
from monitor.canary.decide import decide
from monitor.canary.observe import asking
from monitor.canary.observe.asking import ArmNames
from monitor.canary.observe.rows import floor_minute
from monitor.canary.resource.canary import Canary
from monitor.reading import IncompleteError, Reader

MINUTES: Final = 5
"""Before and after; windows reach back a quarter of an hour, and who looks comes five minutes after the change."""

_METRIC: Final = "errors"


async def before_and_after(canary: Canary, names: ArmNames, reader: Reader, changed_ns: int) -> Verdict | None:
    """Judge the minutes after a change by those before; `None` when they are not known as a whole.

    Args:
        canary: Whose release.
        names: Of its arms; the canary's release is the one that serves.
        reader: Answers for windows.
        changed_ns: When its dependency was promoted.
    """
    at_ns = floor_minute(changed_ns)
    served = replace(names, stable=names.canary)
    try:
        before = [await _minute(served, reader, at_ns - (MINUTES - at) * MINUTE_NS) for at in range(MINUTES)]
        after = [await _minute(served, reader, at_ns + (1 + at) * MINUTE_NS) for at in range(MINUTES)]
    except (IncompleteError, KeyError):
        return None
    minutes = tuple(
        Minute(at_ns + at * MINUTE_NS, *one, *two) for at, (one, two) in enumerate(zip(before, after, strict=True))
    )
    policy = Policy((MetricPolicy(_METRIC, warm_up_minutes=0),), canary.spec.false_rollback_rate, MINUTES)
    counts = (MetricCounts(_METRIC, minutes),)
    return decide(policy, Observation(at_ns, at_ns + MINUTES * MINUTE_NS, counts))


async def _minute(names: ArmNames, reader: Reader, start_ns: int) -> tuple[float, float]:
    answer = await reader.ask(asking.requests(names, start_ns, start_ns + MINUTE_NS))
    if not asking.is_whole(answer, start_ns + MINUTE_NS):
        raise IncompleteError("a minute is not complete yet")
    row = asking.counted_errors(_METRIC, answer, names)
    return row.stable_n, row.stable_e
