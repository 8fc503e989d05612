"""Frames of arrivals: however small, one after the other they bring each row once, and in order."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logger.head import Head
from logger.reading.peershead import PeerHead
from logger.reading.peerswire import batch_of

SHARDS = 2
RECORD = st.lists(st.integers(0, 60), max_size=4)
"""The lengths of a record's lines."""
BATCHES = st.lists(st.tuples(st.integers(0, SHARDS - 1), st.lists(RECORD, min_size=1, max_size=4)), max_size=8)


@pytest.fixture(autouse=True, scope="module")
def small_frames() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("logger.reading.peershead.FRAME_ROWS", 5)
        patch.setattr("logger.reading.peershead.FRAME_CONTENT_BYTES", 200)
        yield


@given(batches=BATCHES)
def test_frames_bring_each_row_once_and_in_order(make: Any, batches: list[tuple[int, list[list[int]]]]) -> None:
    """Records are cut nowhere, and what does not fit is left for the next frame, not passed over."""
    head = Head(limit_bytes=10**7, shards=range(SHARDS))
    written: dict[int, list[tuple[int, int]]] = {shard: [] for shard in range(SHARDS)}
    for shard in range(SHARDS):
        head.resume(shard, 0, {})
    for shard, lengths in batches:
        start = head.ends()[shard]
        records = []
        for number, lines in enumerate(lengths, start):
            first = len(written[shard])
            written[shard] += [(number, first + index) for index in range(len(lines))]
            records.append([make.row(offset=first + at, message=b"x" * size) for at, size in enumerate(lines)])
        head.append(make.batch(shard, start, records))
    unused: Any = None
    peer = PeerHead(head=head, deleted=unused, takeover=unused)
    found: dict[int, list[tuple[int, int]]] = {shard: [] for shard in range(SHARDS)}
    positions = dict.fromkeys(range(SHARDS), 0)
    for _ in range(200):
        frame = peer.frame("demo", positions)
        for batch in map(batch_of, frame.batches):
            found[batch.shard] += zip(batch.queue_offset.tolist(), batch.offset.tolist(), strict=True)
        positions |= frame.standing.ends
        if frame.is_current:
            break
    assert found == written
    assert positions == head.ends()
