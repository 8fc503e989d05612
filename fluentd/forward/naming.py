"""Whose lines an entry's are: app and process, from the record's fields or from the frame's tag."""

import functools
from dataclasses import dataclass
from typing import Any

from fluentd.pods.names import safe_name


@functools.lru_cache(maxsize=4096)
def _safe(name: str) -> str:
    return safe_name(name)


@functools.lru_cache(maxsize=1024)
def _named_by(tag: str, *, parts: bool) -> tuple[str, str]:
    if not parts:
        return safe_name(tag), ""
    app, _, rest = tag.partition(".")
    process = rest.partition(".")[0]
    return safe_name(app), safe_name(process) if process else ""


@dataclass(frozen=True, slots=True)
class Naming:
    """How entries name their app. Names are made safe (see `fluentd.pods.names.safe_name`), never refused.

    Attributes:
        app_field: Path of a record's field, in its parts; empty for none.
        process_field: The same.
        tag_parts: Whether a tag's first part is the app and its second the process; else all of it is the app.
    """

    app_field: tuple[str, ...] = ("app",)
    process_field: tuple[str, ...] = ("type",)
    tag_parts: bool = True

    @classmethod
    def of(cls, *, app_field: str, process_field: str, tag: str) -> "Naming":
        """As the settings say it."""
        return cls(_path(app_field), _path(process_field), tag_parts=tag == "app.process")

    @property
    def own_fields(self) -> frozenset[str]:
        """Fields at a record's top that are there to name it."""
        return frozenset(path[0] for path in (self.app_field, self.process_field) if len(path) == 1)

    def whose(self, tag: str, record: Any) -> tuple[str, str]:
        """App and process of an entry; the process is empty when nothing states it."""
        if self.app_field and (app := _text_at(record, self.app_field)):
            process = _text_at(record, self.process_field) if self.process_field else ""
            return _safe(app), _safe(process) if process else ""
        return _named_by(tag, parts=self.tag_parts)


def _path(field: str) -> tuple[str, ...]:
    return tuple(field.split(".")) if field else ()


def _text_at(value: Any, path: tuple[str, ...]) -> str:
    """Text at a path; empty when there is none."""
    for name in path:
        if not isinstance(value, dict):
            return ""
        value = value.get(name)
    if isinstance(value, bytes):
        value = value.decode(errors="surrogateescape")
    return value if isinstance(value, str) else ""
