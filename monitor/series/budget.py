"""How many label sets an app may have: one that makes a new one with each line must not fill the memory of all.

Beyond its budget an app's samples go to the label set `_overflow`, so that its sum over all label sets stays exact.
What is admitted goes by the order of the samples, and by nothing else.
"""

from dataclasses import dataclass, field

import msgspec

from monitor.metric import OVERFLOW, LabelSet
from monitor.series.limits import Limits

App = tuple[str, str]
"""Namespace and app."""


class AppUse(msgspec.Struct):
    """What an app has of its budget.

    Attributes:
        since_ns: The shard's clock when it came, if others had been turned away before; else 0.
        sets: Label sets, pods not told apart.
        pod_sets: Label sets, pods told apart.
        own: Of `sets`, by metric of the app's own rules.
        held: Label sets of both kinds, those that are beyond the budget included.
    """

    since_ns: int
    sets: int = 0
    pod_sets: int = 0
    own: dict[str, int] = {}
    held: int = 0


@dataclass(slots=True)
class Budget:
    """What all apps of a shard have.

    Attributes:
        limits: Bounds.
        clock_ns: The shard's clock, as apps' `since_ns` has it.
        apps: Use by app, in the order in which they came.
        pod_sets: Sum over all apps.
        crowded: Whether an app was ever turned away.
    """

    limits: Limits
    clock_ns: int = 0
    apps: dict[App, AppUse] = field(default_factory=dict)
    pod_sets: int = 0
    crowded: bool = False

    def use(self, labels: LabelSet) -> AppUse | None:
        """The app of a label set, if it is known."""
        return self.apps.get((labels.namespace, labels.app))

    def is_full(self) -> bool:
        """Whether no other app can be told apart."""
        return len(self.apps) >= self.limits.apps

    def enter(self, labels: LabelSet) -> AppUse | None:
        """The app of a label set; `None` when there are too many apps."""
        use = self.use(labels)
        if use is not None:
            return use
        if self.is_full():
            self.crowded = True
            return None
        use = self.apps[labels.namespace, labels.app] = AppUse(self.clock_ns if self.crowded else 0)
        return use

    def admit(self, use: AppUse, own_metric: str | None) -> bool:
        """Whether there is room for another label set of the app; takes it if there is."""
        if not self.has_room(use, own_metric):
            return False
        use.sets += 1
        if own_metric is not None:
            use.own[own_metric] = use.own.get(own_metric, 0) + 1
        return True

    def has_room(self, use: AppUse, own_metric: str | None) -> bool:
        """Whether there is room for another label set of the app. Its own rules get half of the room."""
        limits = self.limits
        if use.sets >= limits.app_sets or self.pod_sets >= limits.sets:
            return False
        if own_metric is None:
            return True
        return use.own.get(own_metric, 0) < limits.own_sets and sum(use.own.values()) < limits.app_sets // 2

    def admit_pod(self, use: AppUse) -> bool:
        """Whether there is room for another label set that tells the pod; takes it if there is."""
        if not self.has_pod_room(use):
            return False
        use.pod_sets += 1
        self.pod_sets += 1
        return True

    def has_pod_room(self, use: AppUse) -> bool:
        """Whether there is room for another label set that tells the pod."""
        return use.pod_sets < self.limits.pod_sets and self.pod_sets < self.limits.sets

    @staticmethod
    def hold(use: AppUse | None) -> None:
        """Note one more label set, whether or not it counts against the budget."""
        if use is not None:
            use.held += 1

    def count(self, labels: LabelSet, own_metric: str | None) -> None:
        """Count a total that was admitted before."""
        use = self.use(labels)
        if use is not None and not is_over(labels):
            use.sets += 1
            if own_metric is not None:
                use.own[own_metric] = use.own.get(own_metric, 0) + 1
        self.hold(use)

    def count_pod(self, labels: LabelSet) -> None:
        """Count a series that tells the pod and was admitted before."""
        use = self.use(labels)
        if use is not None and labels.pod != OVERFLOW:
            use.pod_sets += 1
            self.pod_sets += 1
        self.hold(use)

    def forget(self, labels: LabelSet, own_metric: str | None) -> None:
        """A total is gone."""
        use = self.use(labels)
        if use is None:
            return
        if not is_over(labels):
            use.sets -= 1
            if own_metric is not None:
                use.own[own_metric] -= 1
                if not use.own[own_metric]:
                    del use.own[own_metric]
        self._let_go(labels, use)

    def forget_pod(self, labels: LabelSet) -> None:
        """A series that tells the pod is gone."""
        use = self.use(labels)
        if use is None:
            return
        if labels.pod != OVERFLOW:
            use.pod_sets -= 1
            self.pod_sets -= 1
        self._let_go(labels, use)

    def _let_go(self, labels: LabelSet, use: AppUse) -> None:
        use.held -= 1
        if not use.held:
            del self.apps[labels.namespace, labels.app]


def is_over(labels: LabelSet) -> bool:
    """Whether a label set stands for those beyond a budget."""
    return labels.release == OVERFLOW


def without_pod(labels: LabelSet) -> LabelSet:
    """The label set of the total."""
    return named(labels, "") if labels.pod else labels


def named(labels: LabelSet, pod: str) -> LabelSet:
    """The same with another pod."""
    return LabelSet(labels.namespace, labels.app, labels.process, labels.release, pod, labels.labels)


def beyond(labels: LabelSet, has_app: bool) -> LabelSet:
    """The label set that stands for one beyond the budget; of an app that is one too many, for all of those."""
    namespace, app = (labels.namespace, labels.app) if has_app else (OVERFLOW, OVERFLOW)
    return LabelSet(namespace, app, OVERFLOW, OVERFLOW, OVERFLOW, (OVERFLOW,) * len(labels.labels))
