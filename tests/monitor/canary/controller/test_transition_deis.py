"""A canary's life, step by step, beside the releases of Deis."""

import pytest
from model_world import (
    BAD,
    Killed,
    baseline,
    begin,
    judged,
)

from monitor.canary.resource.status import Phase


def test_a_deis_release_runs_beside_the_one_before_it_and_both_are_compared() -> None:
    model = baseline()
    begin(model)
    beside = model.deployments["shop-web-baseline"]
    assert beside["spec"]["template"]["metadata"]["labels"]["version"] == "v1"
    assert beside["spec"]["selector"]["matchLabels"] == {
        "app": "shop",
        "type": "web",
        "heritage": "deis",
        "canary.deis.io/arm": "baseline",
    }
    assert (model.read.stable_release, model.read.canary_release) == ("v1", "v2")


def test_a_bad_deis_release_is_rolled_back_by_deis_once_and_the_baseline_goes() -> None:
    model = baseline()
    begin(model)
    model.look(BAD)
    assert model.posts == [(model.posts[0][0], 1)]
    assert model.read.phase == Phase.ROLLED_BACK
    assert model.image("shop-web") == "b1"
    assert "shop-web-baseline" not in model.deployments
    model.wait(minutes=5)
    model.look()
    assert model.read.phase == Phase.ROLLED_BACK, "a rollback's own release starts none"


def test_a_promoted_deis_release_keeps_its_baseline_for_late_evidence_and_then_takes_it_away() -> None:
    model = baseline()
    begin(model)
    judged(model)
    assert model.read.phase == Phase.PROMOTED
    assert "shop-web-baseline" in model.deployments
    model.wait(minutes=31)
    model.look()
    assert "shop-web-baseline" not in model.deployments
    model.new_release("ann")
    model.look()
    model.look()
    assert (model.read.stable_release, model.read.canary_release) == ("v2", "v3")


def test_a_lost_answer_is_looked_for_in_the_releases_and_asked_for_again_once_after_twenty_minutes() -> None:
    model = baseline(maxDuration="9h")
    begin(model)
    model.lose_answers = True
    model.look(BAD)
    for _ in range(5):
        model.wait(minutes=3)
        model.look(BAD)
    assert len(model.posts) == 1
    model.wait(minutes=6)
    model.look(BAD)
    assert len({intent for intent, _ in model.posts}) == len(model.posts) == 2
    model.wait(minutes=60)
    model.look(BAD)
    assert len(model.posts) == 2
    assert model.read.phase == Phase.CONFLICT


def test_a_rollback_that_was_never_sent_is_made_up_for_and_counts_as_done() -> None:
    model = baseline(maxDuration="9h")
    begin(model)
    with pytest.raises(Killed):
        model.look(BAD, stop_after="written")
    with pytest.raises(Killed):
        model.look(BAD, stop_after="written")
    assert (model.read.phase, model.posts) == (Phase.ROLLING_BACK, [])
    model.wait(minutes=21)
    model.look(BAD)
    assert (model.read.phase, len(model.posts)) == (Phase.ROLLED_BACK, 1)


def test_a_release_that_somebody_makes_before_the_rollback_is_theirs() -> None:
    model = baseline()
    begin(model)
    model.lose_answers = True
    model.look(BAD)
    model.new_release("bob")
    model.look(BAD)
    assert model.read.phase == Phase.CONFLICT
    assert len(model.posts) == 1


def test_somebody_who_rolls_back_by_hand_is_not_taken_for_us() -> None:
    model = baseline()
    begin(model)
    model.lose_answers = True
    model.look(BAD)
    model.new_release("bob", back_to=1)
    model.look(BAD)
    assert model.read.phase == Phase.CONFLICT


def test_a_release_that_is_listed_before_it_is_deployed_is_theirs_once_it_is_and_is_not_judged() -> None:
    model = baseline()
    begin(model)
    model.lose_answers = True
    model.look(BAD)
    before = model.deployments["shop-web"]["spec"]["template"]
    model.new_release("bob")
    deployed = model.deployments["shop-web"]["spec"]["template"]
    model.deploy("shop-web", before)
    model.look(BAD)
    assert (model.read.phase, model.read.reason) == (Phase.ROLLING_BACK, "Deploying")
    model.deploy("shop-web", deployed)
    for _ in range(3):
        model.look(BAD)
        model.wait(hours=1)
    assert model.read.phase == Phase.CONFLICT
    assert "bob" in model.read.message
    assert len(model.posts) == 1


def test_a_release_that_is_never_deployed_is_not_waited_for_without_end() -> None:
    model = baseline()
    begin(model)
    model.lose_answers = True
    model.look(BAD)
    before = model.deployments["shop-web"]["spec"]["template"]
    model.new_release("bob")
    model.deploy("shop-web", before)
    model.wait(hours=1)
    model.look(BAD)
    assert model.read.phase == Phase.CONFLICT
