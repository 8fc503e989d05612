"""What the checkpoint keeps of a source is made again only when it has changed, and always then."""

from dataclasses import replace

import pytest

from fluentd.files.source import Position, Source, SourceId


def source() -> Source:
    return Source(b"base", 0, SourceId(b"id"), 0)


def test_what_is_kept_of_an_unchanged_source_is_not_made_again() -> None:
    one = source()
    assert one.known() is one.known()


@pytest.mark.parametrize(
    "acknowledged",
    [Position(4, b"abc\n"), Position(0, b"", open_line=True), Position(0, b"x")],
    ids=["offset", "open line", "bytes before"],
)
def test_an_acknowledgement_is_kept(acknowledged: Position) -> None:
    one = source()
    one.known()
    one.acknowledged = acknowledged
    assert one.known() == replace(source(), acknowledged=acknowledged).known()
    assert one.known() != source().known()


def test_a_size_is_kept_that_nothing_was_acknowledged_of() -> None:
    one = source()
    one.known()
    one.size = 7
    assert one.known().size == 7
