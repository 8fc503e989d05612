"""The judge is killed at every step of acting, and another one goes on: what is bad is undone, once."""

import pytest
from deis_controller import DeisController
from real_canary import SECONDS, SPEED, Bench

from demo.stack import wait_until
from pipeline.failpoints import EXIT_STATUS

pytestmark = [pytest.mark.slow, pytest.mark.real]

BAD, GOOD = (60, 60), (60, 0)
LIVES = 40
"""More than there are steps."""


def through_all_kills(bench: Bench, point: str, namespace: str, name: str) -> int:
    """Run judge after judge, each killed at the first passing of a point, until one is no longer; how many were."""
    for killed in range(LIVES):
        one = bench.judge(failpoint=point)

        def over(one: object = one) -> bool:
            phase = bench.status(namespace, name).get("phase")
            return one.poll() is not None or phase in ("Promoted", "RolledBack", "Conflict")  # type: ignore[attr-defined]

        wait_until(over, seconds=SECONDS, what=f"{point}\n{one.last_words()}", every_seconds=0.1)
        ended = one.poll()
        if ended is None:
            return killed
        assert ended.status == EXIT_STATUS, one.last_words()
        bench.plane.kubectl("delete", "lease", "deis-telemetry-canary", "-n", "default", "--ignore-not-found")
        if bench.status(namespace, name).get("phase") in ("Promoted", "RolledBack", "Conflict"):
            return killed + 1
    raise AssertionError(f"it does not come to an end: {bench.status(namespace, name)}")


@pytest.mark.parametrize("point", ["canary.planned", "canary.acted"])
@pytest.mark.parametrize("counts", [BAD, GOOD], ids=["bad", "good"])
def test_a_canary_comes_to_its_end_though_each_judge_is_killed_at_its_first_act(
    bench: Bench, point: str, counts: tuple[int, int]
) -> None:
    namespace = bench.namespace()
    bench.deploy(namespace, "shop", "1")
    bench.deploy(namespace, "shop-canary", "2", replicas=0, track="canary")
    bench.says(_1=(300, 1), _2=counts)
    bench.canary(namespace, "shop", targetRef={"name": "shop"}, maxDuration="9h", keepStable="9h")
    killed = through_all_kills(bench, point, namespace, "shop")
    assert killed >= 2
    status = bench.status(namespace, "shop")
    assert status["phase"] == ("RolledBack" if counts == BAD else "Promoted"), status
    assert bench.release(namespace, "shop") == ("1" if counts == BAD else "2")
    assert bench.deployment(namespace, "shop-canary")["spec"]["replicas"] == 0


def test_deis_is_asked_once_though_each_judge_is_killed_after_it_has_acted(bench: Bench, deis: DeisController) -> None:
    app = f"app-{bench.folder.name[-8:].replace('_', '-').strip('-')}"
    deis.create(app)
    bench.says(v2=(300, 1), v3=BAD)
    bench.canary(app, f"{app}-web", targetRef={"name": f"{app}-web"}, arms={"mode": "baseline"}, maxDuration="9h")
    first = bench.judge()
    bench.until(lambda: bench.status(app, f"{app}-web").get("stableRelease") == "v2", "the release there is known")
    first.kill()
    bench.plane.kubectl("delete", "lease", "deis-telemetry-canary", "-n", "default", "--ignore-not-found")
    assert deis.deploy(app, "ann") == "v3"
    through_all_kills(bench, "canary.acted", app, f"{app}-web")
    assert deis.posts == {app: [2]}
    assert bench.release(app, f"{app}-web") == "v4"
    assert SPEED > 1
