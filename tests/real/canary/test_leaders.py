"""More than one judge, and what starts a canary."""

import json
from uuid import uuid4

import pytest
from deis_controller import DeisController
from real_canary import Bench

from demo.stack import free_port

pytestmark = [pytest.mark.slow, pytest.mark.real]

BAD, GOOD, STABLE = (60, 60), (60, 0), (300, 1)


def test_another_judge_takes_over_when_the_one_that_leads_is_killed(bench: Bench) -> None:
    namespace = bench.namespace()
    bench.deploy(namespace, "shop", "1")
    bench.deploy(namespace, "shop-canary", "2", replicas=0, track="canary")
    bench.says(_1=STABLE, _2=GOOD)
    bench.canary(namespace, "shop", targetRef={"name": "shop"}, steps=[{"pods": 1, "minTime": "5m"}], maxDuration="9h")
    leader = bench.judge()
    bench.until_phase(namespace, "shop", "Progressing")
    bench.judge()
    leader.kill()
    bench.until_phase(namespace, "shop", "Promoted")
    assert bench.release(namespace, "shop") == "2"


def test_two_that_both_believe_to_lead_ask_deis_once(bench: Bench, deis: DeisController) -> None:
    app = f"app-{uuid4().hex[:6]}"
    deis.create(app)
    bench.says(v2=STABLE, v3=BAD)
    bench.canary(app, f"{app}-web", targetRef={"name": f"{app}-web"}, arms={"mode": "baseline"})
    bench.plane.kubectl("create", "namespace", app + "-two")
    for namespace in ("default", app, app + "-two"):  # each has a Lease of its own
        bench.judge(MONITOR_CANARY_NAMESPACE=namespace)
    bench.until(lambda: bench.status(app, f"{app}-web").get("stableRelease") == "v2", "the release there is known")
    deis.deploy(app, "ann")
    bench.until_phase(app, f"{app}-web", "RolledBack")
    assert deis.posts == {app: [2]}
    assert bench.release(app, f"{app}-web") == "v4"


def test_a_deploy_hook_starts_a_canary_and_one_that_is_not_signed_does_not(bench: Bench, deis: DeisController) -> None:
    app, port = f"app-{uuid4().hex[:6]}", free_port()
    deis.create(app)
    address, url, key = f"127.0.0.1:{port}", "https://telemetry.example/v1/hooks/deis", "shared"
    bench.says(v2=STABLE, v3=BAD)
    bench.judge(MONITOR_DEIS_HOOK_LISTEN=address, MONITOR_DEIS_HOOK_URL=url, MONITOR_DEIS_HOOK_KEY=key)

    def told(release: str, *, key: str = key, summary: str = "") -> int:
        try:
            return deis.hook(app, release, address=address, signed=url, key=key, summary=summary)
        except OSError:
            return 0

    bench.until(lambda: told("v3", key="other") == 401, "the hook is served")
    assert told("v3", summary="ann rolled back to v2") == 200
    canaries = f"/apis/canary.deis.io/v1alpha1/namespaces/{app}/canaries"
    assert bench.api.call("GET", canaries)["items"] == []
    assert told("v3") == 202  # Deis tells before it deploys
    deis.deploy(app, "ann")
    assert told("v3") == 202
    body = {"spec": {"metrics": [{"name": "errors", "source": "errors", "warmUp": "0s"}]}}
    bench.api.call("PATCH", f"{canaries}/{app}-web", body, kind="application/merge-patch+json")
    status = bench.until_phase(app, f"{app}-web", "RolledBack")
    assert (status["stableRelease"], status["canaryRelease"]) == ("v2", "v3")


def test_an_annotation_on_a_deployment_starts_one_with_defaults(bench: Bench) -> None:
    namespace = bench.namespace()
    bench.deploy(namespace, "shop", "1")
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/shop"
    note = {"metadata": {"annotations": {"canary.deis.io/judge": "true"}}}
    bench.api.call("PATCH", path, note, kind="application/merge-patch+json")
    bench.judge()

    def prepared() -> bool:
        found = bench.plane.kubectl("get", "canaries", "-n", namespace, "-o", "json")
        modes = [one["spec"]["arms"]["mode"] for one in json.loads(found)["items"]]
        return (
            modes == ["surge"]
            and "canary.deis.io/settings" in bench.deployment(namespace, "shop")["metadata"]["annotations"]
        )

    bench.until(prepared, "there is a canary, and its target is prepared")


def test_a_deleted_canary_leaves_a_deployment_as_it_was(bench: Bench) -> None:
    namespace = bench.namespace()
    bench.deploy(namespace, "shop", "1")
    before = bench.deployment(namespace, "shop")["spec"]
    bench.canary(namespace, "shop", targetRef={"name": "shop"}, arms={"mode": "surge"})
    first = bench.judge()
    held = "canary.deis.io/settings"
    bench.until(lambda: held in bench.deployment(namespace, "shop")["metadata"]["annotations"], "it is prepared")
    bench.plane.kubectl("delete", "canary", "shop", "-n", namespace)
    first.kill()
    bench.plane.kubectl("delete", "lease", "deis-telemetry-canary", "-n", "default", "--ignore-not-found")
    bench.judge()  # the first thing it does
    bench.until(lambda: bench.deployment(namespace, "shop")["spec"] == before, "it is as it was")
