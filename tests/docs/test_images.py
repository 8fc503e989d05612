"""The Dockerfile and the compose file fit the code, as far as can be told without an engine."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SETTINGS = (ROOT / "docs" / "settings.md").read_text()
STAGES = dict(re.findall(r"^FROM \S+ AS (\w+)\n(.*?)(?=^FROM |\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL))


def _services() -> dict[str, dict[str, object]]:
    services: dict[str, dict[str, object]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    return services


def test_every_service_is_built_from_a_stage_that_exists() -> None:
    for service in _services().values():
        if "build" in service:
            assert service["build"]["target"] in STAGES


def test_every_setting_in_images_and_compose_is_documented() -> None:
    named = set(re.findall(r"\b((?:AGENT|LOGGER|MONITOR|QUEUE|STORE)_[A-Z_]+)\b", DOCKERFILE))
    for service in _services().values():
        named |= {
            name for name in service.get("environment", {}) if re.match("(AGENT|LOGGER|MONITOR|QUEUE|STORE)_", name)
        }
    assert named
    assert {name for name in named if f"`{name}`" not in SETTINGS} == set()


def test_every_folder_that_a_stage_copies_exists() -> None:
    for stage in STAGES.values():
        for source in re.findall(r"^COPY (\S+) ", stage, re.MULTILINE):
            assert (ROOT / source).is_dir()


def test_a_stage_copies_what_its_service_imports() -> None:
    packages = {"agent": "fluentd", "logger": "logger", "monitor": "monitor", "demo": "demo"}
    for stage, package in packages.items():
        copied = {source.strip("/") for source in re.findall(r"^COPY (\S+) ", STAGES[stage], re.MULTILINE)}
        assert copied == {package, "pipeline"}
        roots = {
            name
            for module in (ROOT / package).rglob("*.py")
            for name in re.findall(
                r"^\s*(?:from|import) (pipeline|fluentd|logger|monitor|demo|deis_logs)\b",
                module.read_text(),
                re.MULTILINE,
            )
        }
        assert roots <= {package, "pipeline"}


def test_each_lock_has_what_its_extra_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for extra in ("agent", "logger", "monitor", "cli"):
        lock = (ROOT / "requirements" / f"{extra}.lock").read_text().lower()
        asked = [*project["dependencies"], *project["optional-dependencies"][extra]]
        missing = [name for name in asked if f"\n{re.split('[<>=]', name)[0].lower()}==" not in f"\n{lock}"]
        assert missing == []


def test_every_metric_of_the_dashboard_is_one_that_a_service_has() -> None:
    dashboard = (ROOT / "deploy" / "grafana" / "dashboard.json").read_text()
    named = {
        re.sub(r"_(total|sum|count|bucket)$", "", name)
        for name in re.findall(r"\b((?:fluentd|logger|monitor|queue)_[a-z_]+)\b", dashboard)
    }
    code = "".join(
        module.read_text()
        for package in ("fluentd", "logger", "monitor", "pipeline")
        for module in (ROOT / package).rglob("*.py")
    )
    assert named
    assert {name for name in named if f'"{name}"' not in code and f'"{name}_total"' not in code} == set()


def test_every_target_of_prometheus_is_a_service() -> None:
    config = yaml.safe_load((ROOT / "deploy" / "prometheus.yml").read_text())
    targets = [
        target for job in config["scrape_configs"] for part in job["static_configs"] for target in part["targets"]
    ]
    assert targets
    assert {target.partition(":")[0] for target in targets} <= set(_services())
