"""What the tests of the metrics APIs share."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests are no package: this is how they share a module
sys.path.insert(0, str(Path(__file__).parents[2] / "monitor" / "hpa"))

from real_aggregation import Adapter, aggregated
from told_reader import ToldReader

from demo.controlplane import ControlPlane


@pytest.fixture(scope="module")
def adapter(api_server: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adapter]:
    """One server for a module's tests, behind the shared API server; each test says what its reader knows."""
    one = Adapter(api_server, tmp_path_factory.mktemp("adapter"), ToldReader())
    with one.running(), aggregated(api_server, port=one.port, authority=one.authority.certificate):
        yield one


@pytest.fixture
def told(adapter: Adapter) -> ToldReader:
    """What the adapter reads: complete up to now, and nothing was measured."""
    reader = ToldReader()
    reader.complete_now()
    adapter.reader.__dict__.clear()
    adapter.reader.__dict__.update(reader.__dict__)
    return adapter.reader  # type: ignore[return-value] - it is what the fixture made it
