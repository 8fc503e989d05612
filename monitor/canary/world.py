"""What the API server and the Deis controller say of a canary's arms: facts, read from JSON, and nothing decided."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from monitor.canary.counts import Signals, Verdict
from monitor.canary.resource.names import TEMPLATE_HASH
from monitor.canary.resource.status import Basis, Frozen, Restarted

Json = dict[str, Any]

DEIS: Final = "deis"
_RELEASE: Final = "app.kubernetes.io/version"
_APP: Final = "app.kubernetes.io/name"
_PROCESS: Final = "app.kubernetes.io/component"
_REVISION: Final = "deployment.kubernetes.io/revision"
_HASH_DIGITS: Final = 10
_WAITS: Final = "CrashLoopBackOff"


def template_hash(template: Mapping[str, Any]) -> str:
    """What tells two pod templates apart; the Deployment controller's own label does not."""
    facts = dict(template.get("metadata") or {})
    facts.pop("creationTimestamp", None)
    facts["labels"] = {k: v for k, v in (facts.get("labels") or {}).items() if k != TEMPLATE_HASH}
    plain = json.dumps({"metadata": facts, "spec": template.get("spec")}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(plain.encode()).hexdigest()[:_HASH_DIGITS]


@dataclass(frozen=True, slots=True)
class Names:
    """How lines of pods with these labels are named; the agent names them in the same way.

    Attributes:
        app: The app.
        process: Empty when no label tells it.
        release: Empty when no label tells it.
    """

    app: str
    process: str
    release: str


def names_of(labels: Mapping[str, str], *, namespace: str) -> Names:
    """Name the pods of a template."""
    if labels.get("heritage") == DEIS:
        return Names(namespace, labels.get("type", ""), labels.get("version", ""))
    return Names(labels.get(_APP) or namespace, labels.get(_PROCESS, ""), labels.get(_RELEASE, ""))


@dataclass(frozen=True, slots=True)
class Deployment:
    """One Deployment, as it was read.

    Attributes:
        raw: All of it.
    """

    raw: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.raw["metadata"]["name"])

    @property
    def resource_version(self) -> str:
        """Of this reading."""
        return str(self.raw["metadata"]["resourceVersion"])

    @property
    def annotations(self) -> Mapping[str, str]:
        """Its own, not those of its pods."""
        return self.raw["metadata"].get("annotations") or {}

    @property
    def template(self) -> Mapping[str, Any]:
        """Of its pods."""
        template: Mapping[str, Any] = self.raw["spec"]["template"]
        return template

    @property
    def hash(self) -> str:
        """Of its template."""
        return template_hash(self.template)

    @property
    def labels(self) -> Mapping[str, str]:
        """Of its pods."""
        return (self.template.get("metadata") or {}).get("labels") or {}

    @property
    def selector(self) -> Mapping[str, str]:
        """By which it knows its pods."""
        return self.raw["spec"]["selector"].get("matchLabels") or {}

    @property
    def replicas(self) -> int:
        """How many pods it should have."""
        return int(self.raw["spec"].get("replicas", 1))

    @property
    def names(self) -> Names:
        """How its pods' lines are named."""
        return names_of(self.labels, namespace=self.raw["metadata"]["namespace"])

    @property
    def rolled_out(self) -> bool:
        """Whether all of its pods, and no others, are of its template, and ready."""
        status = self.raw.get("status") or {}
        seen = status.get("observedGeneration", 0) >= self.raw["metadata"].get("generation", 0)
        counts = [status.get(name, 0) for name in ("updatedReplicas", "readyReplicas", "replicas")]
        return seen and all(count == self.replicas for count in counts)


@dataclass(frozen=True, slots=True)
class OldTemplate:
    """A template that a Deployment had.

    Attributes:
        template: Of pods, without the Deployment controller's label.
        release: Of its pods.
        revision: Larger is newer.
    """

    template: Mapping[str, Any]
    release: str
    revision: int

    @property
    def hash(self) -> str:
        """Of the template."""
        return template_hash(self.template)


def old_templates(sets: Iterable[Mapping[str, Any]], deployment: Deployment) -> tuple[OldTemplate, ...]:
    """The templates that ReplicaSets keep of a Deployment, newest first; the one that it has now is left out."""
    uid = deployment.raw["metadata"]["uid"]
    found = []
    for each in sets:
        owners = each["metadata"].get("ownerReferences") or ()
        if not any(owner.get("uid") == uid and owner.get("controller") for owner in owners):
            continue
        template = json.loads(json.dumps(each["spec"]["template"]))
        labels = template.setdefault("metadata", {}).get("labels") or {}
        labels.pop(TEMPLATE_HASH, None)
        names = names_of(labels, namespace=deployment.raw["metadata"]["namespace"])
        text = (each["metadata"].get("annotations") or {}).get(_REVISION, "0")
        old = OldTemplate(template, names.release, int(text) if text.isdigit() else 0)
        if old.hash != deployment.hash:
            found.append(old)
    return tuple(sorted(found, key=lambda old: -old.revision))


@dataclass(frozen=True, slots=True)
class PodFacts:
    """What is looked at of a pod.

    Attributes:
        name: Its name.
        labels: Its labels.
        ready: Whether requests go to it.
        restarts: Of its containers, ever.
        crash_loops: Whether one of them waits after a crash.
        began: When it was started first.
        ended: When one of its containers ended last, to be started again.
    """

    name: str
    labels: Mapping[str, str]
    ready: bool
    restarts: int
    crash_loops: bool
    began: datetime | None = None
    ended: datetime | None = None


