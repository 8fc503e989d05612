"""States in the store: the newest that fits is taken, two are kept, and damage is told from absence."""

from pathlib import Path

import pytest

from monitor.shards.states import States
from pipeline.errors import FormatError
from pipeline.store import Store


def opened(store: Store, rules: str = "aa") -> States:
    return States(store, queue_id="queue.1", rules=rules)


def offsets(states: States, *, start: int = 0) -> list[tuple[int, str]]:
    return [(name.offset, name.rules) for name in states.choices(3, start=start)]


def test_a_state_is_read_as_it_was_written(store: Store) -> None:
    states = opened(store)
    assert (states.newest_offset(3), offsets(states)) == (-1, [])
    states.write(3, 7, b"state" * 100)
    states.write(3, 7, b"state" * 100)
    assert states.newest_offset(3) == 7
    assert states.read(3, states.choices(3, start=0)[0]) == b"state" * 100
    assert opened(store).newest_offset(2) == -1


def test_states_of_the_rules_in_use_come_first_as_long_as_the_queue_has_what_follows(store: Store) -> None:
    states, others = opened(store), opened(store, "bb")
    for offset in (5, 10):
        states.write(3, offset, b"x")
    for offset in (8, 20):
        others.write(3, offset, b"x")
    assert offsets(states) == [(10, "aa"), (5, "aa"), (20, "bb"), (8, "bb")]
    assert offsets(states, start=6) == [(10, "aa"), (20, "bb"), (8, "bb"), (5, "aa")]
    assert offsets(states, start=11)[0] == (20, "bb")
    assert states.newest_offset(3) == 20


def test_two_are_kept_whoever_wrote_them(store: Store) -> None:
    states, others = opened(store), opened(store, "bb")
    for offset in (5, 10):
        states.write(3, offset, b"x")
        others.write(3, offset + 1, b"x")
    states.sweep(3, written=10)
    assert sorted(offsets(states)) == [(10, "aa"), (11, "bb")]
    states.sweep(3, written=10)
    for offset in (20, 30, 40):
        states.write(3, offset, b"x")
        states.sweep(3, written=offset)
    assert sorted(offsets(others)) == [(11, "bb"), (30, "aa"), (40, "aa")], "who takes the shard next looks again"
    others.write(3, 41, b"x")
    others.sweep(3, written=41)
    assert sorted(offsets(others)) == [(40, "aa"), (41, "bb")]


def test_states_of_positions_that_the_queue_lost_are_dropped(store: Store) -> None:
    states = opened(store)
    for offset in (5, 10):
        states.write(3, offset, b"x")
    states.drop_beyond(3, 7)
    assert offsets(states) == [(5, "aa")]


def test_damage_is_told_from_absence(store: Store, tmp_path: Path) -> None:
    states = opened(store)
    states.write(3, 5, bytes(1000))
    name = states.choices(3, start=0)[0]
    path = tmp_path / "monitor" / "queue.1" / "3" / str(name)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(FormatError):
        states.read(3, name)
    path.write_bytes(data[:3])
    with pytest.raises(FormatError):
        states.read(3, name)
    path.unlink()
    assert states.read(3, name) is None


def test_what_is_no_state_is_passed_over(store: Store, tmp_path: Path) -> None:
    states = opened(store)
    states.write(3, 5, b"x")
    folder = tmp_path / "monitor" / "queue.1" / "3"
    (folder / "00000000000000000009-aa.1234.tmp").write_bytes(b"half")
    (folder / "note").write_bytes(b"of somebody")
    assert offsets(states) == [(5, "aa")]
    states.sweep(3, written=5)
    assert len(list(folder.iterdir())) == 3
