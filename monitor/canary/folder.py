"""Canaries described in files, for where there is no API server: judged as all are, and nothing is done about them.

A file `*.yaml` of the folder is a `Canary`. What its Deployments would tell stands in annotations: the app (the name of
the target by default), the process (`web`), the releases. Whatever its policy says, it is `dryRun`. An analysis begins
when its file is seen first and lines tell the releases apart; it begins anew when the file changes, or the monitor
restarts.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
import structlog
import yaml

from monitor.canary.counts import MINUTE_NS, Decision, Signals, Verdict
from monitor.canary.observe.asking import ArmNames
from monitor.canary.observe.freezing import freeze
from monitor.canary.observe.history import History
from monitor.canary.observe.observer import Observer
from monitor.canary.observe.rows import moment_of, ns_of
from monitor.canary.resource.canary import Canary, InvalidCanaryError, canary_of
from monitor.canary.resource.duration import length_of
from monitor.canary.resource.names import GROUP
from monitor.canary.resource.spec import ActPolicy, Attribution
from monitor.canary.resource.status import CanaryStatus, Phase
from monitor.canary.saying import because, to_phase, with_verdict
from monitor.canary.selfmetrics import CanaryMetrics
from monitor.reading import IncompleteError, Reader

log = structlog.get_logger()

STABLE_RELEASE: Final = f"{GROUP}/stable-release"
CANARY_RELEASE: Final = f"{GROUP}/canary-release"
APP: Final = f"{GROUP}/app"
PROCESS: Final = f"{GROUP}/process"

FILES: Final = 100
"""Most files that are looked at."""

FILE_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Described:
    """A canary of a file.

    Attributes:
        canary: As the file says, with the status that it has here.
        names: Of its arms.
        text: The file: another text is another analysis.
    """

    canary: Canary
    names: ArmNames
    text: str


def described(text: str) -> Described:
    """Read a file.

    Raises:
        InvalidCanaryError: It makes no sense; says what is wrong.
    """
    try:
        thing = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise InvalidCanaryError(f"no YAML: {error}"[:300]) from error
    metadata = thing.get("metadata") if isinstance(thing, dict) else None
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        raise InvalidCanaryError("no object with metadata.name")
    told = metadata.get("annotations") or {}
    if not isinstance(told, dict) or not all(isinstance(value, str) for value in told.values()):
        raise InvalidCanaryError("metadata.annotations: texts by name")
    facts = {
        "name": metadata["name"],
        "namespace": str(metadata.get("namespace") or "default"),
        "uid": "of-a-file",
        "resourceVersion": "",
        "annotations": told,
    }
    canary = canary_of({"metadata": facts, "spec": thing.get("spec", {})})
    canary = replace(canary, spec=msgspec.structs.replace(canary.spec, policy=ActPolicy.DRY_RUN))
    return Described(canary, _names(canary, told), text)


def _names(canary: Canary, told: Mapping[str, str]) -> ArmNames:
    missing = [name for name in (STABLE_RELEASE, CANARY_RELEASE) if not told.get(name)]
    if missing:
        raise InvalidCanaryError(f"metadata.annotations: {missing[0]} is not there")
    return ArmNames(
        namespace=canary.namespace,
        app=told.get(APP, canary.spec.target_ref.name),
        process=told.get(PROCESS, "web"),
        stable=told[STABLE_RELEASE],
        canary=told[CANARY_RELEASE],
        attribution=canary.spec.arms.attribution or Attribution.UPSTREAM,
    )


def read_folder(folder: Path) -> dict[str, str]:
    """Texts of the files, by name; one that is too long or is not there any more is left out."""
    found = {}
    for path in sorted(folder.glob("*.yaml"))[:FILES]:
        try:
            data = path.read_bytes()
        except OSError:
            continue
        if len(data) <= FILE_BYTES:
            found[path.name] = data.decode("utf-8", "replace")
    return found


class FolderJudge:
    """See the module.

    Args:
        folder: Where the files are.
        reader: Answers for windows.
        observer: Keeps and judges minutes.
        metrics: Shows them, too.
        now: The time.
    """

    def __init__(
        self,
        folder: Path,
        *,
        reader: Reader,
        observer: Observer,
        metrics: CanaryMetrics,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._folder, self._reader, self._observer, self._now = folder, reader, observer, now
        self._metrics = metrics
        self._known: dict[str, Described] = {}
        self._refused: dict[str, str] = {}

    async def run(self, stopping: asyncio.Event, *, every_seconds: float) -> None:
        """Look again and again until `stopping` is set."""
        while not stopping.is_set():
            await self.look()
            async with asyncio.TaskGroup() as group:
                waiting = group.create_task(stopping.wait())
                await asyncio.wait({waiting}, timeout=every_seconds)
                waiting.cancel()

    async def canaries(self) -> Sequence[Canary]:
        """All that make sense."""
        return self.known()

    def known(self) -> Sequence[Canary]:
        """The same, for who does not wait."""
        return [each.canary for each in self._known.values()]

    async def look(self) -> None:
        """Look at the folder and at each canary once."""
        texts = await asyncio.to_thread(read_folder, self._folder)
        self._take_in(texts)
        for name, each in list(self._known.items()):
            try:
                status = await self._looked(each)
            except (IncompleteError, KeyError) as error:
                status = because(each.canary.status, "NoData", str(error))
            self._metrics.moved(each.canary, status)
            self._known[name] = replace(each, canary=replace(each.canary, status=status))

    def _take_in(self, texts: Mapping[str, str]) -> None:
        self._known = {name: each for name, each in self._known.items() if name in texts}
        for name, text in texts.items():
            if (name in self._known and self._known[name].text == text) or self._refused.get(name) == text:
                continue
            self._known.pop(name, None)
            try:
                self._known[name] = described(text)
            except InvalidCanaryError as error:
                self._refused[name] = text
                log.warning("a file describes no canary", file=name, error=str(error))

    async def _looked(self, each: Described) -> CanaryStatus:
        canary, status = each.canary, each.canary.status
        if status.phase == Phase.INCONCLUSIVE:
            return status
        if status.frozen is None or status.since is None:
            return await self._begun(each)
        names = replace(each.names, attribution=status.frozen.attribution)
        seen = await self._observer.look(canary, names, Signals())
        if seen is None or seen.verdict is None:
            return because(status, "NoData", "nothing complete is known yet")
        return decided(canary, with_verdict(status, seen.verdict), seen.verdict, self._now())

    async def _begun(self, each: Described) -> CanaryStatus:
        """Fix what is judged by; the analysis begins with the next minute."""
        frozen = await freeze(each.canary.spec, each.names, self._reader, read_history=_no_history)
        if frozen is None:
            told = "no lines say which release served a request: see spec.arms.attribution"
            return because(CanaryStatus(phase=Phase.HELD), "NoReleaseAttribution", told)
        begin = moment_of((ns_of(self._now()) // MINUTE_NS + 1) * MINUTE_NS)
        key = f"{each.canary.path}/{each.names.canary}"
        return CanaryStatus(
            phase=Phase.PROGRESSING,
            reason="Analysing",
            key=key,
            analysis=f"{key}@{int(begin.timestamp())}",
            stable_release=each.names.stable,
            canary_release=each.names.canary,
            since=begin,
            step_since=begin,
            frozen=frozen,
        )


async def _no_history() -> History:
    return History()


def decided(canary: Canary, status: CanaryStatus, verdict: Verdict, now: datetime) -> CanaryStatus:
    """What would be done about it: nothing is."""
    if verdict.decision == Decision.ROLLBACK:
        return to_phase(status, Phase.INCONCLUSIVE, "WouldRollBack", verdict.message)
    steps = sum((length_of(step.min_time) for step in canary.spec.steps), timedelta())
    assert status.since is not None  # noqa: S101 - the analysis has begun
    if verdict.decision == Decision.PROMOTABLE and now - status.since >= steps:
        return to_phase(status, Phase.INCONCLUSIVE, "WouldPromote", verdict.message)
    if now - status.since > length_of(canary.spec.max_duration):
        return to_phase(
            status, Phase.INCONCLUSIVE, "TimeOver", f"undecided after {canary.spec.max_duration}: {verdict.message}"
        )
    return because(status, verdict.reason, verdict.message)
