"""Minutes are asked for when they are complete, kept once, and judged the same by whoever leads."""

import asyncio
import threading
from pathlib import Path

import pytest
from model_reader import START, Told
from model_world import FROZEN
from prometheus_client import CollectorRegistry

from monitor.canary.counts import MINUTE_NS, Decision, Observation, Policy, Reason, Signals, Verdict
from monitor.canary.decide import decide
from monitor.canary.observe import observer as module
from monitor.canary.observe.asking import ArmNames
from monitor.canary.observe.freezing import freeze
from monitor.canary.observe.history import History
from monitor.canary.observe.journal import KEPT_NS, Journal, folder_of, sweep
from monitor.canary.observe.observer import Observer
from monitor.canary.observe.promql import PrometheusError, filled, number_of
from monitor.canary.observe.rows import Seen, moment_of
from monitor.canary.resource.canary import Canary, canary_of
from monitor.canary.resource.spec import Attribution
from monitor.canary.resource.status import CanaryStatus, Phase
from pipeline.errors import FormatError
from pipeline.store import Store, open_store

NAMES = ArmNames("shop", "shop", "", "1", "2", Attribution.UPSTREAM)
SIGNALS = Signals(stable_pods=3, stable_ready=3, canary_pods=1, canary_ready=1)


def analysis() -> Canary:
    """One that has just begun."""
    facts = {"namespace": "shop", "name": "shop", "uid": "u", "resourceVersion": "1"}
    canary = canary_of({"metadata": facts, "spec": {"targetRef": {"name": "shop"}}})
    status = CanaryStatus(phase=Phase.PROGRESSING, analysis="a@1", since=moment_of(START), frozen=FROZEN)
    return Canary("shop", "shop", "u", "1", 1, {}, canary.spec, status)


def observer(reader: Told, store: Store) -> Observer:
    """A leader's, whose clock is a little ahead of what is complete."""
    clock = lambda: reader.watermark + 20_000_000_000  # noqa: E731 - one line
    return Observer(reader=reader, store=store, prometheus=None, registry=CollectorRegistry(), clock_ns=clock)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path), directory="monitor")


GOOD = {("1", "200"): 298, ("1", "500"): 2, ("2", "200"): 30}


async def test_only_complete_minutes_are_asked_for_and_each_once(store: Store) -> None:
    reader = Told(GOOD)
    judge = observer(reader, store)
    reader.watermark = START + MINUTE_NS - 2
    look = await judge.look(analysis(), NAMES, SIGNALS)
    assert look is not None
    assert (look.until_ns, reader.asked) == (START, [])
    reader.watermark = START + 3 * MINUTE_NS - 1
    await judge.look(analysis(), NAMES, SIGNALS)
    await judge.look(analysis(), NAMES, SIGNALS)
    starts = [question.start_ns for question in reader.asked if "release" not in question.match]
    assert starts == [START, START + MINUTE_NS, START + 2 * MINUTE_NS]


async def test_a_second_leader_takes_what_the_first_has_kept_and_judges_the_same(store: Store) -> None:
    reader = Told(GOOD, watermark=START + 14 * MINUTE_NS)
    first = await observer(reader, store).look(analysis(), NAMES, SIGNALS)
    reader.counts = {("1", "200"): 1, ("2", "500"): 10_000}
    second = await observer(reader, store).look(analysis(), NAMES, SIGNALS)
    assert first is not None
    assert second is not None
    assert first.verdict == second.verdict


async def test_minutes_that_are_too_old_to_be_asked_for_are_missing_and_never_zero(store: Store) -> None:
    reader = Told(GOOD, watermark=START + 60 * MINUTE_NS)
    judge = observer(reader, store)
    for _ in range(5):
        look = await judge.look(analysis(), NAMES, SIGNALS)
    assert look is not None
    assert look.verdict is not None
    assert look.verdict.metrics[0].missing > 40
    assert look.verdict.decision == Decision.INCONCLUSIVE


async def test_a_reader_that_does_not_answer_leaves_no_minute_and_promotes_nothing(store: Store) -> None:
    reader = Told(GOOD, watermark=START + 14 * MINUTE_NS, silent=True)
    look = await observer(reader, store).look(analysis(), NAMES, SIGNALS)
    assert look is not None
    assert look.until_ns == START
    assert look.verdict is not None
    assert look.verdict.decision in (Decision.INCONCLUSIVE, Decision.CONTINUE)


