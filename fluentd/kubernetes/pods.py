"""What is known of the node's pods, and the answers that the agent gets from it, at once: nothing here waits.

* A pod is found by namespace, name and uid together, as its folder of logs states them: a label of one pod never
  speaks for another that has its name. Static pods' folders have another uid, which an annotation states.
* A pod that was deleted is remembered while it has files here.
* A container of a pod that nothing is known of waits, for a bounded time; then its path speaks for it and it is read,
  since a line that was not wanted does less harm than one that is missing. When it is known after all, that counts.
* Once selected, a pod stays so: a label that goes away, as at the end of a rollout, must not cost
  a pod its last lines. A label that comes selects it, and everything that its files hold is read.
* To be left out by an annotation counts at once, and until it is taken away; then reading goes on where it stopped.
* Of every pod, collected or not, it is stated which address it has from when to when: others send requests to it.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, NamedTuple

import msgspec
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from fluentd.files.discovery import Place
from fluentd.kubernetes.facts import MIRROR, Pod, PodMeta
from fluentd.kubernetes.naming import Names, Naming
from fluentd.kubernetes.stating import end, restate
from fluentd.lanes.statements import Statements
from fluentd.pods.gate import Standing
from fluentd.pods.names import PodMetadata
from fluentd.pods.podrules import NO_RULES, PodRules, parse_rules
from fluentd.pods.selection import Selection
from pipeline.chunk import Origin
from pipeline.limits import POD_RULES_BYTES
from pipeline.podstatement import PodStatement

log = structlog.get_logger()

_KEPT_SECONDS: Final = 120.0  # a deleted pod without files: they may still be found, or its folder is away for a moment
_PROBLEMS, _PROBLEM_CHARACTERS = 5, 160  # in one line of our own log
_METRIC_RULES: Final = "metrics.deis.io/rules"
_STATES: Final = ("collected", "not_selected", "excluded")


class PodKey(NamedTuple):
    """A pod as the path of its logs names it."""

    namespace: str
    name: str
    uid: str

    @classmethod
    def of(cls, pod: PodMeta) -> "PodKey":
        """The key of a pod. A static pod's folder has a uid that an annotation of its image at the server states."""
        return cls(pod.namespace, pod.name, pod.annotations.get(MIRROR, pod.uid))


@dataclass(frozen=True, slots=True)
class KnownPod:
    """What is kept of a pod.

    Attributes:
        names: Whose lines it writes.
        selected: Whether it is collected.
        rules: What its annotations ask for.
        problems: How many of its annotations make no sense.
        blamed: Whether any ever did not: that is logged once for each pod.
        gone_at: When it was heard that it is deleted, monotonic seconds; 0 while it lives.
        stated: What holds of its addresses; `None` while it has none.
    """

    names: Names
    selected: bool
    rules: PodRules
    problems: int = 0
    blamed: bool = False
    gone_at: float = 0.0
    stated: PodStatement | None = None

    @property
    def state(self) -> str:
        """One of `_STATES`."""
        if not self.selected:
            return "not_selected"
        return "excluded" if self.rules.exclude else "collected"

    def standing(self, container: str) -> Standing:
        """Whether a container of it is read."""
        return Standing.READ if self.selected and not self.rules.excludes(container) else Standing.SKIP


