"""mtail, the program that ours is compared with: Debian's, unpacked below `build`, run over one file to its end.

It counts what the rule of the Deis router counts, by the same labels, with the same buckets; of several tries the last
one, since its language knows no loops. It is one process, and its CPU time is what the kernel says of it.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from demo.fetched import fetch_debian

_FOLDER: Final = Path(__file__).parents[1] / "build" / "mtail"
_SECONDS: Final = 120

_BUCKETS: Final = "0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30"
PROGRAM: Final = (
    rf"""
counter app_lines
counter app_line_bytes
counter app_requests by app, method, code
histogram app_request_duration_seconds by app buckets {_BUCKETS}
counter app_response_bytes by app
counter app_tries by app, code
histogram app_try_duration_seconds by app buckets {_BUCKETS}
"""
    r"""
/^(?P<line>\[[^ ]+\] - (?P<app>[^ ]+) - [^ ]+ - [^"]* - (?P<code>\d\d\d) - "(?P<method>[A-Z]+) [^"]*" - """
    r"""(?P<size>\d+) - "[^"]*" - "[^"]*" - "[^"]*" - [^"]+ - [^ ]+ - """
    r"""(?:\d+\.\d+, )*(?P<tried>\d+\.\d+) - (?P<took>\d+\.\d+))$/ {
  app_lines++
  app_line_bytes += len($line)
  app_requests[$app][$method][$code]++
  app_request_duration_seconds[$app] = $took
  app_response_bytes[$app] += $size
  app_tries[$app][$code]++
  app_try_duration_seconds[$app] = $tried
}
"""
)


def missing_tools() -> str:
    """Why it cannot be run on this machine; empty if it can."""
    if _binary().exists():
        return ""
    return ", ".join(f"no {tool}" for tool in ("apt-get", "dpkg") if shutil.which(tool) is None)


def _binary() -> Path:
    return _FOLDER / "usr" / "bin" / "mtail"


def unpack() -> Path:
    """The program, fetched once."""
    fetch_debian("mtail", _FOLDER, seconds=_SECONDS)
    return _binary()


def run(log: Path, folder: Path) -> tuple[float, int]:
    """Count the lines of a file.

    Args:
        log: Lines as the router writes them.
        folder: For the program of rules, and for what mtail says.

    Returns:
        CPU-seconds of the process, and requests that it counted.
    """
    program = folder / "router.mtail"
    program.write_text(PROGRAM)
    command = [str(unpack()), "--one_shot", f"--progs={program}", f"--logs={log}", f"--log_dir={folder}"]
    with (folder / "mtail.json").open("wb") as out, (folder / "mtail.log").open("wb") as said:
        process = subprocess.Popen(command, stdout=out, stderr=said)
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError((folder / "mtail.log").read_text()[-2000:])
    return used.ru_utime + used.ru_stime, _requests((folder / "mtail.json").read_text())


def _requests(said: str) -> int:
    requests = json.loads(said)["app_requests"]
    return sum(one["Value"]["Value"] for metric in requests for one in metric.get("LabelValues", ()))
