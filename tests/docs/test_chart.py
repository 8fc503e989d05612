"""The chart fits code and documents, as far as can be told without helm; what helm makes of it: tests/real/chart."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "deis-telemetry"
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
COMPONENT_VALUES = {"nodeSelector", "affinity", "tolerations", "priorityClassName", "env", "resources"}


def objects(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """All parts of a schema that state properties, but those of conditions, which add to others."""
    if "properties" in schema:
        yield path, schema
    for kind in ("properties", "definitions"):
        for name, part in schema.get(kind, {}).items():
            yield from objects(part, f"{path}.{name}")


def leaves(values: dict[str, Any], path: str = "") -> Iterator[str]:
    """Names of all values, maps that are empty by default included."""
    for name, value in values.items():
        full = f"{path}.{name}".strip(".")
        if isinstance(value, dict) and value and name not in COMPONENT_VALUES | {"clientLabels"}:
            yield from leaves(value, full)
        else:
            yield full


def test_every_value_is_in_the_schema_and_nothing_else_may_be_set() -> None:
    loose = [
        path for path, part in objects(SCHEMA) if "allOf" not in part and part["additionalProperties"] is not False
    ]
    assert loose == []
    missing = []
    for name in leaves(VALUES):
        part = SCHEMA
        for step in name.split("."):
            part = part["properties"].get(step, {})
            reference = part.get("$ref") or next((one["$ref"] for one in part.get("allOf", [])), "")
            part = SCHEMA["definitions"][reference.rpartition("/")[2]] if reference else part
        if not part:
            missing.append(name)
    assert missing == []


def test_every_value_is_in_the_readme_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `([\w.]+)` \| (.*?) \|", (CHART / "README.md").read_text(), re.MULTILINE))
    named = {name for name in leaves(VALUES) if name.rpartition(".")[2] not in COMPONENT_VALUES}
    assert {name for name in rows if "." in name or name in VALUES} >= named
    for name in named:
        value: Any = VALUES
        for step in name.split("."):
            value = value[step]
        shown = "" if value in ("", None, {}, []) else f"`{json.dumps(value).strip(chr(34))}`"
        assert rows[name] == shown, name


def test_every_variable_in_the_templates_is_a_setting() -> None:
    text = "".join(path.read_text() for path in (CHART / "templates").iterdir())
    named = set(re.findall(r"- name: ([A-Z][A-Z_]+)$", text, re.MULTILINE))
    pages = "".join((ROOT / "docs" / page).read_text() for page in ("settings.md", "s3.md"))
    assert len(named) > 20
    assert {name for name in named if f"`{name}`" not in pages} == {"POD_NAME", "POD_NAMESPACE"}


def test_the_images_are_stages_of_the_dockerfile() -> None:
    text = "".join(path.read_text() for path in (CHART / "templates").iterdir())
    named = set(re.findall(r'"telemetry.image" \(list \. "(\w+)"\)', text))
    assert named == {"agent", "logger", "monitor"}
    stages = set(re.findall(r"^FROM \S+ AS (\w+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    assert named <= stages


def test_the_user_of_the_pods_is_that_of_the_images() -> None:
    assert "--uid 10001" in (ROOT / "Dockerfile").read_text()
    assert "runAsUser: 10001" in (CHART / "templates" / "_helpers.tpl").read_text()


def test_no_registry_is_named() -> None:
    text = "".join(path.read_text() for path in CHART.rglob("*") if path.is_file())
    assert not re.search(r"\b(docker|quay|ghcr|gcr)\.io\b|registry\.", text)


def test_every_link_of_the_readme_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", (CHART / "README.md").read_text())
    assert links
    assert [link for link in links if not (CHART / link).exists()] == []
