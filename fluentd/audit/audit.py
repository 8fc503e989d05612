"""The self-audit as a whole.

::

    writer --> stdout --> runtime --> agent --> queue --> logger
      |                                                    |  |
      '-- number and time, before it writes --> judges <---'  '--> tasks: writer, follow, query, stored, figures
                                                  |
                                                  '--> /metrics

Stdout belongs to the stamped lines; the audit's own log goes to stderr.
"""

import asyncio
import sys
import time
from typing import Final

import aiohttp
import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry

from fluentd.audit.answers import AnswerJudge
from fluentd.audit.client import LINE_BYTES, LoggerClient
from fluentd.audit.judge import NS, Judge, Patience
from fluentd.audit.metrics import WAYS, AuditMetrics
from fluentd.audit.settings import AuditSettings
from fluentd.audit.stamp import make_run
from fluentd.audit.ways import Asker, Follower, Writer
from pipeline.service import Health, health_routes, listening

log = structlog.get_logger()

_FIGURES_SECONDS: Final = 1.0
_STDOUT: Final = 1


async def run(settings: AuditSettings, stopping: asyncio.Event) -> None:
    """Audit until `stopping` is set. Each start is a run of its own, which knows nothing of those before it.

    Raises:
        FatalError: The address cannot be listened on, or nobody reads stdout.
    """
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    registry, health = CollectorRegistry(), Health()
    for way in WAYS:
        health.broken(way, "starting")
    app = web.Application()
    app.add_routes(health_routes(health, registry))
    async with (
        listening(app, settings.listen) as port,
        aiohttp.ClientSession(read_bufsize=LINE_BYTES, headers={"User-Agent": "deis-telemetry-audit"}) as session,
    ):
        audit = Audit(settings, session=session, registry=registry, health=health, output=_STDOUT)
        log.info("audit started", run=audit.run_name, app=settings.app, logger=settings.logger_url, port=port)
        await audit.run(stopping)


class Audit:
    """The parts of one run, wired.

    Args:
        settings: Of the audit.
        session: To the logger.
        registry: For the metrics.
        health: Parts `follow`, `query`, `stored`.
        output: File descriptor that the stamped lines go to.

    Attributes:
        run_name: In every line of it.
    """

    def __init__(
        self,
        settings: AuditSettings,
        *,
        session: aiohttp.ClientSession,
        registry: CollectorRegistry,
        health: Health,
        output: int,
    ) -> None:
        self.run_name = run = make_run()
        self._metrics = metrics = AuditMetrics(registry)
        client = LoggerClient(session, url=settings.logger_url, app=settings.app, token_file=settings.token_file)
        judges = {
            "query": AnswerJudge.begin(_patience(settings)),
            "stored": AnswerJudge.begin(_patience(settings, stored=True)),
        }
        ages_seconds = {"query": 0.0, "stored": settings.stored_seconds}
        follow = Judge(_patience(settings))
        self._judges = {"follow": follow, **{way: judge.judge for way, judge in judges.items()}}
        self._follower = Follower(run=run, judge=follow, client=client, metrics=metrics, health=health)
        self._askers = [
            Asker(
                way,
                run=run,
                judge=judge,
                client=client,
                metrics=metrics,
                health=health,
                every_seconds=settings.query_seconds,
                age_seconds=ages_seconds[way],
            )
            for way, judge in judges.items()
        ]
        self._writer = Writer(
            run=run,
            judges=tuple(self._judges.values()),
            metrics=metrics,
            lines_per_second=settings.lines_per_second,
            line_bytes=settings.line_bytes,
            output=output,
        )

    async def run(self, stopping: asyncio.Event) -> None:
        """Run until told to stop; lines on their way are not waited for.

        Raises:
            BaseExceptionGroup: Of a `FatalError`: nobody reads the output.
        """
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._follower.run(), name="follow"),
                *(group.create_task(asker.run(), name=asker.way) for asker in self._askers),
                group.create_task(self._writer.run(), name="writer"),
                group.create_task(self._figures(), name="figures"),
            ]
            await stopping.wait()
            for task in tasks:
                task.cancel()

    async def _figures(self) -> None:
        """Give up what waits for too long, whether the logger answers or not, and show where things stand."""
        while True:
            now_ns = time.time_ns()
            for way, judge in self._judges.items():
                judge.settle(now_ns=now_ns)
                self._metrics.show(way, judge, now_ns)
            await asyncio.sleep(_FIGURES_SECONDS)


def _patience(settings: AuditSettings, *, stored: bool = False) -> Patience:
    wait_seconds = settings.wait_seconds + (settings.stored_seconds if stored else 0)
    return Patience(
        settle_ns=int(settings.settle_seconds * NS),
        wait_ns=int(wait_seconds * NS),
        late_ns=int(settings.late_seconds * NS),
    )
