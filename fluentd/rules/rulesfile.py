"""The file of rules that an operator writes: JSON, or TOML when its name ends so. Validated as a whole or refused.

::

    {"redact":      [{"packs": ["default"], "patterns": {"employee": "E[0-9]{6}"}, "apps": ["shop-*"]}],
     "drop":        [{"message": "GET /healthz", "stream": "stdout", "processes": ["web"]}],
     "sample":      [{"message": "cache (hit|miss)", "keep": 0.01}],
     "rate_limits": [{"rate": "100 lines/s burst 1000", "apps": ["noisy"]}, {"rate": "10000 lines/s"}]}
"""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
import re2

from fluentd.pods.podrules import MOST_PATTERN_CHARACTERS, RateLimit, parse_rate_limit
from fluentd.rules.linerules import LineRule
from fluentd.rules.redact import UserPattern
from fluentd.rules.secrets import PACKS, PRIVATE_KEYS
from fluentd.rules.state import Verdict
from pipeline.chunk import Origin
from pipeline.cri import STREAMS
from pipeline.limits import MIB, NAME_BYTES

RULES_FILE_BYTES: Final = 1 * MIB
"""A longer file of rules is refused."""

_MOST_RULES: Final = 100

_Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]*\*?\Z", min_length=1, max_length=NAME_BYTES)]
_Names = Annotated[tuple[_Name, ...], msgspec.Meta(max_length=1000)]
_Pattern = Annotated[str, msgspec.Meta(min_length=1, max_length=MOST_PATTERN_CHARACTERS)]
_Kind = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,31}\Z")]
_Pack = Literal["default", "cloud", "jwt", "urls", "cards", "private-keys"]


