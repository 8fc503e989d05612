"""What is known of pods outlives the agent, whatever becomes of the file."""

import asyncio
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from fluentd.files.discovery import Place
from fluentd.kubernetes.facts import Pod, PodMeta
from fluentd.kubernetes.kept import PodMemory
from fluentd.kubernetes.naming import Naming
from fluentd.kubernetes.pods import KnownPods
from fluentd.lanes.statements import Statements
from fluentd.pods.gate import Standing
from fluentd.pods.names import NameRules
from fluentd.pods.selection import LabelSelector, Selection

PLACE = Place("/pods/shop_web-1_uid-1/web", "shop", "web-1", "uid-1", "web")
ANNOTATIONS = {
    "logs.deis.io/rate-limit": "5 lines/s",
    "logs.deis.io/redact": "default\n/a,b/",
    "logs.deis.io/spread": "4",
    "fluentbit.io/exclude_stderr": "true",
}
POD = Pod(PodMeta("web-1", "shop", "uid-1", labels={"heritage": "deis", "version": "v7"}, annotations=ANNOTATIONS))

VERSION_1 = bytes.fromhex(
    "01919293a473686f70a57765622d31a57569642d3186a56e616d657393a473686f70a3776562a27637a873656c656374"
    "6564c3a572756c657386a76578636c756465c2b26578636c7564655f636f6e7461696e65727390af6578636c7564655f"
    "73747265616d739192a0a6737464657272aa726174655f6c696d697493a56c696e65730505a672656461637492a76465"
    "6661756c74a52f612c622fa673707265616404a870726f626c656d7300a6626c616d6564c2a7676f6e655f6174cb0000"
    "000000000000"
)


def pods() -> KnownPods:
    return KnownPods(
        naming=Naming("n"),
        selection=Selection(LabelSelector("heritage=deis")),
        fallback=NameRules("n"),
        wait_seconds=60.0,
        statements=Statements(registry=CollectorRegistry()),
        changed=lambda: None,
        registry=CollectorRegistry(),
    )


async def run_and_stop(memory: PodMemory) -> None:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(memory.run())
        await asyncio.sleep(0)
        task.cancel()


def file_of(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


async def test_the_next_agent_knows_what_this_one_knew(tmp_path: Path) -> None:
    known = pods()
    memory = PodMemory(tmp_path, known)
    known.apply(POD, deleted=False)
    await run_and_stop(memory)
    after = pods()
    PodMemory(tmp_path, after)
    assert after.snapshot() == known.snapshot()
    assert after.standing(PLACE) is Standing.READ
    after.replace([])
    assert after.standing(PLACE) is Standing.READ, "it may have files still"


async def test_nothing_is_written_when_nothing_changed(tmp_path: Path) -> None:
    known = pods()
    known.apply(POD, deleted=False)
    await run_and_stop(PodMemory(tmp_path, known))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"\x02\x90", b"\x01\x91\x92", b"\x01\xa1x", b"\x01" + b"\x91" * 100_000])
async def test_a_file_that_makes_no_sense_is_passed_over_and_written_again(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "pods").write_bytes(content)
    known = pods()
    memory = PodMemory(tmp_path, known)
    assert known.snapshot() == {}
    known.apply(POD, deleted=False)
    await run_and_stop(memory)
    after = pods()
    PodMemory(tmp_path, after)
    assert after.snapshot() == known.snapshot()


async def test_a_disk_that_takes_nothing_is_no_reason_to_end(tmp_path: Path) -> None:
    known = pods()
    memory = PodMemory(tmp_path / "not there", known)
    known.apply(POD, deleted=False)
    await run_and_stop(memory)


def test_version_1_stays_readable(tmp_path: Path) -> None:
    (tmp_path / "pods").write_bytes(VERSION_1)
    known, fresh = pods(), pods()
    PodMemory(tmp_path, known)
    fresh.apply(POD, deleted=False)
    assert known.snapshot() == fresh.snapshot()
