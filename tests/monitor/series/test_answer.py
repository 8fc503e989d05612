"""Parts of shards put together are what one large shard would answer; with one missing there is no answer."""

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.metric import Kind, LabelSet, Metric
from monitor.reading import SLOT_NS, IncompleteError, Question
from monitor.series.answer import merge, merge_known
from monitor.series.part import Group, Newest, Part, decode_known, decode_part, encode_known, encode_part
from pipeline.errors import FormatError

SECOND = 1_000_000_000
NOW = 1_790_000_000 * SECOND
ASKED = Question("seen", NOW, NOW + 60 * SECOND, {}, ("word",))
SEEN = Metric("seen", Kind.COUNTER, "Lines.", ("word",))
DEPTH = Metric("depth", Kind.GAUGE, "Depths.", ("word",))


def part(shard: int, **given: Any) -> Part:
    return Part(**{"shard": shard, "metric": SEEN, "watermark_ns": NOW + 60 * SECOND, "held_ns": NOW} | given)


@given(random=st.randoms(use_true_random=False))
@settings(max_examples=5, deadline=None)
def test_the_answer_of_several_shards_is_that_of_one_with_all_records(random: Random, make: Any) -> None:
    whole, shards = make.feed(), [make.feed(number=number) for number in range(3)]
    pods = [(make.pod(f"p{number}", app=random.choice(("shop", "blog"))), random.choice(shards)) for number in range(6)]
    for seconds in range(40):
        pod, shard = random.choice(pods)
        pod.write(NOW + seconds * SECOND, random.choice("ab"), random.choice((0.25, 0.5, 2.0)))
        chunk = pod.chunk()
        for feed in (whole, shard):
            feed.send(chunk, heartbeat_ns=NOW + seconds * SECOND)
    for feed in (whole, *shards):
        feed.beat(NOW + 60 * SECOND)
    for metric in ("seen", "size", "took_seconds", "depth"):
        for by in ((), ("word",), ("app", "pod")):
            asked = Question(metric, NOW, NOW + 60 * SECOND // SLOT_NS * SLOT_NS, {"app": frozenset({"shop"})}, by)
            parts = [decode_part(encode_part(feed.shard.part(asked))) for feed in shards]
            random.shuffle(parts)
            assert merge(asked, parts, shards=3) == merge(asked, [whole.shard.part(asked)], shards=1)
    known = [decode_known(encode_known(feed.shard.known())) for feed in shards]
    assert merge_known(known) == merge_known([whole.shard.known()])


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ([part(0)], "shards 1 do not answer"),
        ([part(0), part(1, watermark_ns=0)], "nothing is known to be complete of shards 1"),
        ([part(0, held_ns=NOW + 1), part(1)], "shards 0 hold nothing of so long ago"),
        ([part(0), part(1, others=3)], "under several definitions"),
        (
            [
                part(0, groups=(Group(("a",), 1, 1.0),)),
                part(1, metric=Metric("seen", Kind.COUNTER, "Others.", ()), groups=(Group(("",), 1, 1.0),)),
            ],
            "under several definitions",
        ),
    ],
    ids=["missing", "unknown", "short", "mixed", "disagree"],
)
def test_a_part_that_is_missing_or_short_makes_no_answer(parts: list[Part], reason: str) -> None:
    with pytest.raises(IncompleteError, match=reason):
        merge(ASKED, parts, shards=2)


def test_a_metric_that_no_shard_knows_is_no_metric() -> None:
    with pytest.raises(KeyError):
        merge(ASKED, [part(0, metric=None)], shards=1)


def test_an_answer_is_complete_up_to_its_slowest_shard_and_adds_up_what_is_hidden() -> None:
    groups = (Group(("a",), 2, 3.0), Group(("b",), 1, 1.0))
    parts = [
        part(0, watermark_ns=NOW + SECOND, groups=groups, unattributed=1, overflowed=5),
        part(1, metric=None, unattributed=2),
    ]
    answer = merge(ASKED, parts, shards=2)
    assert (answer.watermark_ns, answer.unattributed, answer.overflowed) == (NOW + SECOND, 3, 5)
    assert {key: (amount.count, amount.total) for key, amount in answer.groups.items()} == {
        ("a",): (2, 3.0),
        ("b",): (1, 1.0),
    }


def test_of_a_gauge_in_two_shards_the_newer_value_counts_once() -> None:
    labels = LabelSet("ns", "shop", "web", "v1", "p", ("a",))
    other = LabelSet("ns", "shop", "web", "v1", "q", ("a",))
    parts = [
        part(0, metric=DEPTH, newest=(Newest(("a",), labels, NOW + 2, 1, 5.0), Newest(("a",), other, NOW, 1, 1.0))),
        part(1, metric=DEPTH, newest=(Newest(("a",), labels, NOW + 1, 3, 7.0),)),
    ]
    (amount,) = merge(Question("depth", NOW, NOW + SLOT_NS, {}, ("word",)), parts, shards=2).groups.values()
    assert (amount.count, amount.total) == (5, 6.0)


@pytest.mark.parametrize("data", [b"", b"\x02abc", b"\x01\xff\xff", b"\x01\x90"])
def test_bytes_that_are_no_part_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        decode_part(data)
    if data != b"\x01\x90":
        with pytest.raises(FormatError):
            decode_known(data)
