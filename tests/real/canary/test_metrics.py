"""What the judge says of canaries as metrics while it leads, on a real control plane."""

import asyncio
import time

import aiohttp
import pytest
from judge import Scripted
from prometheus_client import CollectorRegistry
from real_canary import SECONDS, SPEED, Bench

from demo.stack import wait_until
from monitor.canary.kube import Kube
from monitor.canary.run import Parts
from monitor.canary.settings import CanarySettings
from pipeline.apiserver import open_client
from pipeline.store import open_store

pytestmark = [pytest.mark.slow, pytest.mark.real]


async def until(registry: CollectorRegistry, name: str, labels: dict[str, str], value: float) -> None:
    def there() -> bool:
        return registry.get_sample_value(name, labels) == value

    await asyncio.to_thread(lambda: wait_until(there, seconds=SECONDS, what=f"{name} {labels}", every_seconds=0.2))


async def test_who_leads_shows_how_canaries_stand_and_counts_each_end_once(bench: Bench) -> None:
    namespace = await asyncio.to_thread(bench.namespace)
    await asyncio.to_thread(bench.deploy, namespace, "shop", "1")
    await asyncio.to_thread(lambda: bench.deploy(namespace, "shop-canary", "2", replicas=0, track="canary"))
    bench.says(_1=(300, 1), _2=(60, 60))
    await asyncio.to_thread(lambda: bench.canary(namespace, "shop", targetRef={"name": "shop"}))
    source = str(bench.plane.kubeconfig)
    settings = CanarySettings(MONITOR_CANARY_NAMESPACE="default", MONITOR_CANARY_SECONDS=0.3)  # type: ignore[call-arg]
    reader = Scripted(bench.script, time.time(), SPEED)
    registry, stopping, known = CollectorRegistry(), asyncio.Event(), {"namespace": namespace, "name": "shop"}
    async with open_client(source) as client, aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        store = open_store(str(bench.folder / "store"), directory="monitor")
        parts = Parts(settings, Kube(client), session, reader=reader, store=store, registry=registry, now=reader.now)
        group.create_task(parts.run(stopping))
        ended = {**known, "decision": "rollback"}
        await until(registry, "monitor_canary_decisions_total", ended, 1)
        await until(registry, "monitor_canary_status", {**known, "phase": "RolledBack"}, 1)
        assert registry.get_sample_value("monitor_canary_log_evidence", {**known, "metric": "errors"}) is not None
        stopping.set()
    assert registry.get_sample_value("monitor_canary_status", {**known, "phase": "RolledBack"}) is None
    assert registry.get_sample_value("monitor_canary_decisions_total", ended) == 1
