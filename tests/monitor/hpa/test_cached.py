"""A memory that is bounded in number and time."""

from monitor.hpa.cached import Cached


def test_an_answer_counts_for_its_time_and_the_oldest_make_room() -> None:
    now = [0.0]
    kept: Cached[str, int] = Cached(entries=2, seconds=10.0, clock=lambda: now[0])
    kept.put("a", 1)
    kept.put("b", 2)
    kept.put("a", 3)
    kept.put("c", 4)
    assert [kept.get(key) for key in "abc"] == [3, None, 4]
    now[0] = 9.9
    assert kept.get("a") == 3
    now[0] = 10.0
    assert kept.get("a") is None