class KnownPods:
    """`PodMetadata` of the pods that the API server told of, and the `Gate` of their containers.

    Args:
        naming: How they are named.
        selection: Which are collected.
        fallback: Speaks for those that nothing is known of.
        wait_seconds: How long a container waits for its pod to be known.
        statements: Takes what is stated of pods.
        changed: Called when an answer may have changed.
        registry: For the metrics.

    Attributes:
        changes: Grows with each change of what is known.
        wanted: Set when somebody begins to wait for a pod; who brings news clears it.
    """

    def __init__(
        self,
        *,
        naming: Naming,
        selection: Selection,
        fallback: PodMetadata,
        wait_seconds: float,
        statements: Statements,
        changed: Callable[[], None],
        registry: CollectorRegistry,
    ) -> None:
        self._naming, self._selection, self._fallback = naming, selection, fallback
        self._wait_seconds, self._statements, self._changed = wait_seconds, statements, changed
        self.changes = 0
        self.wanted = asyncio.Event()
        self._pods: dict[PodKey, KnownPod] = {}
        self._asked: dict[PodKey, float] = {}
        self._given_up: set[PodKey] = set()
        self._make_metrics(registry)

    def _make_metrics(self, registry: CollectorRegistry) -> None:
        pods = Gauge("fluentd_pods", "Pods of this node that the API server told of.", ["state"], registry=registry)
        for state in _STATES:
            pods.labels(state).set_function(partial(self._count, state))
        self._unknown = Counter(
            "fluentd_unknown_pods",
            "Pods whose files were read by what their path says, since nothing was heard of them in time.",
            registry=registry,
        )
        self._skipped = Counter(
            "fluentd_skipped_pods", "Pods that were found not to be collected.", ["reason"], registry=registry
        )
        self._problems = Counter(
            "fluentd_bad_annotations", "Annotations that make no sense and were left out.", registry=registry
        )

    def origin(self, *, namespace: str, pod: str, uid: str, container: str, restart: int) -> Origin:
        """See `PodMetadata`."""
        origin = self._fallback.origin(namespace=namespace, pod=pod, uid=uid, container=container, restart=restart)
        known = self._pods.get(PodKey(namespace, pod, uid))
        if known is None:
            return origin
        names = known.names
        return msgspec.structs.replace(origin, app=names.app, process=names.process, release=names.release)

    def spread(self, app: str) -> int:
        """See `PodMetadata`."""
        return max((pod.rules.spread for pod in self._pods.values() if pod.names.app == app), default=1)

    def rules(self, *, namespace: str, pod: str, uid: str) -> PodRules:
        """See `PodMetadata`."""
        known = self._pods.get(PodKey(namespace, pod, uid))
        return NO_RULES if known is None else known.rules

    def standing(self, place: Place) -> Standing:
        """See `Gate`. The first question starts the time that a container waits."""
        key = PodKey(place.namespace, place.pod, place.uid)
        known = self._pods.get(key)
        if known is not None:
            return known.standing(place.container)
        if not self._selection.has_namespace(place.namespace):
            return Standing.SKIP
        if key in self._given_up:
            return Standing.READ
        now = time.monotonic()
        if key not in self._asked:
            self._asked[key] = now
            self.wanted.set()
        if now - self._asked[key] < self._wait_seconds:
            return Standing.WAIT
        self._give_up(key)
        return Standing.READ

    @property
    def waiting(self) -> bool:
        """Whether a container waits now for a pod that nothing is known of."""
        since = time.monotonic() - self._wait_seconds
        return any(at > since and key not in self._pods for key, at in self._asked.items())

    def _give_up(self, key: PodKey) -> None:
        self._given_up.add(key)
        self._unknown.inc()

    def replace(self, pods: Iterable[Pod]) -> None:
        """Take in a list of all pods: those that are not in it are gone. When it breaks off, nobody is."""
        before = dict(self._pods)
        listed = {self._learn(pod) for pod in pods}
        for key in self._pods.keys() - listed:
            stated = self._pods[key].stated
            if stated is not None:
                self._statements.lose(stated)
            self._bury(key)
        if self._pods != before:
            self._note_change()

    def apply(self, pod: Pod, *, deleted: bool) -> None:
        """Take in what happened to one pod. Its last labels are those with which it is deleted."""
        before = self._pods.get(PodKey.of(pod.metadata))
        key = self._learn(pod)
        if deleted:
            stated = self._pods[key].stated
            if stated is not None:
                self._statements.say(end(stated, time.time_ns()))
            self._bury(key)
        if self._pods[key] != before:
            self._note_change()

    def snapshot(self) -> dict[PodKey, KnownPod]:
        """What is known, to be kept; the rules of apps are not, which are long and heard again."""
        return {key: _without_rules(pod) for key, pod in self._pods.items()}

    def restore(self, pods: Mapping[PodKey, KnownPod]) -> None:
        """Take in what was known once. Whether a pod is gone by now, the next list tells."""
        self._pods |= {key: replace(pod, gone_at=0.0) for key, pod in pods.items()}
        for pod in pods.values():
            if pod.stated is not None:
                self._statements.say(pod.stated)

    def retain(self, places: Iterable[Place]) -> None:
        """See `Gate`. A pod that is alive is known, whether it has files or not."""
        now = time.monotonic()
        here = {PodKey(place.namespace, place.pod, place.uid) for place in places}
        for key, pod in list(self._pods.items()):
            if pod.gone_at and key not in here and now - pod.gone_at >= _KEPT_SECONDS:
                del self._pods[key]
        for key in self._asked.keys() - here:
            del self._asked[key]
        self._given_up &= here

    def _note_change(self) -> None:
        self.changes += 1
        self._changed()

    def _count(self, state: str) -> int:
        return sum(pod.state == state for pod in self._pods.values())

    def _bury(self, key: PodKey) -> None:
        pod = self._pods[key]
        if not pod.gone_at:
            self._pods[key] = replace(pod, gone_at=time.monotonic(), stated=None)

    def _learn(self, pod: Pod) -> PodKey:
        facts, key = pod.metadata, PodKey.of(pod.metadata)
        before = self._pods.get(key)
        rules, problems = parse_rules(labels=facts.labels, annotations=facts.annotations)
        metric_rules = facts.annotations.get(_METRIC_RULES, "")
        if len(metric_rules.encode()) > POD_RULES_BYTES:
            problems.append(f"{_METRIC_RULES}: longer than {POD_RULES_BYTES} bytes")
            metric_rules = ""
        names = self._naming.names_of(facts)
        stated, news = restate(
            None if before is None else before.stated, pod, names, metric_rules, heard_ns=time.time_ns()
        )
        for statement in news:
            self._statements.say(statement)
        self._pods[key] = known = KnownPod(
            names=names,
            selected=self._selection.selects(facts.namespace, facts.labels) or (before is not None and before.selected),
            rules=rules,
            problems=len(problems),
            blamed=bool(problems) or (before is not None and before.blamed),
            stated=stated,
        )
        if known.state != "collected" and (before is None or before.state != known.state):
            self._skipped.labels(known.state).inc()
        if problems and (before is None or not before.blamed):
            log.warning(
                "annotations make no sense and are left out", pod=f"{key.namespace}/{key.name}", why=_told(problems)
            )
        self._problems.inc(max(0, len(problems) - (before.problems if before else 0)))
        return key


def _without_rules(pod: KnownPod) -> KnownPod:
    if pod.stated is None or not pod.stated.rules:
        return pod
    return replace(pod, stated=msgspec.structs.replace(pod.stated, rules=None))


def _told(problems: list[str]) -> list[str]:
    return [problem[:_PROBLEM_CHARACTERS] for problem in problems[:_PROBLEMS]]
