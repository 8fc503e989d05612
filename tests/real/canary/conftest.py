"""What the tests of canaries on a real control plane share."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests are no package: this is how they share a module
sys.path.insert(0, str(Path(__file__).parents[2] / "fakes"))

from deis_controller import TOKEN, DeisController
from real_canary import CRD, Bench
from real_kubernetes import Pods

from demo.controlplane import ControlPlane


@pytest.fixture(scope="module")
def crd(control_plane: ControlPlane) -> ControlPlane:
    """The resource's definition, applied."""
    control_plane.kubectl("apply", "-f", str(CRD))
    control_plane.kubectl("wait", "--for=condition=Established", "crd/canaries.canary.deis.io", "--timeout=60s")
    return control_plane


@pytest.fixture
def bench(crd: ControlPlane, tmp_path: Path) -> Iterator[Bench]:
    """See `Bench`."""
    one = Bench(crd, tmp_path, Pods(crd, tmp_path / "logs"))
    one.says()
    yield one
    for process in one.processes:
        process.kill()
    crd.kubectl("delete", "canaries", "--all", "--all-namespaces", "--wait=false")
    crd.kubectl("delete", "lease", "deis-telemetry-canary", "-n", "default", "--ignore-not-found")


@pytest.fixture
def deis(bench: Bench) -> Iterator[DeisController]:
    """A Deis controller whose apps run on the control plane."""
    with ExitStack() as stack:
        controller = DeisController(bench.api.call)
        stack.enter_context(controller.serving())
        bench.environment |= {"MONITOR_DEIS_URL": controller.url, "MONITOR_DEIS_TOKEN": TOKEN}
        yield controller
