"""A canary on a real control plane: what is bad goes, what is good stays, and `kubectl wait` hears of it."""

import pytest
from real_canary import SECONDS, Bench

pytestmark = [pytest.mark.slow, pytest.mark.real]

BAD, GOOD = (60, 60), (60, 0)


def test_a_bad_second_deployment_is_scaled_to_nothing_and_a_good_one_takes_its_place(bench: Bench) -> None:
    namespace = bench.namespace()
    bench.deploy(namespace, "shop", "1")
    bench.deploy(namespace, "shop-canary", "2", replicas=0, track="canary")
    bench.says(_1=(300, 1), _2=BAD, _3=GOOD)
    bench.canary(namespace, "shop", targetRef={"name": "shop"})
    bench.judge()
    status = bench.until_phase(namespace, "shop", "RolledBack")
    assert status["said"]["reason"] == "TotalOutage"
    assert bench.release(namespace, "shop") == "1"
    assert bench.deployment(namespace, "shop-canary")["spec"]["replicas"] == 0

    bench.set_release(namespace, "shop-canary", "3")
    bench.plane.kubectl(
        "wait", "--for=condition=Promoted", "canary/shop", "-n", namespace, f"--timeout={int(SECONDS)}s"
    )
    bench.until(lambda: bench.release(namespace, "shop") == "3", "the stable Deployment has the new release")
    shown = bench.plane.kubectl("get", "cny", "-n", namespace)
    assert "Promoted" in shown
    events = bench.plane.kubectl("get", "events", "-n", namespace, "-o", "jsonpath={.items[*].reason}")
    assert {"Progressing", "RolledBack", "Promoted"} <= set(events.split())


def test_a_bad_surge_is_undone_while_all_old_pods_stay_and_a_good_one_rolls_out(bench: Bench) -> None:
    namespace = bench.namespace()
    bench.deploy(namespace, "shop", "1")
    bench.says(_1=(300, 1), _2=BAD, _3=GOOD)
    bench.canary(namespace, "shop", targetRef={"name": "shop"}, arms={"mode": "surge"})
    bench.judge()
    held = "canary.deis.io/settings"
    bench.until(lambda: held in bench.deployment(namespace, "shop")["metadata"]["annotations"], "it is prepared")
    bench.set_release(namespace, "shop", "2")
    bench.until_phase(namespace, "shop", "Progressing")
    bench.until_phase(namespace, "shop", "RolledBack")
    assert bench.release(namespace, "shop") == "1"

    def only_the_old() -> bool:
        pods = bench.plane.kubectl(
            "get", "pods", "-n", namespace, "-o", "jsonpath={.items[*].spec.containers[0].image}"
        )
        return pods.split() == ["none:1"] * 3

    bench.until(only_the_old, "the bad pod is gone")
    bench.until(lambda: held in bench.deployment(namespace, "shop")["metadata"]["annotations"], "it is prepared again")
    bench.set_release(namespace, "shop", "3")
    bench.until_phase(namespace, "shop", "Promoted")

    def rolled_out() -> bool:
        pods = bench.plane.kubectl(
            "get", "pods", "-n", namespace, "-o", "jsonpath={.items[*].spec.containers[0].image}"
        )
        return pods.split() == ["none:3"] * 3

    bench.until(rolled_out, "all pods are new")
