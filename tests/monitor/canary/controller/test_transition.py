"""A canary's life, step by step, in each mode."""

import copy

import pytest
from model_world import (
    BAD,
    GOOD,
    SO_FAR,
    Killed,
    Model,
    begin,
    judged,
    surge,
    template,
    two_deployments,
    verdict,
)
from msgspec.structs import replace

from monitor.canary.counts import Decision, Reason, Verdict
from monitor.canary.orphans import orphans, restored
from monitor.canary.resource.canary import canary_of
from monitor.canary.resource.status import Phase
from monitor.canary.transition import advance
from monitor.canary.world import Ruling


def test_a_second_deployment_gets_its_step_and_is_promoted_and_scaled_to_nothing() -> None:
    model = two_deployments()
    begin(model)
    assert model.deployments["shop-canary"]["spec"]["replicas"] == 1
    model.look(GOOD)
    assert model.read.phase == Phase.PROGRESSING, "the step takes ten minutes at least"
    judged(model)
    assert model.read.phase == Phase.PROMOTED
    assert model.image("shop") == "2"
    assert model.deployments["shop-canary"]["spec"]["replicas"] == 0
    assert "track" not in model.deployments["shop"]["spec"]["template"]["metadata"]["labels"]


def test_a_bad_second_deployment_is_scaled_to_nothing_and_the_stable_one_not_touched() -> None:
    model = two_deployments()
    begin(model)
    before = model.deployments["shop"]["metadata"]["resourceVersion"]
    model.look(BAD)
    assert model.read.phase == Phase.ROLLED_BACK
    assert model.deployments["shop-canary"]["spec"]["replicas"] == 0
    assert model.deployments["shop"]["metadata"]["resourceVersion"] == before


@pytest.mark.parametrize("make", [two_deployments, surge], ids=["two Deployments", "surge"])
def test_late_evidence_puts_the_old_template_back_while_it_is_kept(make: type[Model]) -> None:
    model = make()
    if make is surge:
        model.look()
        model.deploy("shop", template("2"))
    begin(model)
    judged(model)
    assert model.read.phase == Phase.PROMOTED
    model.wait(minutes=10)
    model.look(BAD)
    assert model.read.phase == Phase.ROLLED_BACK
    assert model.image("shop") == "1"


def test_what_was_kept_is_forgotten_in_the_end_and_late_evidence_no_longer_acts() -> None:
    model = two_deployments()
    begin(model)
    judged(model)
    model.wait(minutes=31)
    model.look(BAD)
    assert model.read.phase == Phase.PROMOTED
    assert "canary.deis.io/before" not in model.deployments["shop"]["metadata"]["annotations"]


