"""`FILE.resume`: what an export is and how far it is, durably beside the file until that is complete."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from deis_logs.errors import CliError
from deis_logs.query import Parameters
from deis_logs.render import OpenLine
from pipeline.limits import KIB

_VERSION: Final = 1
_RECORD_BYTES: Final = 256 * KIB


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """How far an export is: everything before `cursor` is in its first `size_bytes` bytes.

    Attributes:
        open_line: The row after which the newline is not written yet.
    """

    cursor: str = ""
    size_bytes: int = 0
    lines: int = 0
    open_line: OpenLine | None = None


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `FILE.resume`, JSON.

    Attributes:
        version: Of this format, 1.
        typed: The options that choose what is exported, as typed: a resumed export must be the same one.
        parameters: What was made of them at the first start; durations count from then.
        place: Where to go on.
    """

    version: int
    typed: Mapping[str, str]
    parameters: Parameters
    place: Place = Place()


def resume_path(path: Path) -> Path:
    """Return the path of `FILE.resume`."""
    return path.with_name(f"{path.name}.resume")


def read_record(path: Path) -> Record | None:
    """Read the record beside the export `path`; `None` when there is none.

    Raises:
        CliError: It is damaged, or of a version not known here.
    """
    try:
        with path.open("rb") as file:
            record = msgspec.json.decode(file.read(_RECORD_BYTES), type=Record)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CliError(f"{path}: {error}: remove it and the file beside it, and begin again") from error
    if record.version != _VERSION:
        raise CliError(f"{path}: version {record.version} is not known to this command ({_VERSION} is)")
    return record


def save_record(path: Path, record: Record) -> None:
    """Write the record beside the export `path`, durably, in one step."""
    target = resume_path(path)
    fresh = target.with_name(f"{target.name}.new")
    with fresh.open("wb") as file:
        file.write(msgspec.json.encode(record))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(target)
    sync_folder(path)


def sync_folder(path: Path) -> None:
    """Make the names in the folder of `path` durable."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def new_record(*, typed: Mapping[str, str], parameters: Parameters) -> Record:
    """Make the record of an export that begins."""
    return Record(version=_VERSION, typed=typed, parameters=parameters)
