"""The checkpoint on disk: what was written is read back, what is damaged is refused, one agent at a time."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluentd.controller import Voices
from fluentd.files.source import Known, Mark
from fluentd.rules.state import RuleState
from fluentd.runs.checkpoint import Checkpoint, CheckpointFolder, KnownRun, decode, encode
from pipeline.errors import FatalError, FormatError

_BYTES = st.binary(min_size=16, max_size=16)
_OFFSET = st.integers(0, 2**62)
_KNOWN = st.builds(
    Known,
    base=_BYTES,
    generation=st.integers(0, 9),
    id=_BYTES,
    ordinal=st.integers(0, 2**31),
    mark=st.builds(
        Mark,
        offset=_OFFSET,
        hash=_BYTES,
        open_line=st.booleans(),
        voices=st.none() | st.builds(Voices),
        rules=st.none() | st.builds(RuleState),
    ),
    size=_OFFSET,
)
_NAME = st.text(max_size=20)
_RUN = st.builds(
    KnownRun,
    namespace=_NAME,
    pod=_NAME,
    uid=_NAME,
    container=_NAME,
    restart=st.integers(0, 2**31),
    partition=st.integers(0, 1023),
    next_ordinal=st.integers(0, 2**31),
    sources=st.lists(_KNOWN, max_size=3).map(tuple),
)
_ONE = Checkpoint(
    1,
    "q",
    (
        KnownRun(
            "ns",
            "pod",
            "uid",
            "web",
            2,
            3,
            1,
            (Known(b"b" * 16, 0, b"i" * 16, 0, Mark(70, b"h" * 16, open_line=True), 80),),
        ),
    ),
)
_ONE_BYTES = (
    b"\x93\x01\xa1q\x91\x98\xa2ns\xa3pod\xa3uid\xa3web\x02\x03\x01\x91\x96\xc4\x10bbbbbbbbbbbbbbbb\x00"
    b"\xc4\x10iiiiiiiiiiiiiiii\x00\x95F\xc4\x10hhhhhhhhhhhhhhhh\xc3\xc0\xc0P"
)
_BEFORE_RULES = _ONE_BYTES.replace(b"\x95F", b"\x94F").replace(b"\xc3\xc0\xc0P", b"\xc3\xc0P")
_BEFORE_VOICES = _ONE_BYTES.replace(b"\x95F", b"\x93F").replace(b"\xc3\xc0\xc0P", b"\xc3P")


@given(runs=st.lists(_RUN, max_size=4).map(tuple))
def test_what_was_written_is_read_back(runs: tuple[KnownRun, ...]) -> None:
    checkpoint = Checkpoint(1, "queue", runs)
    assert decode(encode(checkpoint)) == checkpoint


def test_version_1_stays_readable() -> None:
    assert encode(_ONE) == _ONE_BYTES
    assert decode(_BEFORE_VOICES) == _ONE
    assert decode(_BEFORE_RULES) == _ONE
    assert decode(_ONE_BYTES) == _ONE


@given(data=st.binary(max_size=200))
def test_what_is_no_checkpoint_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        decode(data)


@pytest.mark.parametrize("damage", [b"", b"\x00" * 50, _ONE_BYTES[:-1], _ONE_BYTES + b"x", b"\x93\x02\xa1q\x90"])
def test_a_damaged_checkpoint_is_a_clear_error_that_names_the_file(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "checkpoint").write_bytes(damage)
    with CheckpointFolder(tmp_path) as folder, pytest.raises(FormatError, match=str(tmp_path / "checkpoint")):
        folder.load()


def test_a_write_replaces_the_whole_file_and_survives_a_torn_one(tmp_path: Path) -> None:
    with CheckpointFolder(tmp_path / "new" / "state") as folder:
        assert folder.load() is None
        folder.save(encode(_ONE))
        (tmp_path / "new" / "state" / "checkpoint.tmp").write_bytes(b"torn by a crash" * 1000)
        assert folder.load() == _ONE
        folder.save(encode(Checkpoint(1, "q", ())))
        assert folder.load() == Checkpoint(1, "q", ())


def test_two_agents_do_not_share_a_folder(tmp_path: Path) -> None:
    with CheckpointFolder(tmp_path), pytest.raises(FatalError, match="AGENT_STATE"):
        CheckpointFolder(tmp_path)
    CheckpointFolder(tmp_path).close()


def test_a_folder_that_cannot_be_made_is_a_clear_error_that_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FatalError, match=rf"AGENT_STATE={tmp_path}/file/state is of no use: .*Not a directory"):
        CheckpointFolder(tmp_path / "file" / "state")
