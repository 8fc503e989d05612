"""Which pods are collected: by namespace, and by a label selector as kubectl writes it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

MOST_REQUIREMENTS: Final = 64

_KEY = r"[A-Za-z0-9]([A-Za-z0-9._/-]{0,314}[A-Za-z0-9])?"
_VALUE = r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?"
_REQUIREMENT = re.compile(
    rf"\s*(?:(?P<absent>!)\s*(?P<absent_key>{_KEY})"
    rf"|(?P<key>{_KEY})(?:\s*(?P<equal>==|=|!=)\s*(?P<value>{_VALUE})"
    r"|\s+(?P<set>in|notin)\s*\((?P<values>[^()]*)\))?)\s*"
)
_NEXT_COMMA = re.compile(r",(?![^()]*\))")

Requirement = Callable[[Mapping[str, str]], bool]


class LabelSelector:
    """A label selector: `heritage=deis,type!=run,tier in (web, worker),!canary`. An empty one matches every pod.

    As in Kubernetes, `!=` and `notin` match a pod that does not have the label at all.

    Raises:
        ValueError: The text is no selector; names the part.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        parts = _NEXT_COMMA.split(text) if text.strip() else []
        if len(parts) > MOST_REQUIREMENTS:
            raise ValueError(f"more than {MOST_REQUIREMENTS} requirements")
        self._requirements = [_parse(part) for part in parts]

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether a pod with these labels is meant."""
        return all(requirement(labels) for requirement in self._requirements)


def _parse(part: str) -> Requirement:
    match = _REQUIREMENT.fullmatch(part)
    if match is None:
        raise ValueError(f"no requirement of a label selector: {part.strip()!r}")
    key = match["absent_key"] or match["key"]
    if match["absent"]:
        return lambda labels: key not in labels
    if match["set"]:
        return _one_of(key, _parse_values(match["values"]), wanted=match["set"] == "in")
    if match["equal"]:
        return _one_of(key, frozenset({match["value"]}), wanted=match["equal"] != "!=")
    return lambda labels: key in labels


def _one_of(key: str, values: frozenset[str], *, wanted: bool) -> Requirement:
    return lambda labels: (key in labels and labels[key] in values) is wanted


def _parse_values(text: str) -> frozenset[str]:
    values = [value.strip() for value in text.split(",")]
    for value in values:
        if not re.fullmatch(_VALUE, value):
            raise ValueError(f"no value of a label: {value!r}")
    return frozenset(values)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which pods are collected.

    Attributes:
        selector: Matches their labels.
        namespaces: Only of these; empty for all.
        platform: Namespace whose pods are collected whatever their labels say; empty for none. Deis's own components
            have no `heritage` on their pods.
    """

    selector: LabelSelector
    namespaces: frozenset[str] = frozenset()
    platform: str = ""

    def has_namespace(self, namespace: str) -> bool:
        """Whether pods of `namespace` can be collected at all."""
        return not self.namespaces or namespace in self.namespaces

    def selects(self, namespace: str, labels: Mapping[str, str]) -> bool:
        """Whether a pod is collected."""
        if not self.has_namespace(namespace):
            return False
        return (bool(self.platform) and namespace == self.platform) or self.selector.matches(labels)


def parse_namespaces(text: str) -> frozenset[str]:
    """Read a list of namespaces, with commas between.

    Raises:
        ValueError: One is no name of a namespace.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name):
            raise ValueError(f"no name of a namespace: {name!r}")
    return frozenset(names)


def parse_label_names(text: str) -> tuple[str, ...]:
    """Read a list of labels, with commas between.

    Raises:
        ValueError: One is no name of a label.
    """
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if not re.fullmatch(r"([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", name):
            raise ValueError(f"no name of a label: {name!r}")
    return names
