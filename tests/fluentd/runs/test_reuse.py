"""Files that look like ones that were read: the same inode, the same beginning; and what truncation destroys."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fluentd.files.discovery import Inode
from pipeline.limits import CHUNK_BYTES

REUSES = 1000


@pytest.fixture
def one_inode(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that gives every new file the inode of the one deleted before, as ext4 does and tmpfs never."""

    def same(device: int, _number: int) -> Inode:
        return Inode(device, 1)

    monkeypatch.setattr("fluentd.files.discovery.Inode", same)
    monkeypatch.setattr("fluentd.files.content.Inode", same)


@pytest.mark.parametrize("while_down", [False, True])
def test_a_thousand_reuses_of_an_inode_with_the_same_beginning_lose_nothing_and_resume_nothing(
    steps: Any, container: Any, one_inode: None, while_down: bool
) -> None:
    """The first line is always the same, and so is every length: only what follows tells the files apart."""
    first = container.line("first")
    seconds = []
    for number in range(REUSES // 2):
        seconds.append(container.line(f"{number:06d}"))
        container.append(first, seconds[-1])
        steps.round()
        if while_down:
            steps.save()
            steps.tree.close()
        container.live.unlink()
        if while_down:
            steps.crash()
        else:
            steps.scan()
            while steps.open_inodes():  # until then no file system gives the inode to another
                steps.now += 6.0
                steps.round()
    assert steps.logger.lines() == [line for second in seconds for line in (first, second)]
    assert steps.tally.lost_bytes == {}


_SIZES = (0, 100, CHUNK_BYTES - 47, CHUNK_BYTES, 2 * CHUNK_BYTES + 1000, 5 * CHUNK_BYTES)


@given(
    blocks=st.lists(st.tuples(st.sampled_from(_SIZES), st.integers(0, 3)), min_size=1, max_size=4),
    unseen=st.integers(0, 1000),
)
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_was_seen_of_a_truncated_file_and_not_read_is_counted_to_the_byte(
    make_steps: type[Any], make_container: type[Any], blocks: list[tuple[int, int]], unseen: int
) -> None:
    """And declared, so that it is no alarm; what nobody saw is in no count, and all that was read is there."""
    with TemporaryDirectory() as folder:
        steps, container = make_steps(Path(folder)), make_container(Path(folder))
        container.append(container.line("first"))
        steps.round()
        for size, chunks in blocks:
            container.append(container.line("x" * size))
            steps.scan()
            steps.read(chunks)
        steps.acknowledge()
        source = steps.sources()[0]
        seen, read = source.size, source.position.offset
        container.append(container.line("u" * unseen))
        container.truncate()
        after = container.line("after")
        container.append(after)
        steps.settle()
        assert steps.tally.lost_bytes.get("truncated", 0) == seen - read
        assert len(steps.logger.sources()[0]) == read
        assert steps.logger.sources()[-1] == after
        steps.tree.close()
