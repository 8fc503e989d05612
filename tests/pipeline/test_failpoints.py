"""An armed point ends the process without clean-up, at the passing it names; others cost nothing and do nothing."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import SettingsError
from pipeline.failpoints import EXIT_STATUS, POINTS
from pipeline.settings import CommonSettings

ROOT = Path(__file__).parents[2]

SCRIPT = """
import sys
from pipeline.failpoints import arm, failpoint
arm(sys.argv[1])
try:
    for number in range(3):
        print(number, flush=True)
        failpoint("here")
finally:
    print("cleaned up", flush=True)
"""


@pytest.mark.parametrize(
    ("spec", "status", "printed"),
    [
        ("", 0, ["0", "1", "2", "cleaned up"]),
        ("elsewhere", 0, ["0", "1", "2", "cleaned up"]),
        ("here", EXIT_STATUS, ["0"]),
        ("here:1", EXIT_STATUS, ["0"]),
        ("here:3", EXIT_STATUS, ["0", "1", "2"]),
        ("here:4", 0, ["0", "1", "2", "cleaned up"]),
    ],
)
def test_a_point_ends_the_process_when_it_is_due(spec: str, status: int, printed: list[str]) -> None:
    result = subprocess.run([sys.executable, "-c", SCRIPT, spec], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout.split("\n")[:-1]) == (status, printed)


def test_all_points_of_the_code_are_known_and_no_others() -> None:
    code = "".join(
        path.read_text()
        for part in ("fluentd", "logger", "monitor", "pipeline")
        for path in (ROOT / part).rglob("*.py")
    )
    assert set(re.findall(r'failpoint\("([^"]+)"\)', code)) == POINTS


@pytest.mark.parametrize("spec", ["nonsense", "agent.red:3", "agent.read:", "agent.read:0", "agent.read:x", ":3", ":"])
def test_a_point_that_is_none_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch, spec: str) -> None:
    monkeypatch.setenv("FAILPOINT", spec)
    with pytest.raises(SettingsError, match=re.escape(f"FAILPOINT={spec!r}: ")):
        CommonSettings.load()


@pytest.mark.parametrize("spec", ["", "agent.read", "upkeep.committed:12"])
def test_a_point_that_is_one_is_taken(monkeypatch: pytest.MonkeyPatch, spec: str) -> None:
    monkeypatch.setenv("FAILPOINT", spec)
    assert CommonSettings.load().failpoint == spec
