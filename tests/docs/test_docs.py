"""The documents say what the code does."""

import dataclasses
import importlib.util
import re
import subprocess
from pathlib import Path
from types import ModuleType

from pipeline.queue.kafka.options import KafkaOptions
from pipeline.queue.sqlite.options import SqliteOptions

ROOT = Path(__file__).parents[2]


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_settings", ROOT / "docs" / "generate_settings.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_settings_page_is_what_the_settings_classes_say() -> None:
    assert (ROOT / "docs" / "settings.md").read_text() == _generator().render(), "run `make docs`"


def test_every_relative_link_of_the_documents_leads_somewhere() -> None:
    broken = [
        (page.relative_to(ROOT), target)
        for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert broken == []


def test_every_decision_is_in_the_index() -> None:
    index = (ROOT / "docs" / "decisions" / "README.md").read_text()
    pages = sorted(page.name for page in (ROOT / "docs" / "decisions").glob("0*.md"))
    assert pages
    assert [page for page in pages if page not in index] == []


def test_every_make_target_named_in_the_documents_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        name
        for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")]
        for name in re.findall(r"`make ([a-z]+)", page.read_text())
    }
    assert named
    assert named - targets == set()


def test_every_option_of_a_queues_url_is_documented() -> None:
    pages = {"operations.md": SqliteOptions, "kafka.md": KafkaOptions}
    missing = {
        (page, field.name)
        for page, options in pages.items()
        for field in dataclasses.fields(options)
        if f"`{field.name}`" not in (ROOT / "docs" / page).read_text()
    }
    assert missing == {("operations.md", "path"), ("kafka.md", "servers"), ("kafka.md", "topic")}, "the URL itself"


def test_every_metric_named_in_the_documents_exists() -> None:
    named = {
        name.removesuffix("_total")
        for page in [ROOT / "README.md", *ROOT.glob("docs/*.md")]
        if page.name != "bench.md"  # its names are those of measurements
        for name in re.findall(r"`((?:fluentd|logger|monitor|queue)_[a-z_]+)(?:\{[^`]*\})?`", page.read_text())
    } - {"queue_offset"}  # a column
    code = "".join(
        path.read_text()
        for part in ("fluentd", "logger", "monitor", "pipeline")
        for path in (ROOT / part).rglob("*.py")
    )
    assert named
    assert {name for name in named if f'"{name}"' not in code} == set()


def test_lock_files_pin_with_hashes_and_name_no_host() -> None:
    for lock in (ROOT / "requirements").glob("*.lock"):
        text = lock.read_text()
        assert "://" not in text
        pins = re.findall(r"^[a-z0-9][^ ]*==", text, re.MULTILINE | re.IGNORECASE)
        assert pins
        assert len(re.findall(r"^[a-z0-9][^\n]*\\\n    --hash=sha256:", text, re.MULTILINE | re.IGNORECASE)) == len(
            pins
        )


def test_the_agents_image_carries_no_table_libraries() -> None:
    pins = (ROOT / "requirements" / "agent.lock").read_text()
    assert not re.search(r"^(numpy|pyarrow|deltalake)==", pins, re.MULTILINE)


def test_no_module_is_over_the_bound() -> None:
    tracked = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True)
    long = {
        name: lines
        for name in tracked.stdout.split()
        if (ROOT / name).exists() and (lines := len((ROOT / name).read_text().splitlines())) > 400
    }
    assert long == {}
