"""A real S3 gateway: one for the whole run, or one of a test's own that it may harm."""

import sys
from collections.abc import Iterator
from importlib import util
from pathlib import Path
from types import ModuleType
from uuid import uuid4

import pytest

from demo.gateway import Gateway, environment, missing_tools

sys.path.insert(0, str(Path(__file__).parents[1]))  # tests are no package: this is how they share a module

import real_s3

TESTS = Path(__file__).parents[2]


def _load(name: str) -> ModuleType:
    """Another folder's module, once."""
    known = sys.modules.get(f"shared_{name.replace('/', '_')}")
    if known is not None:
        return known
    spec = util.spec_from_file_location(f"shared_{name.replace('/', '_')}", TESTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


make_trial = _load("faults/conftest").make_trial
"""A stack under writers and followers, with a verdict: the fault tests' own."""


@pytest.fixture(scope="session")
def table_kit() -> ModuleType:
    """Rows and the independent reading of a table's versions, which the table's own tests have."""
    return _load("logger/table/conftest")


@pytest.fixture(scope="session")
def table_model() -> ModuleType:
    """The model of the commit protocol."""
    return _load("logger/table/test_commit_protocol_model")


@pytest.fixture(scope="session")
def table_crowd() -> ModuleType:
    """The processes of the kill test."""
    return _load("logger/table/test_commit_protocol_kills")


@pytest.fixture(scope="session")
def gateway_tools() -> None:
    """Skip, with the reason, where no gateway can be started."""
    if missing := missing_tools():
        pytest.skip(f"real S3 gateway: {missing} on this machine")


@pytest.fixture(scope="session")
def shared_gateway(gateway_tools: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One gateway for the whole run; nobody harms it."""
    yield from _running(Gateway(tmp_path_factory.mktemp("s3")))


@pytest.fixture
def gateway(shared_gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> Gateway:
    """The shared gateway, which the client libraries find."""
    for name, value in environment(shared_gateway.port).items():
        monkeypatch.setenv(name, value)
    return shared_gateway


@pytest.fixture
def own_gateway(gateway_tools: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    """A gateway for one test, which may do to it what it likes."""
    one = Gateway(tmp_path / "own")
    for name, value in environment(one.port).items():
        monkeypatch.setenv(name, value)
    yield from _running(one)


@pytest.fixture
def meddler(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> Iterator[real_s3.Meddler]:
    """The shared gateway behind something that harms requests; it harms none until it is told to."""
    with real_s3.Meddler(gateway.port, seed=7) as one:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{one.port}")
        yield one


@pytest.fixture
def place() -> str:
    """A prefix that nobody else uses."""
    return f"t-{uuid4().hex[:12]}"


def _running(one: Gateway) -> Iterator[Gateway]:
    one.start()
    try:
        yield one
    finally:
        one.kill()