async def test_more_than_a_hundredth_of_unknown_requests_is_inconclusive(store: Store) -> None:
    reader = Told(GOOD, watermark=START + 14 * MINUTE_NS, unknown=10)
    look = await observer(reader, store).look(analysis(), NAMES, SIGNALS)
    assert look is not None
    assert look.verdict is not None
    assert look.verdict.reason == Reason.UNATTRIBUTED


async def test_the_loop_goes_on_while_a_verdict_is_found(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, may_end = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def slow(policy: Policy, observation: Observation) -> Verdict:
        loop.call_soon_threadsafe(begun.set)
        assert may_end.wait(30), "the loop stands still"
        return decide(policy, observation)

    monkeypatch.setattr(module, "decide", slow)
    async with asyncio.TaskGroup() as group:
        reader = Told(GOOD, watermark=START + 14 * MINUTE_NS)
        look = group.create_task(observer(reader, store).look(analysis(), NAMES, SIGNALS))
        await begun.wait()
        may_end.set()
    found = await look
    assert found is not None
    assert found.verdict is not None


async def test_who_tells_the_releases_apart_is_found_out(store: Store) -> None:
    async def no_history() -> History:
        return History()

    for attribution in (Attribution.UPSTREAM, Attribution.POD_LINES):
        reader = Told(GOOD, attribution=attribution)
        frozen = await freeze(analysis().spec, NAMES, reader, read_history=no_history)
        assert frozen is not None
        assert frozen.attribution == attribution
        assert [metric.name for metric in frozen.policy.metrics] == ["errors"], "no durations are known"
    reader = Told({("_unknown", "200"): 100})
    assert await freeze(analysis().spec, NAMES, reader, read_history=no_history) is None


def test_pages_follow_each_other_and_one_that_is_there_is_taken(store: Store) -> None:
    ours, theirs = Journal(store, "a@1", START), Journal(store, "a@1", START)
    assert ours.write((Seen(START), Seen(START + MINUTE_NS)), None)
    assert not theirs.write((Seen(START, requests=5.0),), None)
    assert theirs.seen == ours.seen
    assert theirs.write((Seen(START + 2 * MINUTE_NS),), None)
    ours.read()
    assert ours.next_ns == theirs.next_ns == START + 3 * MINUTE_NS


def test_a_page_that_makes_no_sense_is_an_error_and_no_beginning_anew(store: Store) -> None:
    store.put(f"{folder_of('a@1')}/{START:020d}", b"{}")
    with pytest.raises(FormatError):
        Journal(store, "a@1", START).read()


def test_analyses_are_deleted_a_month_after_their_last_minute(store: Store) -> None:
    Journal(store, "old@1", START).write((Seen(START),), None)
    Journal(store, "new@1", START + MINUTE_NS).write((Seen(START + MINUTE_NS),), None)
    sweep(store, now_ns=START + KEPT_NS + 1)
    assert store.folders("analysis-") == [folder_of("new@1")]


def test_values_cannot_leave_their_place_in_a_query() -> None:
    values = {"release": '2"} or vector(0) #', "app": "shop"}
    assert filled('sum(x{v="$release",a="$app"})', values) == 'sum(x{v="2\\"} or vector(0) #",a="shop"})'


@pytest.mark.parametrize(
    ("answer", "number"),
    [
        ({"data": {"resultType": "vector", "result": []}}, None),
        ({"data": {"resultType": "vector", "result": [{"metric": {}, "value": [1, "2.5"]}]}}, 2.5),
        ({"data": {"resultType": "scalar", "result": [1, "3"]}}, 3.0),
    ],
)
def test_a_query_gives_one_number_or_none(answer: object, number: float | None) -> None:
    assert number_of(answer) == number


@pytest.mark.parametrize("value", ["NaN", "-1", "+Inf", "x"])
def test_what_is_no_count_is_an_error(value: str) -> None:
    with pytest.raises(PrometheusError):
        number_of({"data": {"resultType": "vector", "result": [{"value": [1, value]}]}})
