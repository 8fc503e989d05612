"""What a prober makes of an answer: each broken promise is one sentence, and an honest answer none."""

import pytest

from demo.probes import OLD_SECONDS, Answer, Probe, find_answer_faults, probe_message

NOW = 100.0
T0 = 1_790_000_000_000_000_000
SINCE_NS = T0 + 10

OLD = NOW - OLD_SECONDS


def written() -> dict[int, list[Probe]]:
    """Two shards: numbers 0 (too early), 1 and 2 (long acknowledged), 3 (just now), 4 (not yet)."""
    return {
        shard: [Probe(T0, 1.0), Probe(T0 + 10, OLD - 1), Probe(T0 + 20, OLD), Probe(T0 + 30, NOW), Probe(T0 + 40)]
        for shard in (0, 1)
    }


def lines(*places: tuple[int, int]) -> list[str]:
    return [probe_message(shard, number) for shard, number in places]


DUE = [(0, 1), (0, 2), (1, 1), (1, 2)]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(lines(*DUE)), []),
        (Answer(lines(*DUE, (0, 3), (0, 4))), []),
        (Answer(lines((0, 1), (0, 2)), partial=frozenset({1})), []),
        (Answer(lines((0, 1), (1, 1), (1, 2))), ["shard 0: acknowledged long before, and not there: 2; 1 in all"]),
        (Answer(lines((1, 1), (1, 2)), partial=frozenset({1})), ["shard 0: acknowledged long before"]),
        (Answer(lines(*DUE, (1, 2))), ["shard 1: 2 after 2"]),
        (Answer(lines((0, 1), (0, 2), (1, 2), (1, 1))), ["shard 1: 1 after 2"]),
        (Answer(lines(*DUE, (0, 1)), partial=frozenset({0})), ["shard 0: 1 after 2"]),
        (Answer(lines(*DUE), complete_up_to_ns=T0 + 30), []),
        (Answer(lines(*DUE, (1, 3)), complete_up_to_ns=T0 + 31), ["shard 0: said to be complete, and not there: 3"]),
        (Answer(lines(*DUE, (7, 0))), ["never written: 'probe 7 0'"]),
        (Answer([*lines(*DUE), "other"]), ["never written: 'other'"]),
    ],
    ids=[
        "all that is due",
        "newer lines too",
        "a shard that is said to be missing",
        "an old line is not there",
        "another shard is said to be missing",
        "a line twice",
        "out of order",
        "twice in a shard that is said to be missing",
        "complete up to the line before",
        "complete beyond what is there",
        "a shard that does not exist",
        "no probe",
    ],
)
def test_each_broken_promise_is_told(answer: Answer, expected: list[str]) -> None:
    faults = find_answer_faults(answer, written(), asked_at=NOW, since_ns=SINCE_NS)
    assert len(faults) == len(expected), faults
    for fault, beginning in zip(faults, expected, strict=True):
        assert fault.startswith(beginning)
