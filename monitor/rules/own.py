"""Rules that an app states of its own lines, in the annotation `metrics.deis.io/rules` of its pods.

::

    metrics.deis.io/rules: |
      - {name: orders_total, kind: counter, format: json, when: {event: [order placed]}, labels: {shop: shop}}

The metric is called `own_<app>__orders`: no app can make another one's metric, or one that is built in.
"""

import re
from dataclasses import dataclass
from typing import Any, Final

from monitor.metric import Metric
from monitor.rules.linerule import LineRule
from monitor.rules.places import named
from monitor.rules.rulesfile import check_names, compiled, validated
from monitor.rules.spec import AppReading
from monitor.rules.yamltext import read_yaml
from pipeline.lines.batch import ChunkFacts

OWN_BYTES: Final = 4096
"""A longer annotation is refused."""

MOST_OWN_METRICS: Final = 20

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")
_NAME_CHARACTERS: Final = 64


@dataclass(frozen=True, slots=True)
class AppRules:
    """What an app's annotation says.

    Attributes:
        namespace: Of the app.
        app: Whose lines the rules read, and no others.
        rules: The rules, with which of the app's lines they read.
        problems: What makes no sense in the annotation, one sentence each; such rules are left out.
    """

    namespace: str
    app: str
    rules: tuple[tuple[AppReading, LineRule], ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """What the rules make; each name begins with `own_<app>__`, and those of no other app or rule do."""
        return tuple(dict.fromkeys(rule.metric for _, rule in self.rules))

    def rules_of(self, facts: ChunkFacts) -> tuple[LineRule, ...]:
        """The rules that read lines of a writer, which is the app's."""
        return tuple(
            rule
            for reading, rule in self.rules
            if named(reading.where.processes, facts.process) and named(reading.where.containers, facts.container)
        )


def read_own(text: str, *, namespace: str, app: str) -> AppRules:
    """Read an annotation; never fails: what makes no sense is left out and named in `problems`."""
    try:
        entries = _entries(text)
    except ValueError as error:
        return AppRules(namespace, app, problems=(str(error),))
    prefix = own_prefix(namespace, app)
    rules: list[tuple[AppReading, LineRule]] = []
    problems: list[str] = []
    for number, entry in enumerate(entries):
        try:
            rules.append(_rule(f"[{number}]", entry, prefix, [rule.metric for _, rule in rules]))
        except ValueError as error:
            problems.append(str(error))
    return AppRules(namespace, app, tuple(rules), tuple(problems))


def _entries(text: str) -> list[Any]:
    if len(text.encode(errors="replace")) > OWN_BYTES:
        raise ValueError(f"over {OWN_BYTES} bytes")
    entries = read_yaml(text)
    if entries is None:
        return []
    if not isinstance(entries, list):
        raise ValueError("it must be a list of rules")  # noqa: TRY004 - of the text, not of a type
    if len(entries) > MOST_OWN_METRICS:
        raise ValueError(f"more than {MOST_OWN_METRICS} rules")
    return entries


def _rule(where: str, entry: object, prefix: str, known: list[Metric]) -> tuple[AppReading, LineRule]:
    try:
        reading = validated(entry, AppReading)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    if not _NAME.fullmatch(reading.name) or len(reading.name) > _NAME_CHARACTERS:
        raise ValueError(
            f"{where}.name: lower-case words with single underscores, at most {_NAME_CHARACTERS} characters"
        )
    rule = compiled(f"{where} ({reading.name})", reading, prefix=prefix)
    check_names(known, rule.metric, f"{where} ({reading.name})")
    return reading, rule


def own_prefix(namespace: str, app: str) -> str:
    """What the names of an app's own metrics begin with; no two apps have the same, and none is part of another."""
    names = [app] if namespace == app else [namespace, app]
    return "own_" + "".join(f"{_plain(name)}__" for name in names)


def _plain(name: str) -> str:
    """A name as part of a metric's, that could be read back: `X` and a hexadecimal number for unusual characters."""
    return re.sub(r"[^a-z0-9-]|(?<=-)-|^-|-$", lambda match: f"X{ord(match[0]):02x}", name).replace("-", "_")
