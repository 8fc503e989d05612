"""Recorded counts against a policy."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.canary.counts import (
    MINUTE_NS,
    Decision,
    MetricCounts,
    MetricPolicy,
    Minute,
    Observation,
    Policy,
    Reason,
    Signals,
)
from monitor.canary.simulate import CountsError, read_csv, read_json, read_policy, replay

POLICY = Policy((MetricPolicy("errors", phi=1.0, tolerance=1.0, warm_up_minutes=0),))
HEAD = "metric,minute,stable_n,stable_e,canary_n,canary_e\n"


def _csv(minutes: range, canary_e: float) -> str:
    return "".join(f"errors,{minute},3000,15,300,{canary_e}\n" for minute in minutes)


def test_a_bad_release_is_rolled_back_at_the_minute_at_which_it_would_have_been() -> None:
    observation = read_csv(HEAD + _csv(range(10), 1.5) + _csv(range(10, 40), 6))
    looks = list(replay(POLICY, observation))
    assert [look.minute for look in looks] == list(range(1, len(looks) + 1))
    assert 11 < len(looks) < 25
    assert looks[-1].verdict.decision is Decision.ROLLBACK
    assert looks[-1].verdict.crossed_ns == looks[-1].minute * MINUTE_NS
    assert all(look.verdict.decision is not Decision.ROLLBACK for look in looks[:-1])


def test_a_minute_without_a_line_is_missing() -> None:
    looks = list(replay(POLICY, read_csv(HEAD + _csv(range(20), 1.5) + _csv(range(21, 25), 1.5))))
    assert looks[19].verdict.decision is Decision.PROMOTABLE
    assert looks[20].verdict.reason is Reason.MISSING_DATA
    assert looks[21].verdict.decision is Decision.PROMOTABLE


def test_what_is_kept_for_audit_is_read_again_with_its_signals() -> None:
    minutes = tuple(Minute(minute * MINUTE_NS, 3000, 15, 300, 1) for minute in range(5))
    signals = Signals(canary_pods=1, canary_crash_loops=1, stable_pods=3)
    kept = Observation(0, 5 * MINUTE_NS, (MetricCounts("errors", minutes),), signals)
    read = read_json(msgspec.json.encode(kept))
    assert read == kept
    assert [look.verdict.reason for look in replay(POLICY, read)] == [Reason.TOO_EARLY] * 4 + [Reason.CRASH_LOOP]


def test_a_policy_is_read_with_defaults() -> None:
    read = read_policy(b'{"metrics": [{"name": "errors", "phi": 1.3}], "false_rollback_rate": 0.05}')
    assert read == Policy((MetricPolicy("errors", phi=1.3),), false_rollback_rate=0.05)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("metric,minute\n", "no column canary_e"),
        ("", "no column"),
        (HEAD + "errors,0,1,x,1,1\n", "line 2"),
        (HEAD + "errors,0,1,nan,1,1\n", "line 2"),
        (HEAD + "errors,0,1,-1,1,1\n", "negative"),
        (HEAD + "errors,0,1\n", "line 2"),
        (HEAD + "errors,99999999,1,1,1,1\n", "minute 99999999"),
        (HEAD + 'errors,0,1,1,1,"1\n', "line"),
    ],
)
def test_lines_that_are_no_counts_are_refused_with_their_place(text: str, message: str) -> None:
    with pytest.raises(CountsError, match=message):
        read_csv(text)


def test_the_same_minute_twice_is_refused() -> None:
    with pytest.raises(CountsError, match="once"):
        list(replay(POLICY, read_csv(HEAD + _csv(range(3), 1) + _csv(range(2), 1))))


@pytest.mark.parametrize("text", [b"{}", b"[", b'{"metrics": [{"name": "e", "phi": 0.5}]}', b'{"metrics": 3}'])
def test_json_that_is_no_policy_or_observation_is_refused(text: bytes) -> None:
    with pytest.raises(CountsError):
        read_policy(text)
    with pytest.raises(CountsError):
        read_json(text)


def test_a_policy_that_cannot_judge_is_refused() -> None:
    with pytest.raises(CountsError, match="a policy needs"):
        list(replay(Policy(()), read_csv(HEAD + _csv(range(3), 1))))


@given(st.text(alphabet='0123456789,.-+eE\n"errorsmetric\x00inf \r', max_size=200))
def test_no_text_does_more_than_be_refused(text: str) -> None:
    try:
        observation = read_csv(HEAD + text)
    except CountsError:
        return
    for counts in observation.metrics:
        assert all(minute.start_ns >= 0 for minute in counts.minutes)
