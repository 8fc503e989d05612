"""A real Prometheus, as the distribution has it, that scrapes monitors as the compose file's one does.

::

    apt-get download --> dpkg -x --> build/prometheus/usr/bin/{prometheus,promtool} --> a process
"""

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import yaml

from demo.fetched import fetch_debian
from demo.server import Server
from demo.stack import StackError, free_port, get, wait_until

_ROOT: Final = Path(__file__).parents[1]
_PACKAGE: Final = "prometheus"
_FOLDER: Final = _ROOT / "build" / "prometheus"
_CONFIGURATION: Final = _ROOT / "deploy" / "prometheus.yml"
_FETCH_SECONDS: Final = 300
_START_SECONDS: Final = 60


def missing_tools() -> str:
    """Why there can be no Prometheus on this machine; empty if there can."""
    if _FOLDER.exists():
        return ""
    missing = [tool for tool in ("apt-get", "dpkg") if shutil.which(tool) is None]
    return f"no {', no '.join(missing)}" if missing else ""


def program(name: str) -> Path:
    """`prometheus` or `promtool`, fetched once."""
    fetch_debian(_PACKAGE, _FOLDER, seconds=_FETCH_SECONDS)
    return _FOLDER / "usr" / "bin" / name


def lint(text: bytes) -> str:
    """What `promtool check metrics` finds wrong with an exposition in the text form; empty when nothing is."""
    done = subprocess.run(  # noqa: S603 - fetched above
        [str(program("promtool")), "check", "metrics"], input=text, capture_output=True, check=False
    )
    return (done.stdout + done.stderr).decode()


@dataclass(frozen=True, slots=True)
class Series:
    """One series as Prometheus has it.

    Attributes:
        labels: Its labels, the name as `__name__`.
        values: Its values in the order of their times.
    """

    labels: Mapping[str, str]
    values: tuple[float, ...]

    @property
    def resets(self) -> int:
        """How often it went down."""
        return sum(after < before for before, after in zip(self.values, self.values[1:], strict=False))


class Prometheus(Server):
    """One Prometheus that scrapes monitors on ports of this machine.

    Args:
        folder: Its own.
        ports: Of the monitors.
        scrape_seconds: How often.
    """

    def __init__(self, folder: Path, ports: Sequence[int], *, scrape_seconds: float = 1.0) -> None:
        super().__init__("prometheus", port=free_port(), output=folder / "prometheus.log")
        self._folder = folder
        self._ports = ports
        self._scrape_seconds = scrape_seconds
        folder.mkdir(parents=True, exist_ok=True)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        path = self._folder / "prometheus.yml"
        path.write_text(yaml.safe_dump(self._configuration()))
        self.run(
            [
                str(program("prometheus")),
                f"--config.file={path}",
                f"--storage.tsdb.path={self._folder / 'data'}",
                f"--web.listen-address={self.address}",
                "--enable-feature=exemplar-storage",
            ]
        )
        wait_until(
            lambda: self.listens() and get(self.port, "/-/ready").status == HTTPStatus.OK,
            seconds=_START_SECONDS,
            what="prometheus ready",
        )

    def _configuration(self) -> dict[str, Any]:
        """The compose file's job for monitors, with other targets and another interval."""
        jobs = yaml.safe_load(_CONFIGURATION.read_text())["scrape_configs"]
        job = next(job for job in jobs if job["job_name"] == "monitor")
        job["static_configs"] = [{"targets": [f"127.0.0.1:{port}" for port in self._ports]}]
        interval = f"{round(self._scrape_seconds * 1000)}ms"
        return {"global": {"scrape_interval": interval, "scrape_timeout": interval}, "scrape_configs": [job]}

    def query(self, expression: str) -> list[dict[str, Any]]:
        """What an expression gives now, as the HTTP API tells it.

        Raises:
            StackError: It does not answer.
        """
        answer = get(self.port, f"/api/v1/query?{urlencode({'query': expression})}")
        if answer.status != HTTPStatus.OK:
            raise StackError(f"prometheus: {answer.status} {answer.body!r}")
        found: list[dict[str, Any]] = json.loads(answer.body)["data"]["result"]
        return found

    def series(self, selector: str) -> list[Series]:
        """All samples of the last hour of some series."""
        found = self.query(f"{selector}[1h]")
        return [Series(one["metric"], tuple(float(value) for _, value in one["values"])) for one in found]
