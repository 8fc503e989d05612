"""The stand-in for kubelets: what the API server fails at once is tried again."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from demo.kubelet import Kubelets

POD = {
    "metadata": {"namespace": "shop", "name": "web-1", "uid": "1"},
    "spec": {"nodeName": "node-1", "containers": [{"name": "web", "image": "none"}]},
    "status": {"phase": "Pending"},
}


class Failing:
    """An API server that fails the first status of a pod, and tells of each pod once a watch."""

    def __init__(self, status: int) -> None:
        self.answers = [status, 200]
        self.done = asyncio.Event()

    async def call(self, _: str, path: str, __: Any = None, **___: str) -> int:
        """See `demo.kubelet.Api`."""
        if "/pods/" not in path:
            return 200
        status = self.answers.pop(0)
        if not self.answers:
            self.done.set()
        return status

    async def watch(self, _: str) -> AsyncIterator[Any]:
        """See `demo.kubelet.Api`."""
        yield {"type": "ADDED", "object": POD}
        await self.done.wait()
        await asyncio.Event().wait()


@pytest.mark.parametrize("status", [409, 429, 500, 504])
async def test_a_pod_whose_status_could_not_be_written_runs_after_another_try(status: int) -> None:
    api = Failing(status)
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        running = group.create_task(Kubelets(api, ["node-1"]).run())  # type: ignore[arg-type]
        await api.done.wait()
        running.cancel()
    assert not api.answers
