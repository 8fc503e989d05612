"""What the chart's tests share: helm, templates as objects, and namespaces."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from demo import controlplane
from demo.controlplane import ControlPlane

CHART = Path(__file__).parents[3] / "charts" / "deis-telemetry"

Object = dict[str, Any]
Render = Callable[..., list[Object]]


@pytest.fixture
def helm(controlplane_tools: None, tmp_path: Path) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Runs helm without a cluster."""

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [str(controlplane.build() / "helm"), *arguments]
        environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)

    return run


@pytest.fixture
def render(helm: Callable[..., "subprocess.CompletedProcess[str]"]) -> Render:
    """All objects that `helm template` makes of one of the chart's value files and some settings."""

    def objects(values: str, *settings: str, namespace: str = "deis") -> list[Object]:
        more = [part for setting in settings for part in ("--set", setting)]
        done = helm("template", "deis", str(CHART), "-n", namespace, "-f", str(CHART / "ci" / f"{values}.yaml"), *more)
        assert done.returncode == 0, done.stderr
        return [found for found in yaml.safe_load_all(done.stdout) if found]

    return objects


@pytest.fixture
def namespace(control_plane: ControlPlane) -> Iterator[str]:
    """A namespace of the shared cluster; gone at the end with all that is in it."""
    name = f"chart-{uuid4().hex[:8]}"
    control_plane.kubectl("create", "namespace", name)
    yield name
    control_plane.kubectl("delete", "namespace", name, "--timeout=90s")
