"""Records that are no packs: kept aside whole, whatever they are."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logger.ingest.deadtopic import dead_letters_url, decode_letter, encode_letters
from pipeline.errors import FormatError
from pipeline.limits import PACK_BYTES
from pipeline.queue import Record


@settings(max_examples=50, deadline=None)
@given(size=st.integers(0, 3 * PACK_BYTES), fill=st.binary(min_size=1, max_size=5), reason=st.text(max_size=2000))
def test_letters_hold_a_record_of_any_size_whole_and_none_is_over_a_packs_size(
    size: int, fill: bytes, reason: str
) -> None:
    value = (fill * (size // len(fill) + 1))[:size]
    letters = encode_letters(Record(3, 77, value, 5), reason, queue_id="cluster.topic")
    assert max(map(len, letters)) <= PACK_BYTES
    decoded = [decode_letter(letter) for letter in letters]
    assert b"".join(letter.value for letter in decoded) == value
    assert [letter.piece for letter in decoded] == list(range(len(letters)))
    assert {letter.pieces for letter in decoded} == {len(letters)}
    assert {(one.queue_id, one.partition, one.offset, one.time_ns) for one in decoded} == {("cluster.topic", 3, 77, 5)}


@given(st.binary(max_size=200))
def test_what_is_no_letter_is_refused_and_nothing_else_is_raised(value: bytes) -> None:
    for form in (value, b"\x01" + value):
        try:
            decode_letter(form)
        except FormatError:
            continue


def test_old_letters_are_read() -> None:
    old = bytes.fromhex("0198a171010203a37768790001c40178")
    letter = decode_letter(old)
    assert (letter.queue_id, letter.partition, letter.offset, letter.time_ns) == ("q", 1, 2, 3)
    assert (letter.reason, letter.piece, letter.pieces, letter.value) == ("why", 0, 1, b"x")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("kafka://a:1,b:2/logs", "kafka://a:1,b:2/logs-dead-letters"),
        (
            "kafka://a:1/logs?create=1&partitions=6&password_file=/run/x",
            "kafka://a:1/logs-dead-letters?create=1&password_file=/run/x",
        ),
    ],
    ids=["plain", "options"],
)
def test_the_topic_stands_beside_the_queue_with_partitions_of_its_own(url: str, expected: str) -> None:
    assert dead_letters_url(url) == expected
