"""YAML that somebody wrote: plain values only, nothing that stands for more than is written."""

from collections.abc import Hashable
from typing import Any, Final

import yaml

_DEEPEST: Final = 20


class _PlainLoader(yaml.CSafeLoader):
    """Refuses keys that come twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.MarkedYAMLError(None, None, f"{key.value!r} comes twice", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml(text: str) -> object:
    """Read one document.

    Raises:
        ValueError: It is none, has aliases, which can make gigabytes of one line, or nests too deep; says where.
    """
    try:
        _check(text)
        return yaml.load(text, _PlainLoader)  # noqa: S506 - a safe loader
    except (yaml.YAMLError, ValueError) as error:  # a ValueError is a date of a 13th month
        raise ValueError(" ".join(str(error).split())) from error


def _check(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError(f"an alias {event.start_mark}")  # noqa: TRY004 - of the text, not of a type
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise ValueError(f"nested too deep {event.start_mark}")
