"""What a newcomer sees of canaries: `python -m pipeline up` in an empty folder, `deis-telemetry canary` beside it.

The verdicts take the demo eight minutes of real time, so they are waited for only with `DEMO_VERDICTS=1`;
`tests/demo/test_canaries.py` has them in minutes of a clock that is told.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.apps import BAD, CHECKOUT, GOOD
from demo.stack import Stack, wait_until
from pipeline.names import POD_LOGS

OWN_PLACES = ("QUEUE_URL", "STORE_URL", "AGENT_POD_LOGS", "AGENT_STATE", "MONITOR_CANARIES", "MONITOR_CANARY")
SECONDS = 60.0
MOST_MINUTES = 10
VERDICTS = bool(os.environ.get("DEMO_VERDICTS"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(Path(POD_LOGS).is_dir(), reason=f"{POD_LOGS} is there: the demo would not be started"),
]


class Newcomer(Stack):
    """Nothing is set but the ports, so that tests can run beside something else."""

    def environment(self) -> dict[str, str]:
        """Environment of the process."""
        return {name: value for name, value in super().environment().items() if name not in OWN_PLACES}

    def telemetry(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """What `deis-telemetry` says."""
        return subprocess.run(
            [sys.executable, "-m", "deis_telemetry", *arguments],
            env={**os.environ, "DEIS_TELEMETRY_URL": self.url("monitor")},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=MOST_MINUTES * 60,
            check=False,
        )


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Newcomer]:
    with Newcomer(tmp_path, settings={"LOG_FORMAT": "json"}) as stack:
        stack.start("all")
        stack.wait_ready("monitor", seconds=SECONDS)
        yield stack


def test_two_releases_of_the_demo_are_on_trial_and_their_pods_are_measured(newcomer: Newcomer) -> None:
    begun = time.monotonic()

    def judged() -> bool:
        said = newcomer.telemetry("canary", "list").stdout
        return said.count("Progressing") == 2 and f"{BAD} beside" in said and f"{GOOD} beside" in said

    wait_until(judged, seconds=SECONDS, what=f"two canaries\n{newcomer.last_words()}", every_seconds=1.0)
    by = ("metrics", CHECKOUT, "--metric", "app_requests", "--by", "release")
    wait_until(
        lambda: all(f"release={release}" in newcomer.telemetry(*by).stdout for release in (GOOD, BAD)),
        seconds=SECONDS,
        what=f"requests of both\n{newcomer.last_words()}",
        every_seconds=1.0,
    )
    assert CHECKOUT in newcomer.telemetry("graph").stdout
    assert newcomer.metric("monitor", "monitor_canary_status") == 2
    if VERDICTS:
        see_verdicts(newcomer, begun=begun)
    newcomer.processes["all"].stop()


def see_verdicts(newcomer: Newcomer, *, begun: float) -> None:
    """The bad release is found, and the good one passes, within ten minutes."""
    bad = newcomer.telemetry("canary", "watch", f"{CHECKOUT}/{CHECKOUT}-{BAD}")
    bad_minutes = (time.monotonic() - begun) / 60
    good = newcomer.telemetry("canary", "watch", f"{CHECKOUT}/{CHECKOUT}-{GOOD}")
    minutes = (time.monotonic() - begun) / 60
    assert (bad.returncode, good.returncode) == (3, 0), (bad, good)
    assert minutes < MOST_MINUTES
    sys.stdout.write(f"{BAD} was found after {bad_minutes:.1f} minutes, {GOOD} passed after {minutes:.1f}\n")
    shown = newcomer.telemetry("canary", "show", f"{CHECKOUT}/{CHECKOUT}-{BAD}", "--picture", "bad.svg")
    assert "WouldRollBack" in shown.stdout
    assert (newcomer.folder / "bad.svg").read_text().startswith("<svg")
    counts = newcomer.telemetry("canary", "counts", f"{CHECKOUT}/{CHECKOUT}-{GOOD}").stdout
    (newcomer.folder / "good.json").write_text(counts)
    assert newcomer.telemetry("canary", "simulate", "good.json").returncode == 0
