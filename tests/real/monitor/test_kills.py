"""A monitor of one machine is killed at random moments and at exact steps; what it shows is what awk counts."""

import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from demo import prometheus
from demo.stack import Stack, get, pause, wait_until
from pipeline.failpoints import EXIT_STATUS

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.faults]

KILLS = int(os.environ.get("MONITOR_KILLS", "8"))
SEED = int(os.environ.get("FAULTS_SEED", "7"))
REPLAYING = "monitor.replaying"
POINTS = ("monitor.state.written", "monitor.committed", REPLAYING)

AWK = r"""
{
  line = $0; sub(/^[^ ]+ [^ ]+ [^ ]+ /, "", line)
  lines++; bytes += length(line)
  if (match(line, /" [0-9][0-9][0-9] /)) code[substr(line, RSTART + 2, 3)]++
}
END { print "lines", lines; print "bytes", bytes; for (c in code) print c, code[c] }
"""


class Pods:
    """Pods that write access lines and others; what each wrote is kept aside for awk."""

    def __init__(self, logs: Path, kept: Path) -> None:
        self._logs = logs
        self._kept = kept
        self._random = random.Random(SEED)
        kept.mkdir()

    def write(self, app: str, pod: int, count: int) -> None:
        """Append lines to a pod's file."""
        name = f"{app}-web-{pod:05d}-abcde"
        folder = self._logs / f"{app}_{name}_uid-{app}-{pod}" / "web"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "0.log").open("ab") as file, (self._kept / f"{app}.log").open("ab") as kept:
            for _ in range(count):
                now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + ".000000001Z"
                line = f"{now} stdout F {self._message()}\n".encode()
                file.write(line)
                kept.write(line)

    def delete(self, app: str, pod: int) -> None:
        """The pod is gone, and its files with it."""
        shutil.rmtree(self._logs / f"{app}_{app}-web-{pod:05d}-abcde_uid-{app}-{pod}")

    def counted(self, app: str) -> dict[str, int]:
        """What awk says."""
        told = subprocess.run(
            ["awk", AWK, str(self._kept / f"{app}.log")], capture_output=True, text=True, check=True
        ).stdout
        return {name: int(value) for name, value in (line.split() for line in told.splitlines())}

    def _message(self) -> str:
        if self._random.random() < 0.3:
            return "plain words " + "x" * self._random.randrange(80)
        code = self._random.choice((200, 200, 200, 204, 404, 500))
        size = self._random.randrange(5000)
        return f'10.0.0.9 - - [24/Nov/2026:20:00:00 +0000] "GET /a HTTP/1.1" {code} {size} "-" "curl/8.0"'


def shown(port: int, app: str) -> dict[str, int]:
    """What the monitor says in the same words."""
    text = get(port, "/metrics").body.decode()
    found: dict[str, int] = {}
    for line in text.splitlines():
        if f'app="{app}"' not in line:
            continue
        name, _, rest = line.partition("{")
        value = int(float(rest.rpartition("} ")[2].split(" ")[0]))
        if name in ("app_lines_total", "app_line_bytes_total"):
            key = "lines" if name == "app_lines_total" else "bytes"
        elif name == "app_requests_total":
            key = rest.partition('code="')[2].partition('"')[0]
        else:
            continue
        found[key] = found.get(key, 0) + value
    return found


def _has_ended(stack: Stack, pods: Pods, pod: int, point: str) -> bool:
    """Whether the monitor has ended at the point. It may be passed only when there is something to count.

    One that is up had nothing to replay when it started, and will not replay any more: another one is started.
    """
    pods.write("shop", pod, 1)
    monitor = stack.processes["monitor"]
    if monitor.poll() is not None:
        return True
    if point == REPLAYING and stack.is_ready("monitor"):
        monitor.kill()
        pods.write("shop", pod, 10)
        stack.start("monitor", FAILPOINT=f"{point}:1")
    return False


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with Stack(tmp_path / "stack", settings={"MONITOR_STATE_SECONDS": "0.2", "LOG_LEVEL": "warning"}) as one:
        yield one


def test_counts_are_awks_whatever_the_monitor_was_doing_when_it_was_killed(
    stack: Stack, tmp_path: Path, scraping: Callable[..., Any], watching: Callable[..., Any]
) -> None:
    pods, chance = Pods(stack.pod_logs, tmp_path / "kept"), random.Random(SEED)
    stack.start("agent")
    stack.start("monitor")
    stack.wait_ready("agent", "monitor", seconds=60)
    port = stack.ports["monitor"]
    apps = ("shop", "blog")
    for app in apps:
        pods.write(app, 0, 10)
    wait_until(lambda: all(shown(port, app).get("lines") == 10 for app in apps), seconds=60, what="10 lines")
    seen, eye = scraping(port), watching(port)
    wait_until(lambda: len(seen.series("app_lines_total")) == 2, seconds=60, what="a first scrape")
    for kill in range(KILLS):
        point = (*POINTS, "")[kill % 4]
        stack.processes["monitor"].kill()
        pods.write("shop", kill, 100)
        passes = 1 if point == REPLAYING else chance.randrange(1, 4)
        monitor = stack.start("monitor", FAILPOINT=f"{point}:{passes}" if point else "")
        for _ in range(4):
            pods.write("shop", kill, 100)
            pods.write("blog", 0, 30)
            pause(chance.uniform(0.1, 0.4))
        if point:
            wait_until(lambda: _has_ended(stack, pods, kill, point), seconds=60, what=f"an end at {point}")  # noqa: B023
            assert stack.processes["monitor"].wait().status == EXIT_STATUS
        else:
            monitor.kill()
        stack.start("monitor")
        stack.wait_ready("monitor", seconds=60)
        truth = pods.counted("shop")
        wait_until(lambda: shown(port, "shop") == truth, seconds=60, what=f"counts of {truth}")  # noqa: B023
        pods.delete("shop", kill)
    truth = {app: pods.counted(app) for app in apps}
    wait_until(lambda: {app: shown(port, app) for app in truth} == truth, seconds=60, what=f"{truth}")
    pause(1.5)  # two scrapes more
    eye.stop()
    assert eye.lowered() == []
    every = seen.series('{shard=~".+",__name__=~"app_.*_total|app_.*_bucket"}')
    assert [series.labels for series in every if series.resets] == []
    for app in truth:
        grown = sum(one.values[-1] - one.values[0] for one in seen.series(f'app_lines_total{{app="{app}"}}'))
        increase = float(seen.query(f'sum(increase(app_lines_total{{app="{app}"}}[1h]))')[0]["value"][1])
        assert grown == truth[app]["lines"] - 10
        assert increase == pytest.approx(grown, rel=0.1), "it reaches over the ends of what was scraped"
    assert not prometheus.lint(get(port, "/metrics").body)
