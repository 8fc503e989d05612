"""Five apps, four of which depend on each other's releases: who waits, who goes back with whom, and in which order."""

from datetime import datetime

import pytest
from real_canary import Bench, Json

pytestmark = [pytest.mark.slow, pytest.mark.real]

STABLE, GOOD, NOTHING = (300, 1), (60, 0), (0, 0)
SUFFERING = ("api", "jobs", "web")
"""Each depends on `db`. `report` depends on `web`."""


class Apps:
    """Apps of one namespace, each with a release of its own name: `db1` beside `db2`."""

    def __init__(self, bench: Bench, *names: str) -> None:
        self.bench, self.namespace = bench, bench.namespace()
        self._counts = {f"{name}{number}": (STABLE, GOOD)[number - 1] for name in names for number in (1, 2)}
        for name in names:
            bench.deploy(self.namespace, name, f"{name}1", replicas=1, app=name)
            bench.deploy(self.namespace, f"{name}-canary", f"{name}2", replicas=0, app=name, track="canary")

    def says(self, **counts: tuple[int, int]) -> None:
        """All are as good as before, but for these releases."""
        self.bench.says(**{**self._counts, **counts})

    def judge(self, name: str, *depends_on: str) -> None:
        """Let releases of an app be judged; it goes back with those that it depends on."""
        edges = [{"name": other, "policy": "rollback"} for other in depends_on]
        spec = {"targetRef": {"name": name}, "maxDuration": "90h", "keepStable": "90h"}
        self.bench.canary(self.namespace, name, **spec, **({"dependsOn": edges} if edges else {}))

    def until_all(self, names: tuple[str, ...], phase: str) -> list[Json]:
        """Their statuses, once all are in this phase."""
        return [dict(self.bench.until_phase(self.namespace, name, phase)) for name in names]

    def revision(self, name: str) -> int:
        """How many templates its Deployment has had."""
        notes = self.bench.deployment(self.namespace, name)["metadata"]["annotations"]
        return int(notes["deployment.kubernetes.io/revision"])

    def release(self, name: str) -> str:
        """The release that it has."""
        return self.bench.release(self.namespace, name)


def since(status: Json, condition: str) -> datetime:
    """When a condition began to hold."""
    found = next(one for one in status["conditions"] if one["type"] == condition)
    assert found["status"] == "True"
    return datetime.fromisoformat(found["lastTransitionTime"])


def test_who_depends_on_a_release_waits_for_it_and_goes_back_before_it_and_once(bench: Bench) -> None:
    apps = Apps(bench, "db", "report", *SUFFERING)
    apps.says(db2=NOTHING)
    apps.judge("db")
    bench.judge()
    apps.until_all(("db",), "Progressing")
    for name in SUFFERING:
        apps.judge(name, "db")
    for status in apps.until_all(SUFFERING, "Held"):
        assert status["message"] == f"waits for {apps.namespace}/db"
    assert {apps.release(name) for name in SUFFERING} == {f"{name}1" for name in SUFFERING}

    apps.says()
    apps.until_all(("db", *SUFFERING), "Promoted")
    apps.judge("report", "web")
    apps.until_all(("report",), "Promoted")
    assert {name: apps.revision(name) for name in ("db", "report", *SUFFERING)} == dict.fromkeys(
        ("db", "report", *SUFFERING), 2
    )

    key = bench.status(apps.namespace, "db")["key"]
    bench.plane.kubectl("annotate", "canary", "db", "-n", apps.namespace, f"canary.deis.io/abort={key}")
    (db,) = apps.until_all(("db",), "RolledBack")
    gone = apps.until_all(SUFFERING, "RolledBack")
    assert db["reason"] == "Aborted"
    assert "causedBy" not in db
    assert [status["causedBy"] for status in gone] == [f"{apps.namespace}/db"] * len(SUFFERING)
    assert max(since(status, "RolledBack") for status in gone) <= since(db, "RolledBack")
    for name in ("db", *SUFFERING):
        assert apps.release(name) == f"{name}1"
        assert apps.revision(name) == 3, "it went back once"
    assert bench.status(apps.namespace, "report")["phase"] == "Promoted", "web went back because of another"
    assert apps.release("report") == "report2"
