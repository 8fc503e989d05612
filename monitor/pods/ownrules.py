"""The own metric rules of apps: which of the texts that their pods' annotations hold counts.

The pods of an app may hold different texts while a release replaces another. Of the pods of a process the one that came
last counts; of the processes that then have a text, the one whose pod came last. Pure.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

PodKey = tuple[str, str]
"""Names of a pod: its node and its uid."""

MOST_TEXT_CHARACTERS: Final = 64 * 1024 * 1024
"""Of the texts of all pods together; those beyond count as none."""


class Place(NamedTuple):
    """Where a pod stands: whose it is, and since when."""

    namespace: str
    app: str
    process: str
    from_ns: int


class OwnRules:
    """See the module.

    Attributes:
        texts: The text that counts, by namespace and app; none is empty.
        version: Grows by one with each change of `texts`.
        refused: Texts that were too many.
    """

    def __init__(self) -> None:
        self.texts: dict[tuple[str, str], str] = {}
        self.version = 0
        self.refused = 0
        self._said: dict[PodKey, str] = {}
        self._places: dict[PodKey, Place] = {}
        self._pods: dict[tuple[str, str], set[PodKey]] = {}
        self._characters = 0

    def say(self, pod: PodKey, place: Place, text: str | None) -> None:
        """A pod stands at a place and holds a text; `None` when nothing is said of that."""
        before = self._said.get(pod)
        text = before if text is None else text
        if text is None or (text == before and self._places[pod] == place):
            return
        former = self._drop(pod)
        if self._characters + len(text) > MOST_TEXT_CHARACTERS:
            self.refused += 1
            text = ""
        app = (place.namespace, place.app)
        if text == self.texts.get(app):
            text = self.texts[app]  # one object for all pods of the app
        self._said[pod], self._places[pod] = text, place
        self._characters += len(text)
        self._pods.setdefault(app, set()).add(pod)
        self._choose(app)
        if former is not None and former != app:
            self._choose(former)

    def forget(self, pod: PodKey) -> None:
        """A pod is gone."""
        app = self._drop(pod)
        if app is not None:
            self._choose(app)

    def held(self) -> Iterable[tuple[str, tuple[PodKey, ...]]]:
        """All texts with the pods that hold them, in order."""
        holders: dict[str, list[PodKey]] = {}
        for pod in sorted(self._said):
            holders.setdefault(self._said[pod], []).append(pod)
        return ((text, tuple(pods)) for text, pods in sorted(holders.items()))

    def _drop(self, pod: PodKey) -> tuple[str, str] | None:
        """Take a pod out; the app that it was of, for which is to be chosen anew."""
        text, place = self._said.pop(pod, None), self._places.pop(pod, None)
        if text is None or place is None:
            return None
        app = (place.namespace, place.app)
        self._characters -= len(text)
        self._pods[app].discard(pod)
        return app

    def _choose(self, app: tuple[str, str]) -> None:
        newest: dict[str, tuple[int, PodKey]] = {}
        for pod in self._pods[app]:
            place = self._places[pod]
            newest[place.process] = max(newest.get(place.process, (-1, pod)), (place.from_ns, pod))
        told = [one for one in newest.values() if self._said[one[1]]]
        text = self._said[max(told)[1]] if told else ""
        if not self._pods[app]:
            del self._pods[app]
        if text != self.texts.get(app, ""):
            self.version += 1
            if text:
                self.texts[app] = text
            else:
                del self.texts[app]