def test_a_surge_is_prepared_held_and_let_go_with_the_settings_that_were_there_before() -> None:
    model = surge()
    model.deployments["shop"]["spec"]["minReadySeconds"] = 7
    model.look()
    prepared = model.deployments["shop"]["spec"]
    assert prepared["minReadySeconds"] > 2 * 3600
    assert prepared["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    model.deploy("shop", template("2"))
    begin(model)
    judged(model)
    assert model.read.phase == Phase.PROMOTED
    assert model.deployments["shop"]["spec"]["minReadySeconds"] == 7
    model.wait(minutes=31)
    model.look()
    assert model.deployments["shop"]["spec"]["minReadySeconds"] > 2 * 3600, "prepared for the next one"


def test_a_bad_surge_is_undone_by_one_update_that_gives_its_own_settings_back() -> None:
    model = surge()
    model.deployments["shop"]["spec"]["minReadySeconds"] = 7
    model.look()
    model.deploy("shop", template("2"))
    begin(model)
    acts = len(model.acts)
    model.look(BAD)
    undone = model.acts[acts]
    assert undone.body["spec"]["minReadySeconds"] == 7
    assert undone.body["spec"]["template"]["spec"]["containers"][0]["image"] == "1"
    assert model.read.phase == Phase.ROLLED_BACK
    assert model.image("shop") == "1"


def test_a_stable_deployment_that_somebody_changes_during_the_analysis_is_theirs() -> None:
    model = two_deployments()
    begin(model)
    model.deploy("shop", template("3"))
    model.look(BAD)
    assert model.read.phase == Phase.CONFLICT
    assert model.deployments["shop-canary"]["spec"]["replicas"] == 1, "nothing is done"


def test_another_template_in_the_canary_is_judged_anew() -> None:
    model = two_deployments()
    begin(model)
    first = model.read.key
    model.deploy("shop-canary", template("3", track="canary"))
    model.look(SO_FAR)
    assert model.read.key != first
    assert (model.read.canary_release, model.read.phase) == ("3", Phase.PROGRESSING)


def test_a_template_that_changes_between_verdict_and_promotion_is_not_promoted() -> None:
    model = two_deployments()
    begin(model)
    model.wait(minutes=15)
    with pytest.raises(Killed):
        model.look(GOOD, stop_after="written")
    assert model.read.phase == Phase.PROMOTING
    model.deploy("shop-canary", template("evil", track="canary"))
    model.look(GOOD)
    assert model.image("shop") == "1"
    assert model.read.phase == Phase.CONFLICT


def test_a_bad_release_that_somebody_brings_back_is_a_conflict_and_no_fight() -> None:
    model = surge()
    model.look()
    model.deploy("shop", template("2"))
    begin(model)
    model.look(BAD)
    model.deploy("shop", template("2"))
    acts = len(model.acts)
    model.look(BAD)
    assert model.read.phase == Phase.CONFLICT
    assert all(act.body["spec"]["template"] == template("2") for act in model.acts[acts:])
    assert model.image("shop") == "2"


@pytest.mark.parametrize("said", [None, verdict(Decision.INCONCLUSIVE), SO_FAR], ids=["none", "missing", "so far"])
def test_nothing_is_promoted_on_missing_data_however_long_it_takes(said: object) -> None:
    model = two_deployments()
    begin(model)
    for _ in range(10):
        model.wait(hours=1)
        model.look(said)  # type: ignore[arg-type]
    assert model.read.phase == Phase.PROGRESSING
    assert model.image("shop") == "1"
    inconclusive = next(one for one in model.read.conditions if one.type == "Inconclusive")
    assert inconclusive.status == "True"


@pytest.mark.parametrize(
    "said",
    [
        None,
        verdict(Decision.INCONCLUSIVE),
        replace(verdict(Decision.INCONCLUSIVE), reason=Reason.UNATTRIBUTED),
        replace(verdict(Decision.CONTINUE), reason=Reason.TOO_EARLY),
    ],
    ids=["nothing", "missing", "unattributed", "too few minutes"],
)
def test_what_is_unknown_is_not_promoted_when_the_time_is_over_though_undecided_releases_are(said: object) -> None:
    model = two_deployments(onInconclusive="promote", maxDuration="1h")
    begin(model)
    for _ in range(3):
        model.wait(hours=1)
        model.look(said)  # type: ignore[arg-type]
    assert model.read.phase == Phase.PROGRESSING
    assert model.image("shop") == "1"
    known = (Reason.TOO_FEW_REQUESTS, Decision.CONTINUE), (Reason.TRAFFIC_SHARE, Decision.INCONCLUSIVE)
    for reason, decision in known:
        other = copy.deepcopy(model)
        other.look(replace(verdict(decision), reason=reason))
        assert other.read.phase == Phase.PROMOTED
        assert other.image("shop") == "2"


def test_what_is_unknown_goes_back_when_the_time_is_over_where_that_was_asked_for() -> None:
    model = two_deployments(onInconclusive="rollback", maxDuration="1h")
    begin(model)
    model.wait(hours=2)
    model.look(verdict(Decision.INCONCLUSIVE))
    assert model.read.phase == Phase.ROLLED_BACK


def test_a_release_that_waits_for_those_that_go_back_first_says_in_the_end_why_it_went_itself() -> None:
    model = two_deployments()
    begin(model)
    model.ruling = Ruling(after=("shop/web",))
    model.look(BAD)
    assert (model.read.phase, model.read.reason) == (Phase.ROLLING_BACK, "AfterDependents")
    model.ruling = Ruling()
    model.look(BAD)
    assert (model.read.phase, model.read.reason) == (Phase.ROLLED_BACK, BAD.reason)
    assert model.read.message == BAD.message


def test_a_verdict_without_history_waits_for_a_person_and_an_old_approval_is_none() -> None:
    model = two_deployments()
    model.annotations["canary.deis.io/approve"] = "someone-else:rollback"
    begin(model)
    model.look(verdict(Decision.ROLLBACK, automatic=False))
    assert (model.read.phase, model.read.pending) == (Phase.PROGRESSING, "rollback")
    model.annotations["canary.deis.io/approve"] = f"{model.read.key}:rollback"
    model.look(verdict(Decision.ROLLBACK, automatic=False))
    assert model.read.phase == Phase.ROLLED_BACK


def test_a_promotion_under_approve_waits_for_a_person() -> None:
    model = two_deployments(policy="approve")
    begin(model)
    judged(model)
    assert (model.read.phase, model.read.pending) == (Phase.PROGRESSING, "promote")
    model.annotations["canary.deis.io/approve"] = f"{model.read.key}:promote"
    model.look(GOOD)
    assert model.read.phase == Phase.PROMOTED


@pytest.mark.parametrize("said", [BAD, GOOD], ids=["bad", "good"])
def test_a_dry_run_says_what_it_would_do_and_does_nothing(said: object) -> None:
    model = two_deployments(policy="dryRun")
    begin(model)
    model.wait(minutes=15)
    model.look(said)  # type: ignore[arg-type]
    assert model.read.phase == Phase.INCONCLUSIVE
    assert model.read.reason in ("WouldRollBack", "WouldPromote")
    assert model.acts == []


def test_a_person_aborts() -> None:
    model = two_deployments(policy="approve")
    begin(model)
    model.annotations["canary.deis.io/abort"] = model.read.key
    model.look(SO_FAR)
    assert model.read.phase == Phase.ROLLED_BACK


def test_nothing_begins_while_a_dependency_is_in_change_and_a_hold_that_lasts_is_inconclusive() -> None:
    model = two_deployments()
    model.ruling = Ruling(hold=("shop/db",))
    model.look()
    assert model.read.phase == Phase.HELD
    model.wait(hours=3)
    model.look()
    assert model.read.reason == "HeldTooLong"
    model.ruling = Ruling()
    begin(model)


def test_without_a_way_to_tell_the_releases_apart_nothing_is_judged() -> None:
    model = two_deployments()
    model.frozen = None
    model.look()
    ready = next(one for one in model.read.conditions if one.type == "Ready")
    assert (ready.status, ready.reason) == ("False", "NoReleaseAttribution")
    assert model.acts == []


def test_a_suspended_canary_does_nothing() -> None:
    model = two_deployments(suspend=True)
    model.look(BAD)
    assert (model.read.phase, model.acts) == (Phase.IDLE, [])


@pytest.mark.parametrize(
    ("again", "reason", "pending"),
    [(None, "Verify", ""), (GOOD, "Verified", ""), (BAD, "VerifyFailed", "rollback")],
    ids=["no counts", "as before", "worse"],
)
def test_a_dependencys_promotion_is_told_of_once_and_goes_back_by_a_person_only(
    again: Verdict | None, reason: str, pending: str
) -> None:
    model = two_deployments()
    begin(model)
    judged(model)
    model.ruling, model.again = Ruling(verify=("shop/db@2",)), again
    canary = canary_of(model.resource())
    told = advance(canary, model.world(canary), None).status
    assert (told.reason, told.pending, told.verified) == (reason, pending, ("shop/db@2",))
    assert told.phase == Phase.PROMOTED


def test_another_template_that_comes_before_a_step_was_done_is_judged_in_its_place() -> None:
    model = two_deployments()
    with pytest.raises(Killed):
        model.look(stop_after="written")
    with pytest.raises(Killed):
        model.look(stop_after="written")
    assert model.read.intent is not None
    model.deploy("shop-canary", template("3", track="canary"))
    begin(model)
    assert model.read.canary_release == "3"


def test_another_template_that_comes_before_a_bad_one_was_scaled_down_is_left_alone() -> None:
    model = two_deployments()
    begin(model)
    for _ in range(2):
        with pytest.raises(Killed):
            model.look(BAD, stop_after="written")
    assert model.read.intent is not None
    model.deploy("shop-canary", template("3", track="canary"))
    model.look(SO_FAR)
    assert model.read.phase == Phase.CONFLICT
    assert model.deployments["shop-canary"]["spec"]["replicas"] == 1


def test_a_deployment_whose_canary_was_deleted_gets_its_own_settings_back() -> None:
    model = surge()
    model.deployments["shop"]["spec"]["minReadySeconds"] = 7
    model.look()
    prepared = model.deployments["shop"]
    assert orphans([prepared], [model.resource()]) == []
    elsewhere = {"metadata": {"namespace": "other"}, "spec": model.spec}
    assert orphans([prepared], [elsewhere]) == [("shop", "shop")]
    own = restored(prepared)
    assert own["spec"]["minReadySeconds"] == 7
    assert "strategy" not in own["spec"]
    assert own["metadata"]["resourceVersion"] == prepared["metadata"]["resourceVersion"]
    assert not {"canary.deis.io/before", "canary.deis.io/settings"} & own["metadata"]["annotations"].keys()
