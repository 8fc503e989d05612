"""The loop: every few seconds each canary is looked at, and taken a step further.

::

    list canaries --> graph --> for each:  read it --> look at the world --> observe --> advance (pure)
                                              ^                                            |
                                              '-- act <-- write the status, if unchanged <-'

A status is written at the version that was read, and only who wrote it acts. So of two that look at the same time one
goes on, and whoever comes after a crash finds in the status what was about to be done.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from monitor.canary import graph, looking
from monitor.canary.acting import Actor
from monitor.canary.counts import Verdict
from monitor.canary.deis import Deis
from monitor.canary.kube import ConflictError, Kube, RefusedError
from monitor.canary.modes import Candidate, candidate, is_new, served_before
from monitor.canary.notify import Notifier, is_news
from monitor.canary.observe.freezing import freeze
from monitor.canary.observe.historian import Historian, Target
from monitor.canary.observe.observer import Observer
from monitor.canary.observe.rows import ns_of
from monitor.canary.observe.verifying import before_and_after
from monitor.canary.resource.canary import Canary, InvalidCanaryError, canary_of, with_status
from monitor.canary.resource.status import CanaryStatus, Phase
from monitor.canary.selfmetrics import CanaryMetrics
from monitor.canary.transition import advance
from monitor.canary.world import Json, World
from monitor.reading import IncompleteError, Reader
from pipeline.errors import KubernetesUnavailableError
from pipeline.failpoints import failpoint

log = structlog.get_logger()

STEPS_AT_ONCE: Final = 12
"""Most steps of a canary at one look: what takes more goes on at the next."""

AT_A_TIME: Final = 8
"""Canaries that are looked at at the same time, beside those that wait for Deis."""

_BEGINS: Final = frozenset(
    {Phase.IDLE, Phase.HELD, Phase.PROMOTED, Phase.ROLLED_BACK, Phase.INCONCLUSIVE, Phase.CONFLICT}
)
_OBSERVED: Final = frozenset({Phase.PROGRESSING, Phase.PROMOTED})


class Controller:
    """See the module.

    Args:
        kube: The API server.
        deis: The Deis controller; `None` where there is none.
        reader: Answers for windows.
        observer: Keeps and judges minutes.
        actor: Carries changes out.
        notifier: Tells people.
        registry: For the metrics.
        historian: Keeps the noise of stable releases.
        now: The time.
    """

    def __init__(
        self,
        *,
        kube: Kube,
        deis: Deis | None,
        reader: Reader,
        observer: Observer,
        historian: Historian,
        actor: Actor,
        notifier: Notifier,
        registry: CollectorRegistry,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._kube, self._deis, self._reader = kube, deis, reader
        self._observer, self._actor, self._notifier = observer, actor, notifier
        self._historian, self.now = historian, now
        self._busy: set[str] = set()
        self._bad: set[str] = set()
        self._all: dict[str, Canary] = {}
        self._targets: dict[str, Target] = {}
        self._room = asyncio.Semaphore(AT_A_TIME)
        self._errors = Counter(
            "monitor_canary_errors", "Looks at a canary that failed, by kind.", ["kind"], registry=registry
        )
        self.metrics = CanaryMetrics(registry)
        self._looked_at = time.monotonic()
        Gauge(
            "monitor_canary_look_age_seconds", "How long ago the canaries were listed.", registry=registry
        ).set_function(lambda: time.monotonic() - self._looked_at)

    @property
    def canaries(self) -> Mapping[str, Canary]:
        """All that were there at the last look, by path."""
        return self._all

    def targets(self) -> list[Target]:
        """Those whose stable release's noise is to be kept."""
        return [self._targets[path] for path in sorted(self._targets.keys() & self._all.keys())]

    async def run(self, *, every_seconds: float) -> None:
        """Look at all canaries again and again, until cancelled.

        A canary whose look still goes on, since Deis takes minutes for a rollback, is passed over.
        """
        async with asyncio.TaskGroup() as group:
            while True:
                for thing in await self._listed():
                    path = f"{thing['metadata']['namespace']}/{thing['metadata']['name']}"
                    if path not in self._busy:
                        self._busy.add(path)
                        group.create_task(self._guarded(path, thing), name=f"canary {path}")
                await asyncio.sleep(every_seconds)

    async def tick(self) -> None:
        """Look at all canaries once."""
        async with asyncio.TaskGroup() as group:
            for thing in await self._listed():
                path = f"{thing['metadata']['namespace']}/{thing['metadata']['name']}"
                self._busy.add(path)
                group.create_task(self._guarded(path, thing), name=f"canary {path}")

    async def _listed(self) -> list[Json]:
        try:
            things = await self._kube.canaries()
        except (KubernetesUnavailableError, RefusedError) as error:
            self._errors.labels("list").inc()
            log.warning("canaries cannot be listed", error=str(error))
            return []
        self._looked_at = time.monotonic()
        self._all = {}
        for thing in things:
            try:
                canary = canary_of(thing)
            except InvalidCanaryError:
                continue  # its own look says so
            self._all[canary.path] = canary
        self._bad &= set(self._all)
        return things

    async def _guarded(self, path: str, thing: Json) -> None:
        """One canary's trouble is no other's."""
        try:
            await self._look(path, thing)
        except (KubernetesUnavailableError, RefusedError) as error:
            self._errors.labels("api-server").inc()
            log.warning("a canary cannot be looked at", canary=path, error=str(error))
        except ConflictError:
            self._errors.labels("conflict").inc()  # somebody else wrote: what they wrote is read at the next look
        except IncompleteError as error:
            self._errors.labels("incomplete").inc()
            log.warning("a canary waits for metrics", canary=path, error=str(error))
        except Exception:
            self._errors.labels("bug").inc()
            log.exception("a look at a canary failed", canary=path)
        finally:
            self._busy.discard(path)

    async def _look(self, path: str, thing: Json | None) -> None:
        refused = ""
        for _ in range(STEPS_AT_ONCE):
            if thing is None:
                return
            try:
                canary = canary_of(thing)
            except InvalidCanaryError as error:
                await self._reject(path, thing, str(error))
                return
            self._all[path] = canary
            moved, refused = await self._step(canary, thing, refused)
            if not moved:
                return
            thing = await self._kube.canary(canary.namespace, canary.name)

    async def _step(self, canary: Canary, thing: Json, refused: str) -> tuple[bool, str]:
        """One step: whether there may be another at once, and what was refused."""
        async with self._room:  # not while it acts: Deis takes minutes
            now = self.now()
            world = await looking.look(canary, self._kube, self._deis, now)
            self._note_target(canary, world)
            others = graph.graph_of(self._all.values(), bad=self._bad)
            world = replace(world, ruling=graph.ruling(others, canary.path, now), refused=refused)
            world = await self._with_frozen(canary, world)
            world = await self._with_again(canary, world)
            outcome = advance(canary, world, await self._observed(canary, world))
        if outcome.status != canary.status:
            written = await self._kube.put_status(with_status(thing, outcome.status, now))
            failpoint("canary.planned")
            self._all[canary.path] = canary_of(written)
            self.metrics.moved(canary, outcome.status)
            await self._tell(canary, outcome.status, now)
        if outcome.change is None:
            return outcome.status != canary.status, ""
        refused = await self._actor.act(canary, outcome.change)
        failpoint("canary.acted")
        return True, refused

    async def _with_frozen(self, canary: Canary, world: World) -> World:
        """Find out by what to judge, when there may be something to."""
        if canary.status.phase not in _BEGINS or canary.status.intent is not None or canary.spec.suspend:
            return world
        found = candidate(canary, world)
        if not isinstance(found, Candidate) or not (canary.status.phase == Phase.HELD or is_new(found, canary)):
            return world
        names = looking.arm_names(canary, world, found)
        if names is None:
            return world
        read = partial(self._historian.read, canary)
        frozen = await freeze(canary.spec, names, self._reader, read_history=read)
        return replace(world, frozen=frozen)

    async def _with_again(self, canary: Canary, world: World) -> World:
        """Compare before and after, when a dependency was promoted."""
        names = looking.arm_names(canary, world)
        promoted = [graph.promoted_since(self._all[name.partition("@")[0]]) for name in world.ruling.verify]
        times = [time for time in promoted if time is not None]
        if canary.status.phase != Phase.PROMOTED or names is None or not times:
            return world
        return replace(world, again=await before_and_after(canary, names, self._reader, ns_of(min(times))))

    def _note_target(self, canary: Canary, world: World) -> None:
        release = served_before(canary, world)
        names = looking.arm_names(canary, world, Candidate(release, "", "", ""))
        if names is not None and world.stable is not None and release:
            pods = canary.spec.steps[0].pods
            self._targets[canary.path] = (canary, names, pods / (pods + max(1, world.stable.replicas)))

    async def _observed(self, canary: Canary, world: World) -> Verdict | None:
        names = looking.arm_names(canary, world)
        keep_until = canary.status.keep_until
        over = canary.status.phase == Phase.PROMOTED and (keep_until is None or world.now >= keep_until)
        if canary.status.phase not in _OBSERVED or over or names is None:
            return None
        look = await self._observer.look(canary, names, world.signals)
        if look is None:
            return None
        (self._bad.add if look.both_bad else self._bad.discard)(canary.path)
        return look.verdict

    async def _tell(self, canary: Canary, status: CanaryStatus, now: datetime) -> None:
        if is_news(canary.status, status):
            log.info(
                "canary", canary=canary.path, phase=status.phase, reason=status.reason, release=status.canary_release
            )
            await self._notifier.tell(canary, status, now)

    async def _reject(self, path: str, thing: Json, message: str) -> None:
        """Say of an object that makes no sense that it makes none, and leave the rest of its status as it is."""
        self._all.pop(path, None)
        conditions = (thing.get("status") or {}).get("conditions") or []
        told = [each for each in conditions if isinstance(each, dict) and each.get("type") == "Accepted"]
        if told and told[0].get("status") == "False" and told[0].get("message") == message:
            return
        rest = [each for each in conditions if each not in told]
        accepted = {
            "type": "Accepted",
            "status": "False",
            "reason": "InvalidSpec",
            "message": message,
            "lastTransitionTime": self.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
            "observedGeneration": thing["metadata"].get("generation", 0),
        }
        status = {**(thing.get("status") or {}), "conditions": [accepted, *rest]}
        await self._kube.put_status({**thing, "status": status})
