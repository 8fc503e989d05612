"""A model of what a canary acts on: Deployments with versions, a Deis app, one resource. Requests are as the real ones.

A look is the controller's: read the resource, read the world, decide, write the status at the version that was read,
act. `stop_after` ends it at any of these, as a kill does.
"""

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from monitor.canary.change import Change
from monitor.canary.counts import Decision, MetricPolicy, Policy, Reason, Signals, Verdict
from monitor.canary.resource.canary import Canary, canary_of, with_status
from monitor.canary.resource.spec import Attribution
from monitor.canary.resource.status import CanaryStatus, Frozen, Phase
from monitor.canary.transition import Outcome, advance
from monitor.canary.world import DeisFacts, Deployment, Release, Ruling, World, old_templates

Json = dict[str, Any]

FROZEN = Frozen(Policy((MetricPolicy("errors"),)), Attribution.UPSTREAM, (), ("errors",))


def verdict(decision: Decision, *, automatic: bool = True) -> Verdict:
    """A verdict."""
    reasons = {
        Decision.CONTINUE: Reason.TOO_EARLY,
        Decision.ROLLBACK: Reason.EVIDENCE,
        Decision.PROMOTABLE: Reason.WITHIN_TOLERANCE,
        Decision.INCONCLUSIVE: Reason.MISSING_DATA,
    }
    return Verdict(decision, reasons[decision], "as scripted", automatic, 0.0, 0.0, 4.6)