class Where(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose lines a rule is for; an empty list means everybody's. A name may end in `*`.

    Attributes:
        apps: Names of apps.
        namespaces: Of namespaces.
        processes: Of process types.
        containers: Of containers.
    """

    apps: _Names = ()
    namespaces: _Names = ()
    processes: _Names = ()
    containers: _Names = ()

    def concerns(self, origin: Origin) -> bool:
        """Whether the lines of `origin` are meant."""
        return (
            _named(self.apps, origin.app)
            and _named(self.namespaces, origin.namespace)
            and _named(self.processes, origin.process)
            and _named(self.containers, origin.container)
        )


class Redact(Where, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Hides secrets.

    Attributes:
        packs: Kinds that the agent knows.
        patterns: Others by name, in RE2's syntax: the first group that matches is hidden, or all of the match.
    """

    packs: tuple[_Pack, ...] = ()
    patterns: Annotated[dict[_Kind, _Pattern], msgspec.Meta(max_length=_MOST_RULES)] = {}


class Drop(Where, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Drops lines.

    Attributes:
        message: RE2 that the message matches somewhere; any message when empty.
        stream: Of this stream only.
    """

    message: Annotated[str, msgspec.Meta(max_length=MOST_PATTERN_CHARACTERS)] = ""
    stream: Literal["", "stdout", "stderr"] = ""


class Sample(Drop, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Drops all but a share of lines.

    Attributes:
        keep: The share that stays.
    """

    keep: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]


class Rate(Where, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits how much each container writes.

    Attributes:
        rate: As in the annotation `logs.deis.io/rate-limit`.
        fixed: Whether a pod's annotation has no say.
    """

    rate: str
    fixed: bool = False


class RulesFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All rules; see the module. Of rates the first one that concerns a run holds; `drop` comes before `sample`."""

    redact: Annotated[tuple[Redact, ...], msgspec.Meta(max_length=_MOST_RULES)] = ()
    drop: Annotated[tuple[Drop, ...], msgspec.Meta(max_length=_MOST_RULES)] = ()
    sample: Annotated[tuple[Sample, ...], msgspec.Meta(max_length=_MOST_RULES)] = ()
    rate_limits: Annotated[tuple[Rate, ...], msgspec.Meta(max_length=_MOST_RULES)] = ()


class FileRules:
    """A file of rules whose patterns and rates are compiled.

    Args:
        file: What it says.

    Raises:
        ValueError: A pattern or a rate makes no sense; it is named.
    """

    def __init__(self, file: RulesFile) -> None:
        self._redact: list[tuple[Redact, list[UserPattern]]] = []
        self._lines: list[tuple[Where, LineRule]] = []
        self._rates: list[tuple[Rate, RateLimit]] = []
        for index, redact in enumerate(file.redact):
            made = [
                compile_user_pattern(f"redact[{index}].patterns.{name}", name, pattern)
                for name, pattern in redact.patterns.items()
            ]
            self._redact.append((redact, made))
        for index, drop in enumerate(file.drop):
            self._lines.append((drop, _line_rule(f"drop[{index}].message", drop, Verdict.DROP)))
        for index, sample in enumerate(file.sample):
            rule = _line_rule(f"sample[{index}].message", sample, Verdict.SAMPLE, keep=sample.keep)
            self._lines.append((sample, rule))
        for index, rate in enumerate(file.rate_limits):
            try:
                self._rates.append((rate, parse_rate_limit(rate.rate)))
            except ValueError as error:
                raise ValueError(f"rate_limits[{index}].rate: {error}") from error

    def lines(self, origin: Origin) -> list[LineRule]:
        """Rules on lines of `origin`."""
        return [rule for where, rule in self._lines if where.concerns(origin)]

    def rate(self, origin: Origin) -> tuple[RateLimit | None, bool]:
        """Rate limit of `origin`, and whether a pod's annotation has no say."""
        for rate, limit in self._rates:
            if rate.concerns(origin):
                return limit, rate.fixed
        return None, False

    def redact(self, origin: Origin | None) -> tuple[list[str], list[UserPattern]]:
        """Packs and patterns that hide secrets of `origin`, or of anybody."""
        packs: list[str] = []
        patterns: list[UserPattern] = []
        for redact, made in self._redact:
            if origin is None or redact.concerns(origin):
                packs += redact.packs
                patterns += made
        return packs, patterns

    def kinds(self) -> list[str]:
        """Names of users' kinds."""
        return [one.name for _, made in self._redact for one in made]


def read_rules(path: Path) -> FileRules:
    """Read a file of rules.

    Raises:
        OSError: It cannot be read.
        ValueError: It is too long, or says something that makes no sense, which is named.
    """
    with path.open("rb") as file:
        text = file.read(RULES_FILE_BYTES + 1)
    if len(text) > RULES_FILE_BYTES:
        raise ValueError(f"over {RULES_FILE_BYTES} bytes")
    try:
        said: Any = tomllib.loads(text.decode()) if path.suffix == ".toml" else msgspec.json.decode(text)
        return FileRules(msgspec.convert(said, RulesFile))
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def compile_user_pattern(where: str, name: str, pattern: str) -> UserPattern:
    """Compile a pattern that somebody wrote.

    Raises:
        ValueError: It makes no sense to RE2; says where it stands.
    """
    try:
        return UserPattern.of(name, pattern)
    except re2.error as error:
        raise ValueError(f"{where}: {_reason(error)}") from error


def annotated_pattern(where: str, name: str, entry: str) -> UserPattern:
    """Compile `/.../` of an annotation.

    Raises:
        ValueError: It is no such pattern; says where it stands.
    """
    if not entry.startswith("/"):
        raise ValueError(f"{where}: no pack of this name")
    return compile_user_pattern(where, name, entry[1:-1])


def _reason(error: Exception) -> str:
    said = error.args[0] if error.args else ""
    return said.decode(errors="replace") if isinstance(said, bytes) else str(said)


def _line_rule(where: str, drop: Drop, verdict: Verdict, *, keep: float = 0.0) -> LineRule:
    stream = STREAMS.index(drop.stream) if drop.stream else None
    if not drop.message:
        return LineRule(verdict, stream, keep=keep)
    made = compile_user_pattern(where, "", drop.message)
    return LineRule(verdict, stream, made.pattern, made.floating, keep)


def _named(names: tuple[str, ...], name: str) -> bool:
    return not names or any(name == one or (one[-1] == "*" and name.startswith(one[:-1])) for one in names)


def pack_kinds(packs: list[str]) -> tuple[list[Any], bool]:
    """Kinds of some packs, each once, and whether private keys are among them."""
    kinds = {kind.name: kind for pack in packs for kind in PACKS[pack]}
    return list(kinds.values()), bool(PRIVATE_KEYS & set(packs))
