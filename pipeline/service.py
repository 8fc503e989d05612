"""What every service is made of: its own log, health, `/metrics`, and an orderly stop."""

import asyncio
import contextlib
import functools
import logging
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final, TypeVar

import structlog
import uvloop
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest

from pipeline import failpoints
from pipeline.errors import FatalError, PipelineError, SettingsError
from pipeline.settings import CommonSettings, split_listen

log = structlog.get_logger()

S = TypeVar("S", bound=CommonSettings)

_USAGE: Final = 2

# Without local variables: they hold users' log lines, which must neither leak nor be tailed and logged again.
_TRACEBACKS: Final = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)


class Health:
    """Which parts of a service work. A part is ready, or broken for a reason that an operator can act on.

    Parts register themselves as not ready when the service is built, so that it is ready only when all have said so.
    """

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}

    def broken(self, part: str, reason: str) -> None:
        """Say that `part` does not work now, and why."""
        self._reasons[part] = reason

    def ready(self, part: str) -> None:
        """Say that `part` works."""
        self._reasons[part] = ""

    def problems(self) -> dict[str, str]:
        """Reason for each part that does not work; empty when all do."""
        return {part: reason for part, reason in self._reasons.items() if reason}


def probe_routes(health: Health) -> list[web.RouteDef]:
    """`GET /healthz` (alive), `GET /readyz` (able to serve, else 503 and the broken parts)."""

    async def healthz(_: web.Request) -> web.Response:
        return web.Response()

    async def readyz(_: web.Request) -> web.Response:
        problems = health.problems()
        return web.json_response({"ready": not problems, "problems": problems}, status=503 if problems else 200)

    return [web.get("/healthz", healthz), web.get("/readyz", readyz)]


def health_routes(health: Health, registry: CollectorRegistry) -> list[web.RouteDef]:
    """`probe_routes`, and `GET /metrics`."""

    async def metrics(_: web.Request) -> web.Response:
        body = await asyncio.to_thread(generate_latest, registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    return [*probe_routes(health), web.get("/metrics", metrics)]


@contextlib.asynccontextmanager
async def listening(app: web.Application, listen: str) -> AsyncIterator[int]:
    """Serve `app` on `listen` (`host:port`) inside the block; yields the port, which is chosen when 0 was asked for.

    Raises:
        FatalError: The address is in use, or none of this machine.
    """
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=2.0)
    await runner.setup()
    try:
        host, port = split_listen(listen)
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise FatalError(f"cannot listen on {listen}: {error.strerror}") from error
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


class _FromLibraries(logging.Handler):
    """What libraries log becomes a line of the service's own log.

    A malformed request is answered with 400 and is nothing to log: anybody can send them, and the words of one may hold
    a token.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        if record.exc_info is not None and isinstance(record.exc_info[1], HttpProcessingError):
            return
        log.log(record.levelno, record.getMessage(), library=record.name, exc_info=record.exc_info)


def set_up_log(settings: CommonSettings) -> None:
    """Set up the service's own log: JSON lines on stdout, or a readable form on a terminal."""
    root = logging.getLogger()
    if not any(isinstance(handler, _FromLibraries) for handler in root.handlers):
        root.addHandler(_FromLibraries(logging.WARNING))
    console = settings.log_format == "console" or (settings.log_format == "auto" and sys.stdout.isatty())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.ExceptionPrettyPrinter() if console else _TRACEBACKS,
            structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[settings.log_level.upper()]),
    )


def run_alone(
    module: str,
    kind: type[S],
    run: Callable[[S, asyncio.Event], Awaitable[None]],
    *,
    arguments: Sequence[str] | None = None,
) -> int:
    """What `python -m <module>` does: read the settings, run the service until told to stop.

    Args:
        module: Name of the module, and of the command if it has one.
        kind: Of the settings.
        run: The service.
        arguments: Of the command line behind `module`, where none are allowed; those of the process by default.

    Returns:
        Exit status: as of `run_service`, or 2 for a wrong setting or command line.
    """
    if sys.argv[1:] if arguments is None else arguments:
        sys.stderr.write(
            f"usage: python -m {module}   (no arguments; docs/settings.md has its environment variables)\n"
        )
        return _USAGE
    try:
        settings = kind.load()
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return _USAGE
    set_up_log(settings)
    failpoints.arm(settings.failpoint)
    return run_service(functools.partial(run, settings))


def run_service(main: Callable[[asyncio.Event], Awaitable[None]]) -> int:
    """Run a service until it ends or is told to stop.

    Args:
        main: Gets an event that is set at SIGTERM and SIGINT; stops in the data's direction when it is.

    Returns:
        Exit status: 0 after an orderly stop, 1 after an error, which is logged.
    """
    status = 0
    try:
        uvloop.run(_until_stopped(main))
    except* PipelineError as errors:
        for error in _leaves(errors):
            log.error("service failed", error=str(error), kind=type(error).__name__)  # noqa: TRY400 - raised on purpose: the message says it all
        status = 1
    return status


async def _until_stopped(main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    await main(stopping)


def _leaves(group: BaseExceptionGroup[PipelineError]) -> list[PipelineError]:
    found: list[PipelineError] = []
    for error in group.exceptions:
        found.extend(_leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    return found
