"""Label selectors as Kubernetes writes them: `app=web,release in (v1,v2),!canary,tier!=db,size>3`.

Source: Kubernetes, "Labels and selectors", and the grammar of apimachinery's `labels.Parse`. One thing differs: of a
metric's labels an empty value is the same as none, since that is what it means here.
"""

import re
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

MOST_BYTES: Final = 8192
MOST_REQUIREMENTS: Final = 32
MOST_VALUES: Final = 256


class Operator(StrEnum):
    """How a label is compared."""

    IN = "in"
    NOT_IN = "notin"
    EXISTS = "exists"
    ABSENT = "!"
    GREATER = ">"
    LESS = "<"


@dataclass(frozen=True, slots=True)
class Requirement:
    """What one label must be.

    Attributes:
        label: Its name.
        operator: How it is compared.
        values: With what.
    """

    label: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether labels are so; one with an empty value is absent."""
        value = labels.get(self.label, "")
        match self.operator:
            case Operator.IN:
                return value in self.values
            case Operator.NOT_IN:
                return value not in self.values
            case Operator.EXISTS:
                return bool(value)
            case Operator.ABSENT:
                return not value
        return _is_whole(value) and self._compares(int(value))

    def _compares(self, value: int) -> bool:
        (bound,) = self.values
        return value > int(bound) if self.operator is Operator.GREATER else value < int(bound)


@dataclass(frozen=True, slots=True)
class Selector:
    """Requirements that must all hold; none holds always."""

    requirements: tuple[Requirement, ...] = ()

    def holds(self, labels: Mapping[str, str], unknown: AbstractSet[str] = frozenset()) -> bool:
        """Whether labels are so, or could be, whatever those are that are `unknown`."""
        return all(one.label in unknown or one.holds(labels) for one in self.requirements)

    def and_in(self, label: str, values: Iterable[str]) -> "Selector":
        """The same, and a label must have one of some values."""
        return Selector((*self.requirements, Requirement(label, Operator.IN, frozenset(values))))

    def labels(self) -> tuple[str, ...]:
        """Names of the labels that it looks at, each once."""
        return tuple(dict.fromkeys(requirement.label for requirement in self.requirements))

    def allowed(self, label: str) -> frozenset[str] | None:
        """The only values that a label may have; `None` when that is not how it is selected."""
        sets = [one.values for one in self.requirements if one.label == label and one.operator is Operator.IN]
        return frozenset.intersection(*sets) if sets else None


_PREFIX: Final = r"(?:[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?"
_NAME: Final = re.compile(_PREFIX + r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9_])?")
_VALUE: Final = re.compile(r"[A-Za-z0-9_./:@-]{0,128}")
_TOKEN: Final = re.compile(r"\s*(==|!=|[=!<>(),]|[A-Za-z0-9_./:@-]+)\s*")
_SIGNS: Final = {"=": Operator.IN, "==": Operator.IN, "!=": Operator.NOT_IN, ">": Operator.GREATER, "<": Operator.LESS}
_WORDS: Final = {"in": Operator.IN, "notin": Operator.NOT_IN}


def parse_selector(text: str) -> Selector:
    """Read a selector.

    Raises:
        ValueError: It is none; says where, in words for who wrote it.
    """
    if len(text) > MOST_BYTES:
        raise ValueError(f"a selector of more than {MOST_BYTES} characters")
    tokens = _tokens(text)
    requirements: list[Requirement] = []
    while tokens:
        requirements.append(_requirement(tokens))
        if tokens and (tokens.pop(0) != "," or not tokens):
            raise ValueError("selector: expected a comma and another requirement")
    if len(requirements) > MOST_REQUIREMENTS:
        raise ValueError(f"a selector of more than {MOST_REQUIREMENTS} requirements")
    return Selector(tuple(requirements))


def _tokens(text: str) -> list[str]:
    found: list[str] = []
    position = 0
    text = text.strip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ValueError(f"selector: unexpected {text[position]!r} at {position}")
        found.append(match[1])
        position = match.end()
    return found


def _requirement(tokens: list[str]) -> Requirement:
    first = tokens.pop(0)
    if first == "!":
        return Requirement(_name(tokens.pop(0) if tokens else ""), Operator.ABSENT)
    label = _name(first)
    if not tokens or tokens[0] == ",":
        return Requirement(label, Operator.EXISTS)
    sign = tokens.pop(0)
    if sign in _WORDS:
        return Requirement(label, _WORDS[sign], _listed(tokens))
    if sign not in _SIGNS:
        raise ValueError(f"selector: {sign[:60]!r} is no operator")
    value = _value(tokens.pop(0) if tokens and tokens[0] != "," else "")
    if _SIGNS[sign] in {Operator.GREATER, Operator.LESS} and not _is_whole(value):
        raise ValueError("selector: only whole numbers can be compared")
    return Requirement(label, _SIGNS[sign], frozenset({value}))


def _listed(tokens: list[str]) -> frozenset[str]:
    """The values of `(a,b,)`, which end with an empty one."""
    if not tokens or tokens.pop(0) != "(":
        raise ValueError("selector: expected ( and values")
    values: set[str] = set()
    current, closed = "", False
    while tokens and not closed:
        part = tokens.pop(0)
        closed = part == ")"
        if part in {",", ")"}:
            values.add(current)
            current = ""
        elif current:
            raise ValueError("selector: expected a comma between values")
        else:
            current = _value(part)
    if not closed or len(values) > MOST_VALUES:
        raise ValueError(f"selector: expected ) after at most {MOST_VALUES} values")
    return frozenset(values)


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError(f"selector: {text[:60]!r} is no name of a label")
    return text


def _value(text: str) -> str:
    if not _VALUE.fullmatch(text):
        raise ValueError(f"selector: {text[:60]!r} is no value of a label")
    return text


def _is_whole(text: str) -> bool:
    return bool(re.fullmatch(r"-?[0-9]{1,18}", text))
