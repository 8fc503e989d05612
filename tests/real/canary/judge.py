"""A process that judges canaries by a scripted reader, on a clock that runs faster: `judge.py SCRIPT STORE`.

The script is JSON, read anew at each look: `releases` says of each release how many requests a minute it gets and how
many of them fail; `complete` whether anything is known at all.
"""

import asyncio
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from prometheus_client import CollectorRegistry

from monitor.canary.kube import Kube
from monitor.canary.run import Parts
from monitor.canary.settings import CanarySettings
from monitor.metric import Kind, Metric
from monitor.reading import Amount, Answer, IncompleteError, Known, Question
from pipeline import failpoints
from pipeline.apiserver import open_client
from pipeline.service import run_service, set_up_log
from pipeline.store import open_store

EDGES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclass
class Scripted:
    """A reader that says what the script says."""

    script: Path
    began: float
    speed: float

    def now(self) -> datetime:
        """The time, which runs faster, and goes on over a restart."""
        return datetime.fromtimestamp(self.began + (time.time() - self.began) * self.speed, UTC)

    def told(self) -> Mapping[str, Any]:
        """The script as it is now."""
        told: Mapping[str, Any] = json.loads(self.script.read_text())
        if not told["complete"]:
            raise IncompleteError("as scripted")
        return told

    async def watermark_ns(self) -> int:
        """See `Reader`."""
        self.told()
        return int(self.now().timestamp() - 5) * 1_000_000_000

    async def ask(self, question: Question) -> Answer:
        """See `Reader`."""
        wanted = question.match.get("release")
        releases = {name: counts for name, counts in self.told()["releases"].items() if not wanted or name in wanted}
        minutes = (question.stop_ns - question.start_ns) / 60e9
        metric = Metric(question.metric, Kind.COUNTER, "", (), EDGES if "seconds" in question.metric else ())
        groups: dict[tuple[str, ...], Amount] = {}
        if question.metric == "app_tries" and question.by:
            for release, (n, e) in releases.items():
                groups[release, "200"] = Amount(int((n - e) * minutes), 0.0)
                groups[release, "500"] = Amount(int(e * minutes), 0.0)
        return Answer(metric, await self.watermark_ns(), groups)

    async def known(self, *, namespace: str | None = None, app: str | None = None) -> list[Known]:
        """See `Reader`."""
        return []


async def judge(settings: CanarySettings, stopping: asyncio.Event) -> None:
    """Judge until told to stop."""
    script, store = Path(sys.argv[1]), sys.argv[2]
    reader = Scripted(script, float(sys.argv[3]), float(sys.argv[4]))
    async with open_client(settings.kubernetes) as client, aiohttp.ClientSession() as session:
        parts = Parts(
            settings,
            Kube(client),
            session,
            reader=reader,
            store=open_store(store, directory="monitor"),
            registry=CollectorRegistry(),
            now=reader.now,
        )
        await parts.run(stopping)


if __name__ == "__main__":
    found = CanarySettings.load()
    set_up_log(found)
    failpoints.arm(found.failpoint)
    sys.exit(run_service(lambda stopping: judge(found, stopping)))
