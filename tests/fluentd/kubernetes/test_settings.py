"""Settings of the agent about Kubernetes: what makes no sense is refused at the start, by name."""

from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from fluentd.kubernetes.pods import KnownPods
from fluentd.pods.metadata import open_metadata
from fluentd.settings import AgentSettings
from pipeline.errors import SettingsError
from pipeline.settings import load


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AGENT_POD_SELECTOR", "a in b"),
        ("AGENT_NAMESPACES", "not a name"),
        ("AGENT_APP_LABELS", "a/b/c"),
        ("AGENT_LABEL_WAIT_SECONDS", "-1"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name):
        load(AgentSettings)


def metadata(tmp_path: Path, source: str, **settings: Any) -> Any:
    made = AgentSettings(kubernetes=source, state=tmp_path, **settings)
    return open_metadata(made, changed=lambda: None, registry=CollectorRegistry())


def test_nothing_is_gated_and_nothing_runs_unless_it_is_asked_for(tmp_path: Path) -> None:
    off = metadata(tmp_path, "off")
    assert (off.gate, off.tasks) == (None, {})


@pytest.mark.parametrize("source", ["in-cluster", "incluster", "no/such/file"])
def test_an_agent_that_has_no_way_to_the_server_does_not_start(tmp_path: Path, source: str) -> None:
    with pytest.raises(SettingsError, match="AGENT_KUBERNETES"):
        metadata(tmp_path, source)


def test_the_settings_reach_what_they_are_about(tmp_path: Path) -> None:
    (tmp_path / "config").touch()
    on = metadata(tmp_path, str(tmp_path / "config"), app_labels="team", pod_selector="a=b", namespaces="x")
    assert isinstance(on.gate, KnownPods)
    assert on.gate is on.pods
    assert set(on.tasks) == {"pods", "memory of pods"}