def pod_of(thing: Mapping[str, Any]) -> PodFacts:
    """Read a pod."""
    status = thing.get("status") or {}
    containers = status.get("containerStatuses") or ()
    reasons = [((one.get("state") or {}).get("waiting") or {}).get("reason") for one in containers]
    ready = any(one.get("type") == "Ready" and one.get("status") == "True" for one in status.get("conditions") or ())
    return PodFacts(
        name=thing["metadata"]["name"],
        labels=thing["metadata"].get("labels") or {},
        ready=ready and not thing["metadata"].get("deletionTimestamp"),
        restarts=sum(int(one.get("restartCount", 0)) for one in containers),
        crash_loops=_WAITS in reasons,
        began=_moment(status.get("startTime")),
        ended=max((moment for moment in map(_ended, containers) if moment is not None), default=None),
    )


def _ended(container: Mapping[str, Any]) -> datetime | None:
    return _moment(((container.get("lastState") or {}).get("terminated") or {}).get("finishedAt"))


def _moment(told: str | None) -> datetime | None:
    return datetime.fromisoformat(told) if told is not None else None


@dataclass(frozen=True, slots=True)
class Release:
    """A release, as the Deis controller lists it.

    Attributes:
        version: Its number.
        owner: Who made it.
        summary: What the controller says of it.
        build: Id of the build.
        config: Id of the config.
        failed: Whether its deploy failed.
    """

    version: int
    owner: str = ""
    summary: str = ""
    build: str | None = None
    config: str | None = None
    failed: bool = False

    @property
    def name(self) -> str:
        """As pods are labelled."""
        return f"v{self.version}"

    @property
    def is_rollback(self) -> bool:
        """Whether it brought an older one back."""
        return " rolled back to v" in f" {self.summary}"


@dataclass(frozen=True, slots=True)
class DeisFacts:
    """What the Deis controller says of an app.

    Attributes:
        user: As whom we speak to it.
        releases: Newest first.
    """

    user: str
    releases: tuple[Release, ...]

    @property
    def latest(self) -> Release | None:
        """The newest; `None` for an app without any."""
        return self.releases[0] if self.releases else None

    def named(self, name: str) -> Release | None:
        """The release that pods are labelled with."""
        return next((release for release in self.releases if release.name == name), None)


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the graph says of a canary.

    Attributes:
        problem: Reason for which its edges are not accepted, and a sentence; empty when they are.
        hold: Dependencies in change: it must not begin.
        caused_by: A dependency that goes back, and this release was promoted on the one that goes.
        after: Dependents that go back first; it waits for them.
        shared: A dependency that is bad in both arms of several dependents: all pause.
        verify: Dependencies' promotions to look at: `namespace/name@release`.
        basis: Its dependencies' releases now.
    """

    problem: tuple[str, str] = ("", "")
    hold: tuple[str, ...] = ()
    caused_by: str = ""
    after: tuple[str, ...] = ()
    shared: str = ""
    verify: tuple[str, ...] = ()
    basis: tuple[Basis, ...] = ()


@dataclass(frozen=True, slots=True)
class World:
    """Everything outside the resource that a step of a canary depends on.

    Attributes:
        now: Time of the look.
        stable: The Deployment that users' requests go to.
        second: The canary's, or our baseline.
        old: Templates that the stable one had before, newest first.
        deis: `None` when it does not answer, or there is none.
        signals: Of the arms' pods.
        restarts: What an analysis that begins now writes down of them.
        frozen: By what an analysis that begins now would judge; `None` when nothing tells the releases apart.
        ruling: Of the graph.
        again: After a dependency's promotion: its minutes before, as the stable arm, against those after.
        refused: What the last action was answered with, if it was refused for good.
    """

    now: datetime
    stable: Deployment | None = None
    second: Deployment | None = None
    old: tuple[OldTemplate, ...] = ()
    deis: DeisFacts | None = None
    signals: Signals = field(default_factory=Signals)
    restarts: tuple[Restarted, ...] = ()
    frozen: Frozen | None = None
    ruling: Ruling = field(default_factory=Ruling)
    again: Verdict | None = None
    refused: str = ""


def signals_of(pods: Iterable[PodFacts], *, stable: str, canary: str, wanted: tuple[int, int]) -> Signals:
    """What pods say of both arms.

    Args:
        pods: Of the target's namespace, with the restarts that count.
        stable: Release of the stable arm.
        canary: Release of the other.
        wanted: How many pods each should have.
    """
    arms: dict[str, list[PodFacts]] = {stable: [], canary: []}
    for pod in pods:
        release = names_of(pod.labels, namespace="").release
        if release in arms:
            arms[release].append(pod)
    ours, theirs = arms[stable], arms[canary]
    return Signals(
        stable_pods=wanted[0],
        stable_ready=sum(pod.ready for pod in ours),
        stable_restarts=sum(pod.restarts for pod in ours),
        stable_crash_loops=sum(pod.crash_loops for pod in ours),
        canary_pods=wanted[1],
        canary_ready=sum(pod.ready for pod in theirs),
        canary_restarts=sum(pod.restarts for pod in theirs),
        canary_crash_loops=sum(pod.crash_loops for pod in theirs),
    )
