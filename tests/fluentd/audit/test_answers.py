"""The judge of answers that repeat: new is what no answer had, double is what is twice in one."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from fluentd.audit.answers import AnswerJudge, Question, Repeats
from fluentd.audit.judge import Patience, Reason, Verdict

PATIENCE = Patience(settle_ns=5, wait_ns=1000, late_ns=1000)


def make(lines: int) -> AnswerJudge:
    """Lines 0, 1, 2 ... written at 0, 10, 20 ..."""
    judge = AnswerJudge.begin(PATIENCE)
    for sequence in range(lines):
        judge.judge.written(sequence, sequence * 10)
    return judge


def test_it_asks_from_the_oldest_line_that_is_looked_for() -> None:
    judge = make(3)
    assert judge.ask(30) == Question(0, 0, 30)
    judge.answered(Question(0, 0, 30), [0])
    assert judge.ask(30) == Question(1, 10, 30)
    judge.answered(Question(1, 10, 30), [1, 2])
    assert judge.ask(30) is None


def test_it_does_not_ask_for_lines_that_are_too_young() -> None:
    assert make(3).ask(0) is None


def test_what_an_earlier_answer_had_is_nothing_new() -> None:
    judge = make(3)
    assert judge.answered(Question(0, 0, 30), [0, 2]) == {Verdict.FIRST: 2}
    assert judge.answered(Question(0, 0, 30), [0, 1, 2]) == {Verdict.FIRST: 1}


def test_lines_before_the_question_are_not_judged() -> None:
    judge = make(3)
    judge.answered(Question(0, 0, 30), [0, 1])
    assert judge.answered(Question(2, 20, 30), [0, 0, 1, 2]) == {Verdict.FIRST: 1}


def test_a_copy_is_counted_once_however_many_answers_have_it() -> None:
    judge = make(2)
    assert judge.answered(Question(0, 0, 30), [1, 1]) == {Verdict.FIRST: 1, Verdict.DUPLICATE: 1}
    assert judge.answered(Question(0, 0, 30), [1, 1]) == {}
    assert judge.answered(Question(0, 0, 30), [1, 1, 1]) == {Verdict.DUPLICATE: 1}
    assert judge.answered(Question(0, 0, 30), [1]) == {}
    assert judge.answered(Question(0, 0, 30), [1, 1, 1]) == {}


def test_copies_are_remembered_as_long_as_they_may_come_again() -> None:
    judge = make(3)
    judge.answered(Question(0, 0, 30), [1, 1])
    assert judge._doubled == {1: 1}
    judge.answered(Question(2, 20, 30), [2])
    assert judge._doubled == {}


def test_the_order_is_that_within_an_answer() -> None:
    judge = make(4)
    assert judge.answered(Question(0, 0, 40), [1, 0, 2]) == {Verdict.FIRST: 2, Verdict.OUT_OF_ORDER: 1}
    judge = make(4)
    assert judge.answered(Question(0, 0, 40), [2]) == {Verdict.FIRST: 1}
    assert judge.answered(Question(0, 0, 40), [0, 1, 2, 3]) == {Verdict.FIRST: 3}


def test_what_nobody_wrote_is_counted_once_as_long_as_it_comes() -> None:
    judge = make(1)
    assert judge.answered(Question(0, 0, 10), [0, 7]) == {Verdict.FIRST: 1, Verdict.UNEXPECTED: 1}
    assert judge.answered(Question(0, 0, 10), [0, 7]) == {}
    assert judge.answered(Question(0, 0, 10), [0, 7, 8]) == {Verdict.UNEXPECTED: 1}


def test_an_answer_decides_no_more_than_it_asked_for() -> None:
    judge = make(4)
    judge.settle(Question(0, 0, 20), now_ns=100, complete_ns=90)
    assert judge.judge.missing.keys() == {0, 1}
    assert judge.judge.given_up == {Reason.COMPLETE: 2}


def test_an_answer_without_completeness_decides_nothing() -> None:
    judge = make(4)
    judge.settle(Question(0, 0, 100), now_ns=100, complete_ns=0)
    assert not judge.judge.missing


@given(st.lists(st.lists(st.sampled_from("abcd"))))
def test_what_comes_in_every_answer_is_new_once(answers: list[list[str]]) -> None:
    repeats = Repeats()
    before: set[str] = set()
    for answer in answers:
        assert repeats.count_new(answer) == len(set(answer) - before)
        before = set(answer)


@given(st.lists(st.lists(st.integers(0, 9), max_size=20), max_size=10))
def test_lines_and_copies_add_up_whatever_the_answers(answers: list[list[int]]) -> None:
    judge = make(10)
    verdicts: Counter[Verdict] = Counter()
    question = Question(0, 0, 100)
    for answer in answers:
        verdicts += judge.answered(question, answer)
    most = Counter[int]()
    for answer in answers:
        most |= Counter(answer)
    assert verdicts[Verdict.FIRST] + verdicts[Verdict.OUT_OF_ORDER] == len(most)
    assert verdicts[Verdict.DUPLICATE] == most.total() - len(most)
    assert judge.judge.waiting.keys() == set(range(10)) - set(most)
