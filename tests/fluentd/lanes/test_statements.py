"""What every partition hears of pods: all changes in order, all pods from time to time, in records that fit."""

from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from fluentd.lanes import statements as module
from fluentd.lanes.statements import (
    COMPLETE_SECONDS,
    PART_BYTES,
    PATIENCE_NS,
    RULES_SECONDS,
    Statements,
    Voice,
    news_bytes,
)
from pipeline.podstatement import PodNews, PodStatement, check_statements


def said(uid: str, release: str = "v1", *, rules: str | None = "", **more: Any) -> PodStatement:
    values = {"namespace": "shop", "pod": uid, "app": "shop", "process": "web", "ips": ("10.0.0.1",), "from_ns": 1}
    return PodStatement(**values | {"uid": uid, "release": release, "ports": (), "rules": rules} | more)


class Trial:
    """Statements of an agent whose clock stands still."""

    def __init__(self) -> None:
        self.now = 100.0
        self.now_ns = 10**18
        self.known_ns = 0
        self.registry = CollectorRegistry()
        self.statements = Statements(registry=self.registry, now_ns=lambda: self.now_ns)
        self.statements.attend(lambda: self.known_ns)

    def voice(self) -> Voice:
        return self.statements.voice(clock=lambda: self.now)

    def dropped(self, reason: str) -> float:
        return self.registry.get_sample_value("fluentd_pod_statements_dropped_total", {"reason": reason}) or 0.0


def uids(news: list[PodNews]) -> list[tuple[str, bool]]:
    return [(" ".join(one.uid for one in part.statements), part.complete) for part in news]


@pytest.fixture
def trial() -> Trial:
    return Trial()


def test_nothing_is_said_before_anything_is_known(trial: Trial) -> None:
    voice = trial.voice()
    trial.statements.say(said("a"))
    assert voice.news(beats=True) == []
    trial.known_ns = 7
    assert voice.news(beats=False) == [PodNews((said("a"),), complete=False, known_ns=7)]


def test_every_partition_hears_every_change_once_and_in_order(trial: Trial) -> None:
    trial.known_ns = 7
    voices = [trial.voice(), trial.voice()]
    trial.statements.say(said("a"))
    assert uids(voices[0].news(beats=False)) == [("a", False)]
    trial.statements.say(said("a", to_ns=9))
    trial.statements.say(said("a", "v2"))
    assert uids(voices[0].news(beats=False)) == [("a a", False)]
    (news,) = voices[1].news(beats=False)
    assert [(one.release, one.to_ns) for one in news.statements] == [("v1", 0), ("v1", 9), ("v2", 0)]
    assert [voice.news(beats=False) for voice in voices] == [[], []]
    assert len(trial.statements.since(0)[0]) == 0, "what everybody heard is dropped"


def test_a_heartbeat_says_up_to_when_pods_are_known_and_once_a_minute_all_of_them(trial: Trial) -> None:
    voice, trial.known_ns = trial.voice(), 7
    trial.statements.say(said("a"))
    assert uids(voice.news(beats=True)) == [("a", True)]
    assert voice.news(beats=True) == [PodNews(known_ns=7)]
    trial.now += COMPLETE_SECONDS
    trial.statements.say(said("b", to_ns=5))
    assert voice.news(beats=False) == [PodNews((said("b", to_ns=5),), known_ns=7)]
    assert uids(voice.news(beats=True)) == [("a", True)]


def test_what_ended_is_not_among_all_and_is_told_before(trial: Trial) -> None:
    voice, trial.known_ns = trial.voice(), 7
    for one in (said("a"), said("b"), said("a", to_ns=9)):
        trial.statements.say(one)
    assert uids(voice.news(beats=True)) == [("a a", False), ("b", True)]


