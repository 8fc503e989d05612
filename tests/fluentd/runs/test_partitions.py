"""Which partition a run goes to."""

from collections import Counter

import pytest

from fluentd.chunks.surroundings import RunKey
from fluentd.runs.tree import choose_partition


@pytest.mark.parametrize("partitions", [2, 3, 4, 8, 12, 64])
@pytest.mark.parametrize("name", ["app-{}/web", "{}", "shop{}/worker", "team-{}-api/web"])
def test_workloads_whose_names_differ_in_a_number_spread_over_all_partitions(partitions: int, name: str) -> None:
    workloads = 40 * partitions
    key = RunKey("uid", "web", 0)
    chosen = Counter(
        choose_partition(name.format(number), key, spread=1, partitions=partitions) for number in range(workloads)
    )
    assert len(chosen) == partitions
    assert max(chosen.values()) <= 3 * workloads / partitions


def test_the_runs_of_one_workload_share_a_partition_unless_it_is_spread() -> None:
    keys = [RunKey(f"uid-{number}", "web", 0) for number in range(50)]
    assert len({choose_partition("app/web", key, spread=1, partitions=8) for key in keys}) == 1
    spread = {choose_partition("app/web", key, spread=3, partitions=8) for key in keys}
    first = choose_partition("app/web", keys[0], spread=1, partitions=8)
    assert spread == {(first + step) % 8 for step in range(3)}
