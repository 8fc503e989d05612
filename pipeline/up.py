"""All services in one process, for one machine.

::

    [demo] --> pod logs --> agent --> SQLite queue --+--> logger --> table, HTTP
     child process          |                        +--> monitor
                            '-- one event loop, one task each, stopped in this order: demo, agent, monitor, logger

With no pod logs on the machine and none named by `AGENT_POD_LOGS`, the demo writes some.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from demo.apps import BAD, CHECKOUT, GOOD, LABELS_FILE
from demo.canaries import write_canaries
from fluentd import agent
from fluentd.settings import AgentSettings
from logger import aggregator
from logger.settings import LoggerSettings
from monitor import monitor
from monitor.settings import MonitorSettings
from pipeline.errors import FatalError

DEMO_POD_LOGS: Final = Path("var/demo/pods")
"""Where the demo writes, below the folder that the command is started in."""

DEMO_CANARIES: Final = Path("var/demo/canaries")
"""Where it says which releases are on trial, for the monitor, unless that is told of others."""

STOP_SECONDS: Final = 25.0
"""All services have ended this long after they were told to: below Kubernetes' default grace period of 30 s."""

_DEMO_STOP_SECONDS: Final = 5.0

Run = Callable[[asyncio.Event], Awaitable[None]]
"""Runs one service until the event is set."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is run: settings of each service, and whether the demo writes the pod logs."""

    agent: AgentSettings
    logger: LoggerSettings
    monitor: MonitorSettings
    demo: bool


def make_plan() -> Plan:
    """Read all settings.

    Raises:
        SettingsError: One is missing or out of its range.
    """
    settings = AgentSettings.load()
    demo = "pod_logs" not in settings.model_fields_set and not Path(settings.pod_logs).is_dir()
    if demo:
        labels = settings.pod_labels or DEMO_POD_LOGS.absolute() / LABELS_FILE
        settings = settings.model_copy(update={"pod_logs": DEMO_POD_LOGS.absolute(), "pod_labels": labels})
    monitor_settings = MonitorSettings.load()
    if demo and monitor_settings.canary == "off" and "canaries" not in monitor_settings.model_fields_set:
        monitor_settings = monitor_settings.model_copy(update={"canaries": DEMO_CANARIES.absolute()})
    return Plan(settings, LoggerSettings.load(), monitor_settings, demo)


async def run(plan: Plan, stopping: asyncio.Event) -> None:
    """Run everything until `stopping` is set, then stop in the data's direction.

    Raises:
        BaseExceptionGroup: A service failed, which ends all of them.
    """
    services: dict[str, Run] = {
        "agent": lambda event: agent.run(plan.agent, event),
        "monitor": lambda event: monitor.run(plan.monitor, event),
        "logger": lambda event: aggregator.run(plan.logger, event),
    }
    if plan.demo:
        services = {"demo": _run_demo, **services}
    await run_all(services, stopping)


async def run_all(services: dict[str, Run], stopping: asyncio.Event, *, stop_seconds: float = STOP_SECONDS) -> None:
    """Run services side by side, and stop them one after the other, in the order given.

    Raises:
        FatalError: One ended by itself, or they did not all stop in time.
        BaseExceptionGroup: One raised; the others were cancelled.
    """
    events = {name: asyncio.Event() for name in services}
    async with asyncio.TaskGroup() as group:
        tasks = {
            name: group.create_task(_supervise(name, service, events[name]), name=name)
            for name, service in services.items()
        }
        await stopping.wait()
        try:
            async with asyncio.timeout(stop_seconds):
                for name, task in tasks.items():
                    events[name].set()
                    await asyncio.wait({task})
        except TimeoutError as error:
            late = ", ".join(name for name, task in tasks.items() if not task.done())
            raise FatalError(f"not stopped after {stop_seconds} s: {late}") from error


async def _supervise(name: str, service: Run, stopping: asyncio.Event) -> None:
    try:
        await service(stopping)
    except* OSError as errors:  # an address in use, a folder that cannot be made: an operator can act on it
        raise FatalError(f"{name}: {_first(errors)}") from errors
    if not stopping.is_set():
        raise FatalError(f"{name} ended by itself")


def _first(group: BaseExceptionGroup[OSError]) -> OSError:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


async def _run_demo(stopping: asyncio.Event) -> None:
    DEMO_POD_LOGS.mkdir(parents=True, exist_ok=True)
    write_canaries(DEMO_CANARIES)
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "demo", str(DEMO_POD_LOGS.absolute()))
    try:
        async with asyncio.TaskGroup() as group:
            exited = group.create_task(process.wait(), name="demo process")
            stop = group.create_task(stopping.wait(), name="demo stop")
            await asyncio.wait({exited, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not stopping.is_set() and process.returncode:
                raise FatalError(f"demo: its process ended with status {process.returncode}")
            # Ctrl-C in a terminal reaches the child too, maybe before this process has seen it.
            await stopping.wait()
            _terminate(process)
            async with asyncio.timeout(_DEMO_STOP_SECONDS):
                await exited
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _terminate(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()


def guide(plan: Plan) -> str:
    """Where to look, for the person who started this."""
    logger_url, agent_url, monitor_url = (
        f"http://{settings.listen}" for settings in (plan.logger, plan.agent, plan.monitor)
    )
    app = "demo" if plan.demo else "APP"
    lines = [
        "",
        f"  reading     {plan.agent.pod_logs}" + ("   (no pod logs on this machine: the demo writes some)" * plan.demo),
        f"  table       {plan.logger.store_url}",
        f"  logger      {logger_url}/v1/apps   /healthz /readyz /metrics",
        f"  agent       {agent_url}/metrics   /healthz /readyz",
        f"  monitor     {monitor_url}/v1/metrics/{app}   /healthz /readyz /metrics",
        "",
        f"  In a second terminal:   ./deis-logs tail -a {app}",
        f"                          ./deis-telemetry metrics {app}",
        *_canary_guide(plan),
        "  Ctrl-C stops; the next start goes on from there.",
        "",
        "",
    ]
    return "\n".join(lines)


def _canary_guide(plan: Plan) -> list[str]:
    if not plan.demo or plan.monitor.canaries != DEMO_CANARIES.absolute():
        return []
    return [
        f"{' ' * 26}./deis-telemetry canary list",
        f"  Two releases of {CHECKOUT} are on trial: {BAD} is found bad within 6 minutes, {GOOD} passes within 10.",
    ]
