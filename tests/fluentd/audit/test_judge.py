"""The judge of one way: what was written against what came, held against a model that remembers everything."""

from collections import Counter
from enum import Enum, auto

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from fluentd.audit.judge import Judge, Patience, Reason, Verdict

PATIENCE = Patience(settle_ns=5, wait_ns=50, late_ns=100)


def make(lines: int = 0) -> Judge:
    """A judge that expects lines 0, 1, 2 ... written at 0, 10, 20 ..."""
    judge = Judge(PATIENCE)
    for sequence in range(lines):
        judge.written(sequence, sequence * 10)
    return judge


def test_a_line_is_first_seen_then_a_duplicate() -> None:
    judge = make(1)
    assert [judge.seen(0), judge.seen(0), judge.seen(0)] == [Verdict.FIRST, Verdict.DUPLICATE, Verdict.DUPLICATE]
    assert not judge.waiting


def test_a_line_after_a_later_one_is_out_of_order() -> None:
    judge = make(3)
    assert [judge.seen(2), judge.seen(0), judge.seen(1)] == [Verdict.FIRST, *[Verdict.OUT_OF_ORDER] * 2]


def test_a_line_that_nobody_wrote_is_unexpected() -> None:
    assert make(1).seen(1) is Verdict.UNEXPECTED


def test_nothing_is_missing_before_completeness_has_passed_it_by_the_time_to_settle() -> None:
    judge = make(2)
    judge.settle(now_ns=20, complete_ns=5)
    assert not judge.missing
    judge.settle(now_ns=20, complete_ns=6)
    assert judge.missing.keys() == {0}
    assert judge.given_up == {Reason.COMPLETE: 1}


def test_without_a_word_about_completeness_a_line_is_missing_after_the_longest_wait() -> None:
    judge = make(2)
    judge.settle(now_ns=50)
    assert not judge.missing
    judge.settle(now_ns=51)
    assert judge.given_up == {Reason.WAITED: 1}
    assert judge.waiting == {1: 10}


def test_at_the_very_time_to_settle_a_line_is_given_up_only_by_the_wait() -> None:
    judge = make(1)
    judge.settle(now_ns=60, complete_ns=5)
    assert judge.given_up == {Reason.WAITED: 1}


def test_a_missing_line_that_comes_is_late_and_no_longer_missing_and_then_a_duplicate() -> None:
    judge = make(1)
    judge.settle(now_ns=10, complete_ns=10)
    assert judge.seen(0) is Verdict.LATE
    assert judge.given_up.total() == 0
    assert judge.seen(0) is Verdict.DUPLICATE


def test_a_line_missing_for_too_long_stays_missing_and_is_no_longer_looked_for() -> None:
    judge = make(1)
    judge.settle(now_ns=10, complete_ns=10)
    judge.settle(now_ns=150)
    assert judge.oldest() == (0, 0)
    judge.settle(now_ns=151)
    assert judge.oldest() is None
    assert judge.given_up == {Reason.COMPLETE: 1}
    assert judge.seen(0) is Verdict.FORGOTTEN
    assert judge.given_up == {Reason.COMPLETE: 1}


def test_lines_are_written_in_order() -> None:
    with pytest.raises(ValueError, match="line 2 after 0"):
        make(1).written(2, 20)


class State(Enum):
    WAITING = auto()
    MISSING = auto()
    SEEN = auto()
    FORGOTTEN = auto()


class Judged(RuleBasedStateMachine):
    """Writes, sees and settles at random; the model keeps the state of every line for ever."""

    lines = Bundle("lines")

    def __init__(self) -> None:
        super().__init__()
        self.judge = Judge(PATIENCE)
        self.now_ns = 0
        self.states: list[State] = []
        self.times: list[int] = []
        self.highest = -1
        self.verdicts: Counter[Verdict] = Counter()

    @rule(target=lines, count=st.integers(1, 5), pause_ns=st.integers(0, 30))
    def write(self, count: int, pause_ns: int) -> object:
        self.now_ns += pause_ns
        begin = len(self.states)
        for sequence in range(begin, begin + count):
            self.judge.written(sequence, self.now_ns)
            self.states.append(State.WAITING)
            self.times.append(self.now_ns)
        return multiple(*range(begin, begin + count))

    @rule(sequence=lines)
    def see(self, sequence: int) -> None:
        state = self.states[sequence]
        below_forgotten = any(state is State.FORGOTTEN for state in self.states[sequence:])
        expected = {
            State.WAITING: Verdict.FIRST if sequence > self.highest else Verdict.OUT_OF_ORDER,
            State.MISSING: Verdict.LATE,
            State.SEEN: Verdict.FORGOTTEN if below_forgotten else Verdict.DUPLICATE,
            State.FORGOTTEN: Verdict.FORGOTTEN,
        }[state]
        verdict = self.judge.seen(sequence)
        assert verdict is expected
        self.verdicts[verdict] += 1
        if state is State.WAITING:
            self.highest = max(self.highest, sequence)
        if state in {State.WAITING, State.MISSING}:
            self.states[sequence] = State.SEEN

    @rule(ahead=st.integers(0, 10))
    def see_what_nobody_wrote(self, ahead: int) -> None:
        assert self.judge.seen(len(self.states) + ahead) is Verdict.UNEXPECTED

    @rule(pause_ns=st.integers(0, 60), behind_ns=st.none() | st.integers(0, 40))
    def settle(self, pause_ns: int, behind_ns: int | None) -> None:
        self.now_ns += pause_ns
        complete_ns = 0 if behind_ns is None else max(0, self.now_ns - behind_ns)
        self.judge.settle(now_ns=self.now_ns, complete_ns=complete_ns)
        for sequence, time_ns in enumerate(self.times):
            given_up = time_ns < complete_ns - PATIENCE.settle_ns or time_ns < self.now_ns - PATIENCE.wait_ns
            if self.states[sequence] is State.WAITING and given_up:
                self.states[sequence] = State.MISSING
            old = time_ns < self.now_ns - PATIENCE.wait_ns - PATIENCE.late_ns
            if self.states[sequence] is State.MISSING and old:
                self.states[sequence] = State.FORGOTTEN
        oldest = self.judge.oldest()
        assert oldest is None or oldest[1] >= self.now_ns - PATIENCE.wait_ns - PATIENCE.late_ns, "memory is bounded"

    @invariant()
    def every_line_is_counted_once(self) -> None:
        counted = Counter(self.states)
        assert len(self.judge.waiting) == counted[State.WAITING]
        assert len(self.judge.missing) == counted[State.MISSING]
        assert self.judge.given_up.total() == counted[State.MISSING] + counted[State.FORGOTTEN]
        came = self.verdicts[Verdict.FIRST] + self.verdicts[Verdict.OUT_OF_ORDER] + self.verdicts[Verdict.LATE]
        assert came == counted[State.SEEN]

    @invariant()
    def the_oldest_line_looked_for_is_known(self) -> None:
        looked_for = [number for number, state in enumerate(self.states) if state in {State.WAITING, State.MISSING}]
        assert self.judge.oldest() == ((looked_for[0], self.times[looked_for[0]]) if looked_for else None)


TestJudged = Judged.TestCase
TestJudged.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
