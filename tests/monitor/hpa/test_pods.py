"""Values of pods: of those that the window says something of."""

from told_reader import NOW_NS

from monitor.hpa.cluster import ReadyPod
from monitor.hpa.custom import items_of
from monitor.meaning import BUILT_IN
from monitor.values import Values

S = 1_000_000_000
STOP_NS = NOW_NS - 20 * S
START_NS = STOP_NS - 60 * S


def values(name: str, **pods: float) -> Values:
    return Values(BUILT_IN[name], START_NS, STOP_NS, {(pod,): value for pod, value in pods.items()})


def of(given: Values, **since_seconds: int) -> dict[str, float]:
    """Values of pods that became ready so long before the window's end."""
    pods = [ReadyPod(name, STOP_NS - seconds * S) for name, seconds in since_seconds.items()]
    return {item.described.name: item.value for item in items_of(pods, given, "shop") if item.described}


def test_a_ready_pod_without_lines_is_at_0_and_has_no_latency() -> None:
    assert of(values("requests_per_second", a=3.0), a=100, b=100) == {"a": 3.0, "b": 0.0}
    assert of(values("latency_p95_seconds", a=0.2), a=100, b=100) == {"a": 0.2}


def test_pods_that_came_in_the_window_add_up_to_what_was_served() -> None:
    assert of(values("requests_per_second", a=3.0, b=1.0), a=100, b=5) == {"a": 3.0, "b": 1.0}


def test_a_pod_that_came_after_the_window_has_no_value_yet() -> None:
    assert of(values("requests_per_second", a=3.0), b=0, c=-15) == {}


def test_a_pod_that_is_not_ready_is_not_listed() -> None:
    assert of(values("requests_per_second", gone=3.0)) == {}