def template(release: str, *, image: str = "", track: str = "", deis: str = "") -> Json:
    """A pod template of a release."""
    labels = {"app.kubernetes.io/name": "shop", "app.kubernetes.io/version": release}
    if deis:
        labels = {"heritage": "deis", "app": deis, "type": "web", "version": release}
    if track:
        labels["track"] = track
    return {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": image or release}]}}


class Killed(Exception):  # noqa: N818 - an event, no error
    """The controller's process ended here."""


class Conflict(Exception):  # noqa: N818 - as the API server's
    """The object is not as it was read."""


@dataclass
class Model:
    """See the module.

    Attributes:
        spec: Of the resource.
        annotations: Of the resource.
        deployments: By name, as the API server has them.
        sets: ReplicaSets.
        releases: Of the Deis app, newest first; empty for none.
        now: The time.
        ruling: Of the graph.
        posts: Rollbacks that Deis was asked for: intent id and version.
        acts: Changes that were carried out.
    """

    spec: Json
    annotations: dict[str, str] = field(default_factory=dict)
    deployments: dict[str, Json] = field(default_factory=dict)
    sets: list[Json] = field(default_factory=list)
    releases: list[Release] = field(default_factory=list)
    now: datetime = datetime(2026, 11, 24, 12, tzinfo=UTC)
    ruling: Ruling = field(default_factory=Ruling)
    frozen: Frozen | None = FROZEN
    again: Verdict | None = None
    posts: list[tuple[str, int]] = field(default_factory=list)
    acts: list[Change] = field(default_factory=list)
    lose_answers: bool = False
    status: Json = field(default_factory=dict)
    version: int = 1
    _uids: "itertools.count[int]" = field(default_factory=itertools.count)

    def deploy(self, name: str, pods: Json, *, replicas: int = 4, selector: Mapping[str, str] | None = None) -> None:
        """Make a Deployment, or give it another template."""
        there = self.deployments.get(name)
        if there is None:
            facts = {"name": name, "namespace": "shop", "uid": f"d{next(self._uids)}", "generation": 1}
            chosen = dict(selector or {"app.kubernetes.io/name": "shop"})
            spec = {"replicas": replicas, "selector": {"matchLabels": chosen}, "template": pods}
            self.deployments[name] = {"metadata": {**facts, "resourceVersion": "0"}, "spec": spec, "status": {}}
        else:
            there["spec"]["template"] = pods
        self._changed(name)

    def touch(self, name: str) -> None:
        """What the Deployment controller does all the time: another version, and nothing else."""
        if name in self.deployments:
            self._changed(name)

    def _changed(self, name: str) -> None:
        self.version += 1
        thing = self.deployments[name]
        thing["metadata"]["resourceVersion"] = str(self.version)
        replicas = thing["spec"].get("replicas", 1)
        counts = dict.fromkeys(("updatedReplicas", "readyReplicas", "replicas"), replicas)
        thing["status"] = {"observedGeneration": thing["metadata"].get("generation", 1), **counts}
        known = {json.dumps(one["spec"]["template"], sort_keys=True) for one in self.sets if one["of"] == name}
        pods = json.loads(json.dumps(thing["spec"]["template"]))
        if json.dumps(pods, sort_keys=True) not in known:
            owner = {"uid": thing["metadata"]["uid"], "controller": True}
            note = {"deployment.kubernetes.io/revision": str(len(self.sets) + 1)}
            facts = {"ownerReferences": [owner], "annotations": note}
            self.sets.append({"of": name, "metadata": facts, "spec": {"template": pods}})

    def resource(self) -> Json:
        """As the API server gives it."""
        facts = {"name": "shop", "namespace": "shop", "uid": "abcdefgh-1", "resourceVersion": str(self.version)}
        body = {"metadata": {**facts, "generation": 1, "annotations": self.annotations}, "spec": self.spec}
        return json.loads(json.dumps({**body, "status": self.status}))

    @property
    def read(self) -> CanaryStatus:
        """The status as it is."""
        return canary_of(self.resource()).status

    def world(self, canary: Canary) -> World:
        """As a look sees it."""
        one = self.deployments.get(canary.spec.stable_name)
        two = self.deployments.get(canary.spec.canary_name) if canary.spec.canary_name else None
        stable = Deployment(json.loads(json.dumps(one))) if one else None
        ready = Signals(stable_pods=4, stable_ready=4, canary_pods=1, canary_ready=1)
        return World(
            now=self.now,
            stable=stable,
            second=Deployment(json.loads(json.dumps(two))) if two else None,
            old=old_templates(self.sets, stable) if stable else (),
            deis=DeisFacts("telemetry", tuple(self.releases)) if self.releases else None,
            signals=ready,
            frozen=self.frozen,
            ruling=self.ruling,
            again=self.again,
        )

    def look(self, said: Verdict | None = None, *, stop_after: str = "", between: Any = None) -> None:
        """Look, and go on until there is nothing more to do.

        Args:
            said: What the counts say.
            stop_after: `read`, `written` or `acted`: where the process ends.
            between: Called after the world was read, and after the status was written.
        """
        refused = ""
        for _ in range(30):
            thing = self.resource()
            canary = canary_of(thing)
            world = replace(self.world(canary), refused=refused)
            if between is not None:
                between()
            outcome = advance(canary, world, said)
            if stop_after == "read":
                raise Killed
            if outcome.status != canary.status:
                self._write(thing, outcome)
            if stop_after == "written":
                raise Killed
            if between is not None:
                between()
            if outcome.change is None:
                if outcome.status == canary.status:
                    return
                continue
            refused = self._act(outcome.change)
            if stop_after == "acted":
                raise Killed
        raise AssertionError(f"a look does not come to an end: {self.read}")

    def _write(self, thing: Json, outcome: Outcome) -> None:
        if thing["metadata"]["resourceVersion"] != str(self.version) and thing["status"] != self.status:
            raise Conflict
        self.status = json.loads(json.dumps(with_status(thing, outcome.status, self.now)["status"]))

    def _act(self, change: Change) -> str:
        self.acts.append(change)
        there = self.deployments.get(change.name)
        if change.method == "DEIS":
            return self._roll_back(change)
        if change.method == "POST":
            if there is None:
                facts = {**change.body["metadata"], "uid": f"d{next(self._uids)}", "generation": 1}
                self.deployments[change.name] = {**json.loads(json.dumps(change.body)), "metadata": facts}
                self._changed(change.name)
        elif there is not None and change.intent.resource_version == there["metadata"]["resourceVersion"]:
            if change.method == "DELETE":
                del self.deployments[change.name]
            else:
                self.deployments[change.name] = json.loads(json.dumps(change.body))
                self._changed(change.name)
        return ""

    def _roll_back(self, change: Change) -> str:
        version = int(change.body["version"])
        self.posts.append((change.intent.id, version))
        if not self.lose_answers:
            self.new_release("telemetry", back_to=version)
        return ""

    def new_release(self, owner: str, *, back_to: int = 0) -> None:
        """Deis makes a release and deploys it."""
        number = self.releases[0].version + 1
        old = next((one for one in self.releases if one.version == back_to), None)
        if old is None:
            made = Release(number, owner, f"{owner} deployed abc", f"b{number}", "c1")
        else:
            made = Release(number, owner, f"{owner} rolled back to v{back_to}", old.build, old.config)
        self.releases.insert(0, made)
        self.deploy("shop-web", template(f"v{number}", image=made.build or "", deis="shop"))

    def wait(self, **time: float) -> None:
        """Let time pass."""
        self.now += timedelta(**time)

    def image(self, name: str) -> str:
        """What a Deployment runs."""
        return str(self.deployments[name]["spec"]["template"]["spec"]["containers"][0]["image"])


def two_deployments(**spec: Any) -> Model:
    """Stable release 1, and release 2 in the second Deployment."""
    model = Model({"targetRef": {"name": "shop"}, **spec})
    model.deploy("shop", template("1"))
    selector = {"app.kubernetes.io/name": "shop", "track": "canary"}
    model.deploy("shop-canary", template("2", track="canary"), replicas=0, selector=selector)
    return model


def surge(**spec: Any) -> Model:
    """One Deployment with release 1."""
    model = Model({"targetRef": {"name": "shop"}, "arms": {"mode": "surge"}, **spec})
    model.deploy("shop", template("1"))
    return model


def baseline(**spec: Any) -> Model:
    """A Deis app that has deployed v1 and v2, and of which the hook told."""
    model = Model({"targetRef": {"name": "shop-web"}, "arms": {"mode": "baseline"}, **spec})
    model.annotations["canary.deis.io/release"] = "v2"
    model.releases = [Release(1, "ann", "ann deployed abc", "b1", "c1")]
    selector = {"app": "shop", "type": "web", "heritage": "deis"}
    model.deploy("shop-web", template("v1", image="b1", deis="shop"), selector=selector)
    model.new_release("ann")
    return model


BAD, GOOD, SO_FAR = (verdict(each) for each in (Decision.ROLLBACK, Decision.PROMOTABLE, Decision.CONTINUE))


def begin(model: Model) -> None:
    """Let an analysis begin."""
    model.look()
    model.wait(seconds=1)
    model.look(SO_FAR)
    assert model.read.phase == Phase.PROGRESSING, model.read
    assert model.read.since is not None


def judged(model: Model) -> None:
    """Let the only step be over, with a good verdict."""
    model.wait(minutes=15)
    model.look(GOOD)
