"""Canaries of apps that a Deis controller deploys: it deletes old pods, loses answers, and people deploy meanwhile."""

from uuid import uuid4

import pytest
from deis_controller import DeisController
from real_canary import Bench

pytestmark = [pytest.mark.slow, pytest.mark.real]

BAD, GOOD, STABLE = (60, 60), (60, 0), (300, 1)


def deployed(bench: Bench, deis: DeisController, **spec: object) -> str:
    """An app with v2, which its canary knows, and then v3."""
    app = f"app-{uuid4().hex[:6]}"
    deis.create(app)
    bench.canary(app, f"{app}-web", targetRef={"name": f"{app}-web"}, arms={"mode": "baseline"}, **spec)
    bench.judge()
    bench.until(lambda: bench.status(app, f"{app}-web").get("stableRelease") == "v2", "the release there is known")
    assert deis.deploy(app, "ann") == "v3"
    return app


def baselines(bench: Bench, app: str) -> str:
    """Names of our Deployments that are there."""
    return bench.plane.kubectl(
        "get", "deployments", "-n", app, "-l", "canary.deis.io/arm=baseline", "-o", "jsonpath={.items[*].metadata.name}"
    )


def test_a_bad_release_is_rolled_back_by_deis_and_its_own_release_starts_none(
    bench: Bench, deis: DeisController
) -> None:
    bench.says(v2=STABLE, v3=BAD)
    app = deployed(bench, deis)
    status = bench.until_phase(app, f"{app}-web", "RolledBack")
    assert (status["stableRelease"], status["canaryRelease"]) == ("v2", "v3")
    assert deis.posts == {app: [2]}
    assert deis.releases[app][-1]["build"] == deis.releases[app][1]["build"]
    bench.until(lambda: baselines(bench, app) == "", "the baseline is gone")
    assert bench.status(app, f"{app}-web")["phase"] == "RolledBack"


def test_a_good_release_stays_and_its_baseline_goes_after_a_while(bench: Bench, deis: DeisController) -> None:
    bench.says(v2=STABLE, v3=GOOD)
    app = deployed(bench, deis, keepStable="20m")
    bench.until(lambda: baselines(bench, app) == f"{app}-web-baseline", "there is a baseline")
    bench.until_phase(app, f"{app}-web", "Promoted")
    assert deis.posts == {}
    bench.until(lambda: baselines(bench, app) == "", "the baseline is gone")
    assert bench.release(app, f"{app}-web") == "v3"


def test_an_answer_that_is_lost_after_the_work_is_found_in_the_releases(bench: Bench, deis: DeisController) -> None:
    bench.says(v2=STABLE, v3=BAD)
    deis.lose = "after"
    app = deployed(bench, deis)
    bench.until_phase(app, f"{app}-web", "RolledBack")
    assert deis.posts == {app: [2]}


def test_a_request_that_is_lost_before_the_work_is_made_once_more_after_twenty_minutes(
    bench: Bench, deis: DeisController
) -> None:
    bench.says(v2=STABLE, v3=BAD)
    deis.lose = "before"
    app = deployed(bench, deis, maxDuration="9h")
    bench.until(lambda: deis.posts == {app: [2]}, "Deis was asked")
    deis.lose = ""
    assert bench.until_phase(app, f"{app}-web", "RollingBack")["intent"]["action"] == "rollback"
    bench.until_phase(app, f"{app}-web", "RolledBack")
    assert deis.posts == {app: [2, 2]}


def test_a_release_that_a_person_makes_while_an_answer_is_missing_is_left_alone(
    bench: Bench, deis: DeisController
) -> None:
    bench.says(v2=STABLE, v3=BAD, v4=BAD)
    deis.lose = "before"
    app = deployed(bench, deis, maxDuration="9h")
    bench.until(lambda: deis.posts == {app: [2]}, "Deis was asked")
    deis.deploy(app, "bob")
    status = bench.until_phase(app, f"{app}-web", "Conflict")
    assert "bob" in status["message"]
    bench.until(lambda: baselines(bench, app) == "", "our own is gone")
    assert deis.posts == {app: [2]}
    assert bench.release(app, f"{app}-web") == "v4"
