"""Which rules concern which run: from the file, read again when it has changed, and from pods' annotations."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter

from fluentd.files.discovery import Place
from fluentd.pods.podrules import NO_RULES, PodRules, RateLimit
from fluentd.rules.compiled import RunRules
from fluentd.rules.judge import Judged
from fluentd.rules.linerules import LineRule
from fluentd.rules.redact import Redactor, UserPattern
from fluentd.rules.rulesfile import FileRules, RulesFile, annotated_pattern, pack_kinds, read_rules
from fluentd.rules.secrets import PACKS
from fluentd.rules.state import Verdict
from pipeline.chunk import Origin
from pipeline.cri import STREAMS
from pipeline.errors import SettingsError

log = structlog.get_logger()

CUSTOM: Final = "custom"
"""The kind of what a pattern of an annotation hides."""

_LOOK_SECONDS: Final = 1.0
_MOST_CACHED: Final = 4096

_REASONS: Final = {
    Verdict.LIMIT: "rate_limit",
    Verdict.DROP: "drop_rule",
    Verdict.SAMPLE: "sample_rule",
    Verdict.STREAM: "excluded_stream",
}

_Key = tuple[str, str, str, str, PodRules]


class RuleBook:
    """See the module. While the file cannot be read, what it said last holds; that is counted, and logged once.

    Args:
        path: Of the file of rules, if there is one.
        pod_rules: What a pod's annotations say.
        registry: For the counters.

    Raises:
        SettingsError: There is a file and it makes no sense: without it, secrets would go out.
    """

    def __init__(
        self, path: Path | None, *, pod_rules: Callable[[Place], PodRules], registry: CollectorRegistry
    ) -> None:
        self._path, self._pod_rules = path, pod_rules
        self._file = FileRules(RulesFile())
        self._stamp: tuple[int, int, int] | None = None
        self._gone = False
        self._looked_at = 0.0
        self._rules: dict[_Key, RunRules | None] = {}
        self._input_rules: dict[tuple[str, str, str], RunRules | None] = {}
        self._redactors: dict[tuple[frozenset[str], tuple[str, ...]], Redactor] = {}
        self._refused: set[str] = set()
        self._errors = Counter(
            "fluentd_rules_errors",
            "Files of rules, and packs or patterns in annotations, that made no sense.",
            registry=registry,
        )
        self._hidden = Counter(
            "fluentd_redactions", "Secrets hidden, by kind; those read again count again.", ["kind"], registry=registry
        )
        self._lines = Counter("fluentd_dropped_lines", "Lines that rules dropped.", ["reason"], registry=registry)
        self._bytes = Counter("fluentd_dropped_bytes", "Their bytes as stored.", ["reason"], registry=registry)
        for reason in _REASONS.values():
            self._lines.labels(reason)
            self._bytes.labels(reason)
        try:
            self._read()
        except (OSError, ValueError) as error:
            raise SettingsError(f"AGENT_RULES={path}: {error}") from error

    def of(self, place: Place, origin: Origin) -> RunRules | None:
        """Rules for the lines of one run; `None` when there are none."""
        self._refresh()
        said = self._pod_rules(place)
        key = (origin.app, origin.namespace, origin.process, origin.container, said)
        if key not in self._rules:
            if len(self._rules) >= _MOST_CACHED:
                self._forget()
            self._rules[key] = self._make(origin, said, container=place.container)
        return self._rules[key]

    def of_platform(self, place: Place, origin: Origin) -> RunRules | None:
        """Rules for the Deis controller's log, whose lines are about any app: what is hidden for one, is hidden here.

        Asked for once, every other second, by one run.
        """
        self._refresh()
        return self._run_rules([], None, self._redactor(origin, self._pod_rules(place), about_any=True))

    def of_input(self, origin: Origin) -> RunRules | None:
        """Rules for lines from the network, which have no pod; `None` when there are none. No rate is limited."""
        self._refresh()
        key = (origin.app, origin.process, origin.container)
        if key not in self._input_rules:
            if len(self._input_rules) >= _MOST_CACHED:  # clients may make up names
                self._forget()
            lines = self._file.lines(origin)
            self._input_rules[key] = self._run_rules(lines, None, self._redactor(origin, NO_RULES))
        return self._input_rules[key]

    def count(self, judged: Judged) -> None:
        """Count what was dropped and hidden."""
        for verdict, (lines, size) in judged.dropped.items():
            reason = _REASONS[Verdict(verdict)]
            self._lines.labels(reason).inc(lines)
            self._bytes.labels(reason).inc(size)
        for kind, secrets in judged.hidden.items():
            self._hidden.labels(kind).inc(secrets)

    def _make(self, origin: Origin, said: PodRules, *, container: str) -> RunRules | None:
        limit, fixed = self._file.rate(origin)
        if said.rate_limit is not None and not fixed:
            limit = said.rate_limit
        excluded = [LineRule(Verdict.STREAM, STREAMS.index(name)) for name in sorted(said.excluded_streams(container))]
        return self._run_rules([*excluded, *self._file.lines(origin)], limit, self._redactor(origin, said))

    @staticmethod
    def _run_rules(lines: list[LineRule], limit: RateLimit | None, redactor: Redactor | None) -> RunRules | None:
        if not lines and limit is None and redactor is None:
            return None
        return RunRules(lines=lines, limit=limit, redactor=redactor)

    def _redactor(self, origin: Origin, said: PodRules, *, about_any: bool = False) -> Redactor | None:
        packs, patterns = self._file.redact(None if about_any else origin)
        packs += [entry for entry in said.redact if entry in PACKS]
        for entry in said.redact:
            if entry not in PACKS:
                patterns += self._annotated(entry, origin)
        if not packs and not patterns:
            return None
        key = frozenset(packs), tuple(f"{one.name} {one.pattern.pattern}" for one in patterns)
        if key not in self._redactors:  # a compiled one is large, and most runs have the same
            kinds, keys = pack_kinds(packs)
            self._redactors[key] = Redactor(kinds, keys=keys, patterns=patterns)
        return self._redactors[key]

    def _annotated(self, entry: str, origin: Origin) -> list[UserPattern]:
        """A pattern of an annotation; one that makes no sense is left out, counted, and named once."""
        where = f"{origin.namespace}/{origin.pod}: {entry}"
        try:
            return [annotated_pattern(where, CUSTOM, entry)]
        except ValueError as error:
            if where not in self._refused:
                self._refused = {*self._refused, where} if len(self._refused) < _MOST_CACHED else {where}
                self._errors.inc()
                log.warning("an annotation asks for what cannot be hidden", error=str(error))
            return []

    def _refresh(self) -> None:
        now = time.monotonic()
        if self._path is None or now - self._looked_at < _LOOK_SECONDS:
            return
        self._looked_at = now
        try:
            self._read()
        except (OSError, ValueError) as error:
            self._errors.inc()
            log.warning("cannot read the rules, the last ones hold", path=str(self._path), error=str(error))

    def _forget(self) -> None:
        """Make everything anew when it is asked for."""
        self._rules.clear()
        self._input_rules.clear()
        self._redactors.clear()

    def _read(self) -> None:
        """Read the file if it has changed.

        Raises:
            OSError: It cannot be read.
            ValueError: It makes no sense.
        """
        if self._path is None:
            return
        stamp = _stamp(self._path)
        if stamp is not None and stamp == self._stamp:
            return
        seen, self._stamp = self._stamp, stamp
        if stamp is None and self._gone:
            return
        self._gone = stamp is None
        self._file = read_rules(self._path)
        self._forget()
        if seen is not None:
            log.info("rules read again", path=str(self._path))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
