"""A queue of one machine has one member of a group that owns its partitions."""

from pathlib import Path

import pytest

from pipeline.errors import FatalError
from pipeline.queue import open_group_consumer


async def test_a_second_member_is_refused_until_the_first_has_closed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/queue.db"
    first = await open_group_consumer(url, group="logger")
    with pytest.raises(FatalError, match="another logger reads"):
        await open_group_consumer(url, group="logger")
    other = await open_group_consumer(url, group="other")
    await other.close()
    await first.close()
    second = await open_group_consumer(url, group="logger")
    assert second.assignment.partitions == frozenset(range(second.partitions))
    await second.close()
