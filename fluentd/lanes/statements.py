"""What the agent says about the pods of its node: every partition hears all of it, in order, in packs.

::

    known pods --> statements --> voice of lane 0 .. n --> the next pack that the lane sends

A change is in the next pack of each partition. With a heartbeat once a minute, all pods that are there are stated, so
that a reader who begins anywhere knows them a minute later, and those that vanished unseen are ended. The rules of
apps, which are long, go along with changes and every ten minutes. Nothing is said before the API server has answered.

No lock: everything happens in the agent's loop.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final

import msgspec
from prometheus_client import CollectorRegistry, Counter

from pipeline.errors import FormatError
from pipeline.limits import KIB
from pipeline.podstatement import MOST_STATEMENTS, PodNews, PodStatement, check_statements

COMPLETE_SECONDS: Final = 60.0
RULES_SECONDS: Final = 600.0

PATIENCE_NS: Final = 20_000_000_000
"""A heartbeat waits so long for what is known of pods: then a line of that time may name an address that is not."""

RIDE_BYTES: Final = 64 * KIB
"""More than this goes in a record of its own: a pack of chunks has room for no more."""

PART_BYTES: Final = 512 * KIB
"""Most of one record."""

_MOST_WAITING: Final = 10_000
"""Changes that are kept for a partition that takes nothing; older ones are dropped, and all pods stated anew."""

_FRAME_BYTES: Final = 48


class Statements:
    """See the module.

    Args:
        registry: For the metrics.
        now_ns: Nanoseconds since the epoch.
    """

    def __init__(self, *, registry: CollectorRegistry, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._now_ns = now_ns
        self._known_ns: Callable[[], int] = lambda: 0
        self._since_ns = now_ns()
        self._live: dict[str, PodStatement] = {}
        self._all: tuple[PodStatement, ...] | None = ()
        self._log: deque[PodStatement] = deque()
        self._first = 0  # number of the oldest in the log
        self._voices: list[Voice] = []
        self._said = Counter(
            "fluentd_pod_statements", "Changes of pods' addresses or labels that were stated.", registry=registry
        )
        self._dropped = Counter(
            "fluentd_pod_statements_dropped",
            "Statements about pods that could not be made: more waited for a partition, or more pods were here, than "
            "there is room for, or what the API server says of a pod makes no sense.",
            ["reason"],
            registry=registry,
        )

    def attend(self, known_ns: Callable[[], int]) -> None:
        """Take from now on what `known_ns` says: everything that happened to pods before that was said here."""
        self._known_ns = known_ns

    def known_ns(self) -> int:
        """Up to when pods are known; 0 while nothing is."""
        return self._known_ns()

    def complete_ns(self) -> int:
        """Up to when a heartbeat may speak: as far as pods are known, or a bounded time behind now."""
        behind_ns = self._now_ns() - PATIENCE_NS
        known_ns = self._known_ns()
        return max(known_ns, behind_ns) if known_ns or behind_ns >= self._since_ns else 0

    def say(self, statement: PodStatement) -> None:
        """Something changed. What a reader would refuse is not said: it would refuse the lines beside it, too."""
        try:
            check_statements([statement])
        except FormatError:
            self._dropped.labels("malformed").inc()
            return
        self._all = None
        if statement.to_ns:
            self._live.pop(statement.uid, None)
        else:
            self._live[statement.uid] = statement
        if not self._voices:
            return
        self._said.inc()
        self._log.append(statement)
        if len(self._log) > _MOST_WAITING:
            self._log.popleft()
            self._first += 1
            self._dropped.labels("waiting").inc()

    def lose(self, statement: PodStatement) -> None:
        """A pod is not there any more, and nobody listened when it went: an end is said of times that are known."""
        if known_ns := self._known_ns():
            self.say(msgspec.structs.replace(statement, to_ns=max(known_ns, statement.from_ns), rules=None))
        else:
            self._live.pop(statement.uid, None)  # an agent that was started anew: all pods will be stated without it
            self._all = None

    def voice(self, *, clock: Callable[[], float] = time.monotonic) -> "Voice":
        """What one more partition hears, from now on."""
        made = Voice(self, first=self._first + len(self._log), clock=clock)
        self._voices.append(made)
        return made

    def since(self, first: int) -> tuple[list[PodStatement], int]:
        """The statements from number `first` on, as far as they are kept, and the number of the next."""
        return list(islice(self._log, max(0, first - self._first), None)), self._first + len(self._log)

    def lacks(self, number: int) -> bool:
        """Whether that statement is dropped already."""
        return number < self._first

    def trim(self) -> None:
        """Drop what everybody heard."""
        heard = min(voice.next for voice in self._voices)
        while self._first < heard:
            self._log.popleft()
            self._first += 1

    def all(self) -> tuple[PodStatement, ...]:
        """All pods that are there, as far as one record has room; of rules only that there are none."""
        if self._all is None:  # else every partition would have them made anew
            told = [one if not one.rules else msgspec.structs.replace(one, rules=None) for one in self._live.values()]
            self._all = tuple(next(_parts(told), ()))
            self._dropped.labels("pods").inc(len(told) - len(self._all))
        return self._all

    def with_rules(self) -> list[PodStatement]:
        """Pods that are there and have rules."""
        return [one for one in self._live.values() if one.rules]

    def holds(self, statement: PodStatement) -> bool:
        """Whether that is what is true of its pod now."""
        return self._live.get(statement.uid) is statement


class Voice:
    """What one partition hears.

    Args:
        statements: Of the agent.
        first: Number of the first statement that it has not heard.
        clock: Monotonic seconds.

    Attributes:
        next: Number of the next statement that it hears.
    """

    def __init__(self, statements: Statements, *, first: int, clock: Callable[[], float]) -> None:
        self._statements, self._clock = statements, clock
        self.next = first
        self._complete_at = 0.0
        self._rules_at = 0.0

    def news(self, *, beats: bool) -> list[PodNews]:
        """What the next record says, in as many parts as it takes; the last may ride along with chunks.

        Args:
            beats: Whether the record has a heartbeat.
        """
        known_ns = self._statements.known_ns()
        if not known_ns:
            return []
        missed = self._statements.lacks(self.next)
        if missed:
            self._rules_at = 0.0
        changes, self.next = self._statements.since(self.next)
        self._statements.trim()
        if missed or (beats and self._clock() >= self._complete_at):
            return self._all(changes, known_ns)
        parts = [PodNews(tuple(part), known_ns=known_ns) for part in _parts(changes)]
        return parts or ([PodNews(known_ns=known_ns)] if beats else [])

    def _all(self, changes: list[PodStatement], known_ns: int) -> list[PodNews]:
        now, statements = self._clock(), self._statements
        told = [one for one in changes if one.to_ns or one.rules or not statements.holds(one)]
        if now >= self._rules_at:
            heard = {one.uid for one in told if one.rules}
            told += [one for one in statements.with_rules() if one.uid not in heard]
            self._rules_at = now + RULES_SECONDS
        self._complete_at = now + COMPLETE_SECONDS
        parts = [PodNews(tuple(part), known_ns=known_ns) for part in _parts(told)]
        return [*parts, PodNews(statements.all(), complete=True, known_ns=known_ns)]


def news_bytes(news: PodNews) -> int:
    """What they count for against `RIDE_BYTES`."""
    return sum(map(_statement_bytes, news.statements))


def _statement_bytes(said: PodStatement) -> int:
    names = (said.namespace, said.pod, said.uid, said.app, said.process, said.release, *said.ips)
    rules = len(said.rules.encode()) if said.rules else 0
    return _FRAME_BYTES + sum(2 + len(name.encode()) for name in names) + 3 * len(said.ports) + rules


def _parts(statements: Iterable[PodStatement]) -> Iterator[list[PodStatement]]:
    """Cut into parts that fit into a record."""
    part: list[PodStatement] = []
    size = 0
    for statement in statements:
        more = _statement_bytes(statement)
        if part and (size + more > PART_BYTES or len(part) >= MOST_STATEMENTS):
            yield part
            part, size = [], 0
        part.append(statement)
        size += more
    if part:
        yield part
