"""What a newcomer does: `python -m pipeline up` in an empty folder, reading in a second terminal, Ctrl-C, and again."""

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from demo.follower import Follower
from demo.stack import Stack, wait_until
from pipeline.cri import parse_header
from pipeline.names import POD_LOGS

SERVICES = ("agent", "logger", "monitor")
STOP_SECONDS = 20.0
OWN_PLACES = ("QUEUE_URL", "STORE_URL", "AGENT_POD_LOGS", "AGENT_STATE")
DEIS_LINE = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S* demo\[(web|worker)[^\]]*\]: ")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(Path(POD_LOGS).is_dir(), reason=f"{POD_LOGS} is there: the demo would not be started"),
]


class Newcomer(Stack):
    """Nothing is set but the ports, so that tests can run beside something else."""

    def environment(self) -> dict[str, str]:
        """Environment of the process."""
        return {name: value for name, value in super().environment().items() if name not in OWN_PLACES}

    def begin(self) -> None:
        """Start, and wait until everything is ready."""
        self.start("all")
        self.wait_ready(*SERVICES, seconds=60)

    def interrupt(self) -> None:
        """Press Ctrl-C, and expect an orderly end."""
        process = self.processes["all"]
        process.send(signal.SIGINT)
        assert process.wait(STOP_SECONDS).status == 0, process.last_words()

    def deis_logs(self, *arguments: str) -> str:
        """What `deis-logs` prints."""
        environment = {**os.environ, "DEIS_LOGS_URL": self.url("logger")}
        done = subprocess.run(
            [sys.executable, "-m", "deis_logs", *arguments],
            env=environment,
            cwd=self.folder,
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def lines(self, app: str) -> list[dict[str, object]]:
        """All lines of an app."""
        found: list[dict[str, object]] = []
        cursor = ""
        while True:
            page = f"&cursor={quote(cursor, safe='')}" if cursor else ""
            answer = self.get("logger", f"/v1/apps/{app}/logs?limit=10000{page}")
            assert answer.status == 200, answer
            found += [json.loads(line) for line in answer.body.splitlines()]
            cursor = answer.headers.get("next-cursor", "")
            if not cursor:
                return found


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Newcomer]:
    with Newcomer(tmp_path, settings={"LOG_FORMAT": "json"}) as stack:
        yield stack


def written(root: Path, app: str, run: int) -> Counter[tuple[str, str]]:
    """(pod, text) of each line that one run of the app's containers has written to plain files."""
    found: Counter[tuple[str, str]] = Counter()
    for path in root.glob(f"{app}_*/*/{run}.log*"):
        assert path.suffix != ".gz", "the test is short enough for no file to be compressed"
        pod = path.parent.parent.name.split("_")[1]
        text = b""
        for line in path.read_bytes().splitlines(keepends=True):
            header = parse_header(line)
            assert header is not None
            text += line[header.content_start : -1]
            if not header.partial:
                found[pod, text.decode()] += 1
                text = b""
    return found


def test_a_newcomer_sees_the_demo_follows_it_stops_it_and_goes_on(newcomer: Newcomer) -> None:
    newcomer.begin()
    for service in SERVICES:
        assert newcomer.get(service, "/healthz").status == 200
        metrics = newcomer.get(service, "/metrics")
        assert metrics.status == 200
        assert metrics.body.startswith(b"# HELP ")
    wait_until(lambda: len(newcomer.lines("demo")) > 20, seconds=30, what="lines of the demo")
    assert "./deis-logs tail -a demo" in newcomer.processes["all"].last_words()

    old = newcomer.get("logger", "/logs/demo?log_lines=10")
    assert old.status == 200
    assert len(old.body.splitlines()) == 10
    assert all(DEIS_LINE.match(line) for line in old.body.splitlines()), old.body
    assert len(newcomer.deis_logs("tail", "-a", "demo", "--no-follow", "-n", "5").splitlines()) == 5
    assert "demo" in newcomer.deis_logs("apps")

    followed: list[object] = []
    with Follower(newcomer.ports["logger"], "demo", lambda line, _: followed.append(line), lines=0):
        wait_until(lambda: len(followed) > 10, seconds=30, what="new lines at a follower")

    newcomer.interrupt()
    pods = newcomer.folder / "var" / "demo" / "pods"
    newcomer.begin()
    first_run = written(pods, "demo", 0)
    wait_until(lambda: written(pods, "demo", 1).total() > 5, seconds=30, what="lines of the second run")
    wait_until(
        lambda: len(newcomer.lines("demo")) > first_run.total(), seconds=30, what="lines of both runs in the logger"
    )
    lines = newcomer.lines("demo")
    newcomer.interrupt()

    names = Counter((line["source"], line["offset"], line["continuation"]) for line in lines)
    assert [name for name, count in names.items() if count > 1] == []
    messages = Counter((str(line["pod"]), str(line["message"])) for line in lines)
    assert first_run - messages == Counter(), "lines of the first run are missing"


def test_a_port_in_use_ends_everything_with_a_clear_error(newcomer: Newcomer) -> None:
    newcomer.begin()
    second = newcomer.folder / "second"
    second.mkdir()
    with Newcomer(second, settings={"LOG_FORMAT": "json"}) as other:
        other.ports["monitor"] = newcomer.ports["monitor"]
        ended = other.start("all").wait(60)
        assert ended.status == 1
        assert f"cannot listen on 127.0.0.1:{newcomer.ports['monitor']}" in other.last_words()
        assert "address already in use" in other.last_words()
    newcomer.interrupt()


def test_a_bad_setting_is_named(newcomer: Newcomer) -> None:
    ended = newcomer.start("all", LOGGER_FLUSH_SECONDS="soon").wait(30)
    assert ended.status == 2
    assert "LOGGER_FLUSH_SECONDS" in newcomer.last_words()
