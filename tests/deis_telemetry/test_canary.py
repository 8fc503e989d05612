"""Canaries as `deis-telemetry canary` shows them, against the monitor's own routes."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import msgspec
import pytest

from deis_telemetry import canaries, canarycli
from deis_telemetry.canarytext import meter
from monitor.canary.counts import MINUTE_NS, Decision, MetricPolicy, Policy
from monitor.canary.observe.journal import Journal
from monitor.canary.observe.rows import Row, Seen, ns_of
from monitor.canary.resource.canary import Canary, canary_of
from monitor.canary.resource.spec import Attribution
from monitor.canary.resource.status import CanaryStatus, Evidence, Frozen, Phase, Said
from pipeline.store import Store

Run = Callable[..., Any]

POLICY = Policy((MetricPolicy("errors", phi=1.0, warm_up_minutes=1),), min_minutes=3)
BEGAN = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=8)
JUDGED = CanaryStatus(
    phase=Phase.PROGRESSING,
    reason="Analysing",
    key="key",
    analysis="key@1",
    stable_release="v7",
    canary_release="v8",
    since=BEGAN,
    frozen=Frozen(POLICY, Attribution.POD_LINES, (), ("errors",)),
    evidence=(Evidence("errors", 0.005, 0.05, 2.3, 4.6, 3.1, None, 1.0),),
    said=Said(Decision.CONTINUE, "TooEarly", "errors: canary 0.05", automatic=True),
)


def canary(name: str = "web", status: CanaryStatus = JUDGED, **spec: Any) -> Canary:
    facts = {"namespace": "shop", "name": name, "uid": "1", "resourceVersion": "1"}
    made = canary_of({"metadata": facts, "spec": {"targetRef": {"name": "shop-web"}, **spec}})
    return replace(made, status=status)


def with_phase(phase: Phase, reason: str = "", **changes: Any) -> Canary:
    return canary(status=msgspec.structs.replace(JUDGED, phase=phase, reason=reason, **changes))


def keep_minutes(store: Store, count: int, canary_errors: float) -> None:
    began = ns_of(BEGAN)
    journal = Journal.of_analysis(store, JUDGED.analysis, began)
    row = Row("errors", 3000, 15, 300, canary_errors)
    journal.write(tuple(Seen(began + number * MINUTE_NS, (row,), 3300) for number in range(count)), None)


def test_the_list_says_how_near_each_is_to_a_rollback(run: Run, monitor: Any) -> None:
    monitor.canaries = [[canary("api", CanaryStatus()), canary()]]
    outcome = run("canary", "list")
    head, api, web = outcome.out.splitlines()
    assert outcome.status == 0
    assert head.split() == ["CANARY", "PHASE", "REASON", "RELEASES", "SINCE", "EVIDENCE"]
    assert api.split() == ["shop/api", "Idle", "-", "-", "-", "-"]
    assert "v8 beside v7" in web
    assert "█████░░░░░ 50 %" in web
    assert json.loads(run("canary", "list", "--json").out)["canaries"][1]["status"]["canaryRelease"] == "v8"
    assert run("canary", "list", "-n", "other").out.split() == head.split()


def test_one_is_shown_with_both_values_ratio_evidence_and_what_waits(run: Run, monitor: Any) -> None:
    monitor.canaries = [[canary(status=msgspec.structs.replace(JUDGED, pending="rollback"))]]
    out = run("canary", "show", "shop/web").out
    assert "shop/web: Progressing, Analysing" in out
    assert "canary 0.05, stable 0.005, ratio 3.1 or more" in out
    assert "(log 2.30 of 4.60, noise 1)" in out
    assert "`deis-telemetry canary approve shop/web rollback`" in out
    assert json.loads(run("canary", "show", "shop/web", "--json").out)["status"]["evidence"][0]["ratioLow"] == 3.1


def test_its_picture_and_counts_are_written(run: Run, monitor: Any, tmp_path: Path) -> None:
    monitor.canaries = [[canary()]]
    keep_minutes(monitor.store, 7, 2)
    picture = tmp_path / "web.svg"
    assert run("canary", "show", "shop/web", "--picture", str(picture)).status == 0
    assert ET.parse(picture).getroot().tag.endswith("svg")  # noqa: S314 - our own
    counts = json.loads(run("canary", "counts", "shop/web").out)
    assert len(counts["observation"]["metrics"][0]["minutes"]) == 7


@pytest.mark.parametrize("arguments", [("show",), ("watch",), ("counts",)])
def test_one_that_is_not_there_is_told_and_no_address_is_blamed(
    run: Run, monitor: Any, arguments: tuple[str, ...]
) -> None:
    outcome = run("canary", *arguments, "shop/web")
    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.err == "deis-telemetry: there is no canary 'shop/web'\n"


@pytest.mark.parametrize("path", ["web", "shop/", "/web", "shop/web/x", "../web", "Shop/web", "shop/w\x1b"])
def test_what_can_be_no_canary_s_name_is_wrong_usage(run: Run, path: str) -> None:
    for command in ("show", "watch", "counts", "approve", "abort"):
        outcome = run("canary", command, path)
        assert (outcome.status, outcome.out) == (2, "")
        assert "\x1b" not in outcome.err


ENDS = [
    (Phase.PROMOTED, "Promoted", 0),
    (Phase.INCONCLUSIVE, "WouldPromote", 0),
    (Phase.ROLLED_BACK, "Evidence", 3),
    (Phase.INCONCLUSIVE, "WouldRollBack", 3),
    (Phase.INCONCLUSIVE, "TimeOver", 4),
    (Phase.CONFLICT, "SomebodyElse", 4),
]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canarycli, "EVERY_SECONDS", 0.0)


@pytest.mark.parametrize(("phase", "reason", "status"), ENDS)
def test_a_watch_follows_until_it_is_decided_and_ends_with_how(
    *, run: Run, monitor: Any, quick: None, phase: Phase, reason: str, status: int
) -> None:
    monitor.canaries = [[canary()], [canary()], [with_phase(Phase.PROMOTING)], [with_phase(phase, reason)]]
    outcome = run("canary", "watch", "shop/web")
    assert outcome.status == status
    told = [line.partition(" ")[2] for line in outcome.out.splitlines()]
    assert [line.partition(",")[0] for line in told] == [
        "shop/web Progressing",
        "shop/web Promoting",
        f"shop/web {phase.value}",
    ]


def test_a_watch_outlives_a_monitor_that_is_away_for_a_while(run: Run, monitor: Any, quick: None) -> None:
    def away() -> None:
        monitor.unavailable = 3

    class Leaves(list[Canary]):
        """What the first look sees; after it the monitor is away."""

        def __iter__(self) -> Any:
            away()
            return super().__iter__()

    monitor.canaries = [Leaves([canary()]), [with_phase(Phase.PROMOTED, "Promoted")]]
    outcome = run("canary", "watch", "shop/web")
    assert outcome.status == 0
    assert outcome.err.count("asking again") == 1


def test_a_watch_outlives_a_monitor_that_knows_of_no_canary_yet(run: Run, monitor: Any, quick: None) -> None:
    monitor.canaries = [[canary()], [], [], [with_phase(Phase.ROLLED_BACK, "Evidence")]]
    outcome = run("canary", "watch", "shop/web")
    assert outcome.status == 3
    assert outcome.err.count("there is no canary 'shop/web'; asking again") == 1


def test_a_watch_of_one_that_was_deleted_ends(
    run: Run, monitor: Any, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canaries, "_PATIENCE", 2)
    monitor.canaries = [[canary()], []]
    outcome = run("canary", "watch", "shop/web")
    assert outcome.status == 1
    assert outcome.err.splitlines()[-1] == "deis-telemetry: there is no canary 'shop/web'"


def test_a_watch_of_a_monitor_that_never_answered_ends_at_once(run: Run, monitor: Any, quick: None) -> None:
    monitor.unavailable = 1
    outcome = run("canary", "watch", "shop/web")
    assert outcome.status == 1  # it never answered: --url may be wrong
    assert "try again later" in outcome.err


def test_counts_that_were_recorded_are_replayed_and_the_last_minute_is_the_status(
    run: Run, monitor: Any, tmp_path: Path
) -> None:
    monitor.canaries = [[canary()]]
    for errors, status, said in ((2, 0, "promotable"), (25, 3, "rollback")):
        recorded = tmp_path / f"{errors}.json"
        minutes = [
            {"start_ns": number * MINUTE_NS, "stable_n": 3000, "stable_e": 15, "canary_n": 300, "canary_e": errors}
            for number in range(8)
        ]
        observation = {
            "start_ns": 0,
            "until_ns": 8 * MINUTE_NS,
            "metrics": [{"metric": "errors", "minutes": minutes}],
        }
        body = {"observation": observation, "policy": json.loads(msgspec.json.encode(POLICY)), "verdict": None}
        recorded.write_text(json.dumps(body))
        outcome = run("canary", "simulate", str(recorded))
        assert outcome.status == status
        assert said in outcome.out.splitlines()[-1]


def test_counts_of_a_running_canary_can_be_replayed_as_they_are_printed(run: Run, monitor: Any, tmp_path: Path) -> None:
    monitor.canaries = [[canary()]]
    keep_minutes(monitor.store, 7, 25)
    recorded, picture = tmp_path / "counts.json", tmp_path / "picture.svg"
    recorded.write_text(run("canary", "counts", "shop/web").out)
    outcome = run("canary", "simulate", str(recorded), "--picture", str(picture))
    assert outcome.status == 3
    assert picture.read_bytes().startswith(b"<svg")
    mild = tmp_path / "policy.json"
    mild.write_text('{"metrics": [{"name": "errors", "tolerance": 50}], "min_minutes": 3}')
    assert run("canary", "simulate", str(recorded), "--policy", str(mild)).status == 0


def test_csv_is_replayed_with_a_policy_and_refused_without(run: Run, monitor: Any, tmp_path: Path) -> None:
    recorded, policy = tmp_path / "counts.csv", tmp_path / "policy.json"
    lines = [f"errors,{minute},3000,15,300,25" for minute in range(8)]
    recorded.write_text("\n".join(["metric,minute,stable_n,stable_e,canary_n,canary_e", *lines]))
    policy.write_bytes(msgspec.json.encode(POLICY))
    outcome = run("canary", "simulate", str(recorded))
    assert outcome.status == 2
    assert "--policy" in outcome.err
    outcome = run("canary", "simulate", str(recorded), "--policy", str(policy))
    assert outcome.status == 3
    assert outcome.out.splitlines()[0].startswith("minute    1  continue     TooEarly")


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"observation": 3}', "\xff", '{"observation": {}, "policy": {}}'])
def test_what_are_no_counts_is_wrong_usage(run: Run, monitor: Any, tmp_path: Path, text: str) -> None:
    recorded = tmp_path / "counts.json"
    recorded.write_text(text)
    outcome = run("canary", "simulate", str(recorded))
    assert (outcome.status, outcome.out) == (2, "")


def test_what_a_canary_says_cannot_act_on_a_terminal(run: Run, monitor: Any) -> None:
    evil = "\x1b[2J\u202e\r"
    status = msgspec.structs.replace(JUDGED, reason=evil, message=evil, canary_release=evil, pending=evil)
    monitor.canaries = [[canary(status=status)]]
    for arguments in (("canary", "list"), ("canary", "show", "shop/web"), ("graph",), ("graph", "--dot")):
        out = run(*arguments).out
        assert not set(out) & {"\x1b", "\u202e", "\r"}
        assert "\\x1b" in out


@pytest.mark.parametrize(
    ("fraction", "shown"), [(0.0, "░░░░░░░░░░ 0 %"), (0.31, "███░░░░░░░ 31 %"), (2.5, "██████████ 250 %")]
)
def test_a_meter_is_full_at_the_threshold(fraction: float, shown: str) -> None:
    assert meter(fraction) == shown
