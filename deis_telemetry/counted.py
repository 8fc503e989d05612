"""Recorded counts and policies, read from files and put into what the monitor is asked. They are judged there."""

from pathlib import Path
from typing import Final

import msgspec

from deis_logs.errors import UsageError

FILE_BYTES: Final = 3 * 1024 * 1024
"""Longest file: the monitor takes no more."""

_NONE: Final = msgspec.Raw(b"null")


class _Recorded(msgspec.Struct, frozen=True):
    """As `/v1/canaries/.../counts` gives it; the verdict in it plays no part."""

    observation: msgspec.Raw
    policy: msgspec.Raw = _NONE


def request_of(counts: Path, policy: Path | None) -> bytes:
    """What the monitor is sent.

    Args:
        counts: Of JSON or, when its name ends in `.csv`, of CSV.
        policy: Of JSON; the recorded one when it is `None`.

    Raises:
        UsageError: A file cannot be read or makes no sense, or there is no policy.
    """
    text = _text(counts)
    given = _NONE if policy is None else _json(policy, _text(policy))
    if counts.suffix.lower() == ".csv":
        body: dict[str, object] = {"csv": text.decode(errors="replace")}
    else:
        try:
            recorded = msgspec.json.decode(text, type=_Recorded)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"{counts}: no counts as `/v1/canaries/.../counts` gives them: {error}") from error
        body = {"observation": recorded.observation}
        given = recorded.policy if policy is None else given
    if bytes(given).strip() == bytes(_NONE):
        raise UsageError(f"{counts} says no policy: give --policy")
    return msgspec.json.encode({**body, "policy": given})


def _text(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            text = file.read(FILE_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error
    if len(text) > FILE_BYTES:
        raise UsageError(f"{path}: longer than {FILE_BYTES} bytes")
    return text


def _json(path: Path, text: bytes) -> msgspec.Raw:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: no JSON: {error}") from error
    return msgspec.Raw(text)
