"""A thousand containers on one node, and an agent that stays small."""

import json
from pathlib import Path

import pytest

from demo.corpus import write_corpus
from demo.stack import Stack, wait_until

FILES = 1000
MIB = 1024 * 1024
AGENT_RSS_BYTES = 120 * MIB
"""A bound, not the target of 80 MB, which the benchmarks state: libraries differ between machines."""

HEAVY = ("numpy", "pyarrow", "deltalake")


@pytest.mark.slow
def test_a_thousand_files_at_once_arrive_complete_through_a_small_agent(tmp_path: Path) -> None:
    with Stack(tmp_path) as stack:
        write_corpus(stack.pod_logs, total_bytes=FILES * 20_000, seed=3, apps=FILES // 4, pods_per_app=4)
        files = list(stack.pod_logs.rglob("*.log"))
        expected: dict[str, int] = {}
        for path in files:
            app = path.parent.parent.name.split("_")[0]
            expected[app] = expected.get(app, 0) + path.read_bytes().count(b"\n")
        assert len(files) == FILES
        agent = stack.start("agent")
        stack.start("logger")
        wait_until(lambda: counted(stack) == expected, seconds=120, what="all lines of all apps")
        maps = Path(f"/proc/{agent.pid}/maps").read_text()
        assert [name for name in HEAVY if f"/{name}" in maps] == []
        assert agent.stop().peak_rss_bytes < AGENT_RSS_BYTES
        assert stack.processes["logger"].stop().status == 0


def counted(stack: Stack) -> dict[str, int]:
    answer = stack.get("logger", "/v1/apps")
    return {app["app"]: app["lines"] for app in json.loads(answer.body)["apps"]} if answer.status == 200 else {}