def test_a_pod_that_went_while_nobody_listened_is_there_for_as_long_as_that_is_known(trial: Trial) -> None:
    trial.known_ns = 5
    voice = trial.voice()
    trial.statements.say(said("a"))
    trial.statements.lose(said("a"))
    told = voice.news(beats=True)
    assert [(one.uid, one.to_ns) for part in told for one in part.statements] == [("a", 0), ("a", 5)]


def test_a_pod_that_went_before_an_agents_start_is_not_among_all(trial: Trial) -> None:
    trial.statements.say(said("a"))
    trial.statements.say(said("b"))
    trial.statements.lose(said("a"))
    assert [one.uid for one in trial.statements.all()] == ["b"]


def test_rules_go_with_changes_and_every_ten_minutes(trial: Trial) -> None:
    voice, trial.known_ns = trial.voice(), 7
    trial.statements.say(said("a", rules="text"))
    trial.statements.say(said("b"))
    first, every = voice.news(beats=True)
    assert [(one.uid, one.rules) for one in first.statements] == [("a", "text")]
    assert [(one.uid, one.rules) for one in every.statements] == [("a", None), ("b", "")]
    trial.now += COMPLETE_SECONDS
    assert uids(voice.news(beats=True)) == [("a b", True)]
    trial.now += RULES_SECONDS
    assert uids(voice.news(beats=True)) == [("a", False), ("a b", True)]


def test_what_an_agent_remembers_of_before_its_start_is_told_with_its_rules(trial: Trial) -> None:
    trial.statements.say(said("a", rules="text"))
    voice, trial.known_ns = trial.voice(), 7
    assert uids(voice.news(beats=True)) == [("a", False), ("a", True)]


def test_much_goes_in_parts_that_fit_into_records(trial: Trial) -> None:
    voice, trial.known_ns = trial.voice(), 7
    for number in range(500):
        trial.statements.say(said(f"uid-{number}", rules=f"{number:04}" * 1000))
    news = voice.news(beats=True)
    assert len(news) == 5
    assert [part.complete for part in news] == [False, False, False, False, True]
    for part in news:
        check_statements(part.statements)
        assert news_bytes(part) <= PART_BYTES
    assert len({one.uid for part in news[:4] for one in part.statements}) == len(news[4].statements) == 500


def test_pods_beyond_what_one_record_holds_are_counted(trial: Trial) -> None:
    voice, trial.known_ns = trial.voice(), 7
    for number in range(5000):
        trial.statements.say(said(f"uid-{number}"))
    every = voice.news(beats=True)[-1]
    assert every.complete
    assert len(every.statements) == 5000 - trial.dropped("pods") < 5000


def test_a_partition_that_takes_nothing_keeps_a_bounded_number_waiting(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_WAITING", 3)
    voice, other = trial.voice(), trial.voice()
    trial.known_ns = 7
    assert uids(voice.news(beats=True)) == [("", True)]
    for number in range(5):
        trial.statements.say(said(f"{number}"))
        other.news(beats=False)
    assert trial.dropped("waiting") == 2
    assert uids(voice.news(beats=False)) == [("0 1 2 3 4", True)], "all are stated anew, at once"


def test_what_a_reader_would_refuse_is_counted_and_not_said(trial: Trial) -> None:
    voice, trial.known_ns = trial.voice(), 7
    trial.statements.say(said("a", pod="p" * 300))
    assert uids(voice.news(beats=True)) == [("", True)]
    assert trial.dropped("malformed") == 1


def test_heartbeats_wait_for_pods_for_a_bounded_time(trial: Trial) -> None:
    assert trial.statements.complete_ns() == 0, "an agent that just started asks first"
    trial.now_ns += PATIENCE_NS
    assert trial.statements.complete_ns() == trial.now_ns - PATIENCE_NS
    trial.known_ns = trial.now_ns - 5
    assert trial.statements.complete_ns() == trial.known_ns
    trial.now_ns += 2 * PATIENCE_NS
    assert trial.statements.complete_ns() == trial.now_ns - PATIENCE_NS
