"""A frame that comes again is known, for a while, and only if it is the same."""

import msgpack
import pytest

from fluentd.forward.doubles import Doubles, frame_key
from fluentd.forward.frame import parse_frame
from fluentd.inputs.delivery import Delivery


def key(*, client: str = "ann", tag: str = "shop", chunk: str | bytes = "c1", record: str = "a") -> bytes:
    frame = parse_frame(msgpack.packb([tag, [[1, {"log": record}]], {"chunk": chunk}]))
    assert frame is not None
    assert frame.chunk is not None
    return frame_key(client, frame, frame.chunk)


def test_the_same_frame_has_the_same_key() -> None:
    assert key() == key()


@pytest.mark.parametrize("other", [{"client": "bob"}, {"tag": "blog"}, {"chunk": "c2"}, {"record": "b"}])
def test_another_client_tag_chunk_or_record_is_another_frame(other: dict[str, str]) -> None:
    assert key(**other) != key()  # type: ignore[arg-type]


def test_a_frame_is_known_for_the_stated_time() -> None:
    doubles, delivery = Doubles(seconds=10), Delivery()
    doubles.remember(key(), delivery, now=100)
    assert doubles.find(key(), now=109.9) is delivery
    assert doubles.find(key(chunk="c2"), now=100) is None
    assert doubles.find(key(), now=110) is None
    assert len(doubles) == 0


def test_the_oldest_is_forgotten_when_there_are_too_many() -> None:
    doubles = Doubles(seconds=10, most=2)
    for number in range(3):
        doubles.remember(key(chunk=str(number)), Delivery(), now=number)
    assert doubles.find(key(chunk="0"), now=3) is None
    assert doubles.find(key(chunk="1"), now=3) is not None
    assert len(doubles) == 2


def test_what_is_forgotten_is_new_again() -> None:
    doubles = Doubles(seconds=10)
    doubles.remember(key(), Delivery(), now=0)
    doubles.forget(key())
    assert doubles.find(key(), now=0) is None
