"""The judge of a way that asks: an answer may repeat what earlier ones had; only what is twice in it is double."""

from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

from fluentd.audit.judge import Judge, Patience, Verdict


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked for.

    Attributes:
        first: Number of the first line that is looked for; lines before it are not judged.
        since_ns: Its time.
        until_ns: Lines from then on are not asked for.
    """

    first: int
    since_ns: int
    until_ns: int


@dataclass(slots=True)
class Repeats:
    """Tells what is new of what each answer may bring again, as long as it comes in every answer."""

    _last: frozenset[Hashable] = frozenset()

    def count_new(self, found: Iterable[Hashable]) -> int:
        """How many of `found`, all of one answer, the answer before did not have."""
        before, self._last = self._last, frozenset(found)
        return len(self._last - before)


@dataclass(slots=True)
class AnswerJudge:
    """Judges whole answers.

    Attributes:
        judge: Of the lines, as they are first seen.
    """

    judge: Judge
    _doubled: dict[int, int] = field(default_factory=dict)
    _unexpected: Repeats = field(default_factory=Repeats)

    @classmethod
    def begin(cls, patience: Patience) -> "AnswerJudge":
        """The judge of a new run."""
        return cls(Judge(patience))

    def ask(self, until_ns: int) -> Question | None:
        """What to ask for now; `None` when nothing from before `until_ns` is looked for."""
        oldest = self.judge.oldest()
        if oldest is None or oldest[1] >= until_ns:
            return None
        return Question(oldest[0], oldest[1], until_ns)

    def answered(self, question: Question, sequences: Iterable[int]) -> Counter[Verdict]:
        """Judge the lines of an answer in its order; how many were what.

        A line that an earlier answer had is nothing new; a copy is counted once, however many answers have it; and the
        order is that of this answer.
        """
        verdicts: Counter[Verdict] = Counter()
        copies: Counter[int] = Counter()
        unexpected: set[int] = set()
        highest = -1
        for sequence in sequences:
            if sequence < question.first:
                continue
            copies[sequence] += 1
            if sequence >= self.judge.next:
                unexpected.add(sequence)
            elif copies[sequence] == 1 and (verdict := self.judge.seen(sequence)) is not Verdict.DUPLICATE:
                verdicts[_in_answer(verdict, in_order=sequence > highest)] += 1
            highest = max(highest, sequence)
        verdicts[Verdict.UNEXPECTED] = self._unexpected.count_new(unexpected)
        verdicts[Verdict.DUPLICATE] = self._new_copies(question, copies)
        return +verdicts

    def _new_copies(self, question: Question, copies: Counter[int]) -> int:
        doubled = {sequence: count - 1 for sequence, count in copies.items() if count > 1}
        known = self._doubled
        self._doubled = {sequence: known[sequence] for sequence in known if sequence >= question.first}
        self._doubled |= {sequence: max(count, known.get(sequence, 0)) for sequence, count in doubled.items()}
        return sum(max(0, count - known.get(sequence, 0)) for sequence, count in doubled.items())

    def settle(self, question: Question, *, now_ns: int, complete_ns: int) -> None:
        """Decide what a whole answer decides, all of its lines judged.

        Args:
            question: What was asked.
            now_ns: The time.
            complete_ns: `Complete-Up-To` of the answer; 0 when it does not say or is partial.
        """
        self.judge.settle(now_ns=now_ns, complete_ns=min(complete_ns, question.until_ns))


def _in_answer(verdict: Verdict, *, in_order: bool) -> Verdict:
    """The order that counts is that within an answer, not that of the answers."""
    if verdict not in {Verdict.FIRST, Verdict.OUT_OF_ORDER}:
        return verdict
    return Verdict.FIRST if in_order else Verdict.OUT_OF_ORDER
