"""An armed point ends the process without clean-up, at the passing it names; others cost nothing and do nothing."""

import subprocess
import sys

import pytest

from pipeline.failpoints import EXIT_STATUS

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
