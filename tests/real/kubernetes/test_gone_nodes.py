"""Which silent nodes are gone, as a real API server says."""

import asyncio
from pathlib import Path
from uuid import uuid4

import pytest
from prometheus_client import CollectorRegistry
from real_kubernetes import Pods
from real_proxy import proxied

from demo.controlplane import ControlPlane, token
from monitor.pods.nodes import HOLDS_SECONDS, GoneNodes
from pipeline.apiserver import open_client

pytestmark = [pytest.mark.slow, pytest.mark.real]


async def test_a_node_is_gone_when_the_server_says_so_and_not_for_its_silence(
    api_server: ControlPlane, tmp_path: Path
) -> None:
    pods = Pods(api_server, tmp_path)
    known, empty = pods.node, f"node-{uuid4().hex[:8]}"
    call = pods.call
    await asyncio.to_thread(call, "POST", "/api/v1/nodes", {"metadata": {"name": known}})
    pod = await asyncio.to_thread(pods.deis, await asyncio.to_thread(pods.namespace), "web-1")
    suspects, now = {known, empty, "Not a node's name/.."}, 1000.0
    async with proxied(api_server) as proxy:
        config = str(api_server.kubeconfig_of(f"nodes-{known}", secret=token("admin"), url=proxy.url))
        registry = CollectorRegistry()
        nodes = GoneNodes(
            open_client=lambda: open_client(config), suspects=lambda: suspects, registry=registry, clock=lambda: now
        )
        assert nodes.gone() == frozenset()
        await nodes.ask()
        assert nodes.gone() == {empty}, "the other one is there"
        await asyncio.to_thread(call, "DELETE", f"/api/v1/nodes/{known}")
        await nodes.ask()
        assert nodes.gone() == {empty}, "a pod is on it still"
        await asyncio.to_thread(pods.delete, pod)
        await nodes.ask()
        assert nodes.gone() == {empty, known}
        assert registry.get_sample_value("monitor_nodes_gone") == 2
        proxy.refusing = 503
        now += HOLDS_SECONDS
        await nodes.ask()
        assert nodes.gone() == {empty, known}, "what was said holds for a while"
        now += 1
        assert nodes.gone() == frozenset(), "the server is away: nobody is gone"
        assert registry.get_sample_value("monitor_kubernetes_errors_total", {"reason": "503"}) == 1
        proxy.refusing = 0
        await nodes.ask()
        suspects.discard(known)
        assert nodes.gone() == {empty}, "it was heard of again"
        suspects.clear()
        asked = len(proxy.asked)
        await nodes.ask()
        assert len(proxy.asked) == asked, "nobody is suspected, and nothing is asked"
