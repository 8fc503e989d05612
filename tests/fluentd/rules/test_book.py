"""Rules come from a file and from annotations; what makes no sense in them is refused, named and counted."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from fluentd.files.discovery import Place
from fluentd.pods.podrules import NO_RULES, PodRules, RateLimit, Stream, Unit
from fluentd.rules import book as book_module
from fluentd.rules.book import RuleBook
from fluentd.rules.compiled import RunRules
from fluentd.rules.judge import Input
from fluentd.rules.rulesfile import read_rules
from pipeline.chunk import Origin
from pipeline.errors import SettingsError

PLACE = Place("/p", "shop", "shop-web-1", "uid", "web")
LINE = b"2026-11-24T12:00:00Z stdout F "


def origin(app: str = "shop", process: str = "web") -> Origin:
    return Origin("n", app, f"{app}-web-1", "uid", "web", 0, app, process)


def apply(rules: RunRules | None, *contents: bytes) -> list[bytes]:
    """What is sent of lines that nothing follows."""
    data = b"".join(LINE + content + b"\n" for content in contents)
    judged = rules.apply(Input(data, len(data), final=True), None) if rules is not None else None
    return [line.removeprefix(LINE) for line in (data if judged is None else judged.data).splitlines()]


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Any]:
    path = tmp_path / "rules.json"

    def write(said: object, *, pod: PodRules = NO_RULES) -> tuple[RuleBook, Path, CollectorRegistry]:
        path.write_text(json.dumps(said))
        registry = CollectorRegistry()
        return RuleBook(path, pod_rules=lambda _place: pod, registry=registry), path, registry

    return write


def test_a_run_that_no_rule_concerns_has_none(make: Callable[..., Any]) -> None:
    book, *_ = make(
        {"drop": [{"message": "x", "apps": ["other", "sho"]}], "redact": [{"packs": ["jwt"], "containers": ["db"]}]}
    )
    assert book.of(PLACE, origin()) is None


def test_the_first_rule_that_concerns_a_line_decides(make: Callable[..., Any]) -> None:
    book, *_ = make(
        {
            "drop": [{"message": "^GET /healthz", "stream": "stdout", "apps": ["sh*"], "processes": ["web"]}],
            "sample": [{"message": "cache", "keep": 0.0}, {"message": "all", "keep": 1.0}],
        }
    )
    rules = book.of(PLACE, origin())
    assert apply(rules, b"GET /healthz", b"a GET /healthz", b"cache hit", b"all", b"") == [
        b"a GET /healthz",
        b"all",
        b"",
    ]
    assert apply(book.of(PLACE, origin(process="worker")), b"GET /healthz") == [b"GET /healthz"]


def test_the_first_rate_holds_and_an_annotation_takes_its_place_unless_it_is_fixed(make: Callable[..., Any]) -> None:
    said = PodRules(rate_limit=RateLimit(Unit.LINES, 3, 3))
    rates = [{"rate": "1 lines/s", "apps": ["fixed"], "fixed": True}, {"rate": "2 lines/s"}]
    told = b"%d lines dropped since 2026-11-24T12:00:00Z (rate limit)"
    for pod, app, passes in ((NO_RULES, "shop", 2), (said, "shop", 3), (said, "fixed", 1)):
        book, *_ = make({"rate_limits": rates}, pod=pod)
        assert apply(book.of(PLACE, origin(app)), *[b"x"] * 9) == [b"x"] * passes + [told % (9 - passes)]


def test_annotations_hide_secrets_and_drop_streams(make: Callable[..., Any]) -> None:
    pod = PodRules(redact=("jwt", "/E[0-9]{3}/", "/(/", "nonsense"), exclude_streams=frozenset({Stream("", "stdout")}))
    book, _, registry = make({}, pod=pod)
    data = LINE + b"out\n" + LINE.replace(b"stdout", b"stderr") + b"E123\n"
    for _ in range(2):
        rules = book.of(PLACE, origin())
        assert rules is not None
    judged = rules.apply(Input(data, len(data)), None)
    assert judged is not None
    book.count(judged)
    assert judged.data == LINE.replace(b"stdout", b"stderr") + b"[redacted:custom]\n"
    assert registry.get_sample_value("fluentd_rules_errors_total") == 2
    assert registry.get_sample_value("fluentd_redactions_total", {"kind": "custom"}) == 1
    assert registry.get_sample_value("fluentd_dropped_lines_total", {"reason": "excluded_stream"}) == 1
    assert registry.get_sample_value("fluentd_dropped_bytes_total", {"reason": "excluded_stream"}) == len(LINE) + 4
    assert registry.get_sample_value("fluentd_dropped_lines_total", {"reason": "rate_limit"}) == 0


def test_a_changed_file_is_read_again_and_a_bad_one_keeps_the_last(
    make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book_module, "_LOOK_SECONDS", 0.0)
    book, path, registry = make({"drop": [{"message": "one"}]})
    assert apply(book.of(PLACE, origin()), b"one", b"two") == [b"two"]
    for number, text in enumerate(('{"drop": [{"message": "("}]}', "{", '{"dorp": []}')):
        path.write_text(text)
        os.utime(path, (number, number))
        assert apply(book.of(PLACE, origin()), b"one", b"two") == [b"two"]
        assert apply(book.of(PLACE, origin()), b"one", b"two") == [b"two"]
        assert registry.get_sample_value("fluentd_rules_errors_total") == number + 1
    path.unlink()
    assert apply(book.of(PLACE, origin()), b"one", b"two") == [b"two"]
    assert apply(book.of(PLACE, origin()), b"one", b"two") == [b"two"]
    assert registry.get_sample_value("fluentd_rules_errors_total") == 4
    path.write_text('{"drop": [{"message": "two"}]}')
    assert apply(book.of(PLACE, origin()), b"one", b"two") == [b"one"]


def test_a_wrong_file_at_the_start_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rules.json"
    with pytest.raises(SettingsError, match="AGENT_RULES"):
        RuleBook(path, pod_rules=lambda _: NO_RULES, registry=CollectorRegistry())
    path.write_text('{"rate_limits": [{"rate": "many"}]}')
    with pytest.raises(SettingsError, match=r"rate_limits\[0\].rate"):
        RuleBook(path, pod_rules=lambda _: NO_RULES, registry=CollectorRegistry())


@pytest.mark.parametrize(
    ("said", "names"),
    [
        ('{"drop": [{}, {"message": "a(?=b)"}]}', r"drop\[1\].message"),
        ('{"sample": [{"message": "(a{1000}){1000}", "keep": 1}]}', r"sample\[0\].message"),
        ('{"sample": [{"message": "a"}]}', "keep"),
        ('{"sample": [{"keep": 1.5}]}', "keep"),
        ('{"redact": [{"packs": ["cluod"]}]}', "cluod"),
        ('{"redact": [{"patterns": {"Bad name": "x"}}]}', "patterns"),
        ('{"redact": [{"patterns": {"x": "["}}]}', r"redact\[0\].patterns.x"),
        ('{"drop": [{"apps": ["a*b"]}]}', "apps"),
        ('{"drop": [{"stream": "stdin"}]}', "stream"),
        ('{"nothing": 1}', "nothing"),
        ("[" * 100_000, "deep"),
        ("\ud800".encode("utf-8", "surrogatepass"), "JSON"),
        (b"x" * ((1 << 20) + 1), "over"),
    ],
)
def test_what_makes_no_sense_in_a_file_is_named(tmp_path: Path, said: str | bytes, names: str) -> None:
    path = tmp_path / "rules.json"
    path.write_bytes(said if isinstance(said, bytes) else said.encode())
    with pytest.raises(ValueError, match=names):
        read_rules(path)


def test_toml_says_the_same(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text('[[drop]]\nmessage = "GET"\napps = ["a"]\n[[rate_limits]]\nrate = "5 lines/s"\n')
    rules = read_rules(path)
    assert len(rules.lines(origin("a"))) == 1
    assert rules.lines(origin()) == []
    assert rules.rate(origin()) == (RateLimit(Unit.LINES, 5, 5), False)
    path.write_text("= =")
    with pytest.raises(ValueError, match="line 1"):
        read_rules(path)


def test_a_sample_keeps_its_share_and_always_the_same_lines(make: Callable[..., Any]) -> None:
    book, *_ = make({"sample": [{"keep": 0.25}]})
    lines = [b"%d" % number for number in range(4000)]
    kept = apply(book.of(PLACE, origin()), *lines)
    assert 850 < len(kept) < 1150
    assert apply(book.of(PLACE, origin()), *lines) == kept
