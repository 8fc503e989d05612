"""Rules that an operator writes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.metric import LabelSet
from monitor.rules.ruleset import RuleSet
from pipeline.errors import SettingsError

FILE = rb"""
metrics:
  - name: shop_checkout_seconds
    kind: histogram
    where: {apps: [shop]}
    pattern: 'checkout of (?P<kind>\S+) took (?P<took>\S+) ms'
    value: took
    unit: ms
    labels: {kind: kind}
  - name: jobs_total
    kind: counter
    format: json
    when: {event: [job done, job failed]}
    labels: {queue: job.queue, event: event}
  - name: queue_depth
    kind: gauge
    format: logfmt
    value: depth
"""


def rules(text: bytes = FILE) -> RuleSet:
    return RuleSet(text, name="rules.yaml")


def test_a_pattern_gives_values_in_base_units_with_labels(batch_of: Any, line: Any, added: Any) -> None:
    lines = [b"checkout of cart took 12 ms", b"x checkout of \xff took 3.5 ms trace_id=" + b"ab" * 16, b"other"]
    made = rules().samples(batch_of([line(one) for one in lines]))
    web = ("shop", "shop", "web", "v3", "shop-web-1")
    assert added(made)["shop_checkout_seconds"] == {
        LabelSet(*web, ("cart",)): (1, 0.012),
        LabelSet(*web, ("\ufffd",)): (1, 0.0035),
    }
    assert added(made)["app_rule_misses"][LabelSet(*web, ("shop_checkout_seconds", "unmatched"))] == (1, 1)
    (histogram,) = (each for each in made if each.metric.name == "shop_checkout_seconds")
    assert [(one.trace_id, one.sample) for one in histogram.exemplars] == [("ab" * 16, 1)]
    assert histogram.metric.edges[0] == 0.005


def test_json_fields_lead_into_objects_and_conditions_choose_lines(batch_of: Any, line: Any, added: Any) -> None:
    lines = [
        b'{"event": "job done", "job": {"queue": "mail \\"fast\\""}}',
        b'{"event": "job failed", "job": {"queue": 7}}',
        b'{"event": "job failed", "job": "none"}',
        b'{"event": "other"}',
        b'{"event": "job done"',
        b"plain",
    ]
    made = added(rules().samples(batch_of([line(one) for one in lines])))
    assert {labels.labels: count for labels, (count, _) in made["jobs"].items()} == {
        ('mail "fast"', "job done"): 1,
        ("7", "job failed"): 1,
        ("", "job failed"): 1,
    }
    misses = {labels.labels: count for labels, (count, _) in made["app_rule_misses"].items()}
    assert misses["jobs", "unmatched"] == 2


def test_what_stands_in_quotes_is_no_key_of_logfmt(batch_of: Any, line: Any, added: Any) -> None:
    lines = [b'level=info msg="depth=9 x" depth=3', b"depth=many", b'msg="depth=5"', b'depth="4"']
    made = added(rules().samples(batch_of([line(one) for one in lines])))
    assert list(made["queue_depth"].values()) == [(2, 7)]
    misses = {labels.labels: count for labels, (count, _) in made["app_rule_misses"].items()}
    assert (misses["queue_depth", "number"], misses["queue_depth", "unmatched"]) == (1, 1)


def test_rules_read_only_the_lines_of_their_place(batch_of: Any, line: Any, web: Any, added: Any) -> None:
    other = replace(web, app="blog", namespace="blog")
    made = added(rules().samples(batch_of([line(b"checkout of cart took 12 ms", facts=other)])))
    assert "shop_checkout_seconds" not in made


def test_a_counter_does_not_go_down(batch_of: Any, line: Any, added: Any) -> None:
    text = b"metrics: [{name: sent_bytes_total, kind: counter, unit: KiB, value: n, pattern: 'n=(?P<n>\\S+)'}]"
    made = added(rules(text).samples(batch_of([line(b"n=2"), line(b"n=-1"), line(b"n=nan"), line(b"n=inf")])))
    assert list(made["sent_bytes"].values()) == [(1, 2048)]
    assert list(made["app_rule_misses"].values()) == [(3, 3)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("metrics: [{name: a, kind: counter, patern: x}]", "unknown field `patern` - at `metrics[0]`"),
        ("metrics: [{name: a, kind: timer, pattern: x}]", "metrics[0].kind"),
        ("metrics: [{name: a, kind: counter, pattern: '('}]", "metrics[0] (a).pattern: missing )"),
        ("metrics: [{name: a, kind: counter, pattern: '(x)'}]", "a group without a name"),
        ("metrics: [{name: a, kind: counter, pattern: '((a{1,100}){1,10}){1,9}'}]", "pattern: "),
        ("metrics: [{name: a, kind: counter}]", "pattern, format: one of them"),
        ("metrics: [{name: a, kind: gauge, pattern: x}]", "value: a gauge needs one"),
        ("metrics: [{name: a, kind: gauge, pattern: x, value: v}]", "value: the pattern has no group 'v'"),
        ("metrics: [{name: a, kind: gauge, format: json, value: v, unit: ms}]", "name: it must end with _seconds"),
        ("metrics: [{name: a, kind: histogram, format: json, value: v}]", "edges: they must be said"),
        ("metrics: [{name: a, kind: histogram, format: json, value: v, edges: [2, 1]}]", "edges: they must be finite"),
        ("metrics: [{name: a, kind: counter, format: json, labels: {pod: x}}]", "labels: 'pod'"),
        ("metrics: [{name: 9a, kind: counter, format: json}]", "name: '9a' is no name"),
        ("metrics: [{name: a_sum, kind: counter, format: json}]", "name: the end"),
        ("metrics: [{name: app_requests_total, kind: counter, format: json}]", "another metric: app_requests"),
        ("metrics: [{name: own_a__b, kind: counter, format: json}]", "must not begin with own_"),
        ("sources: [{format: deis-router, namespaces: []}]", "sources[0].namespaces"),
        ("sources: [{format: apache, namespaces: [a]}]", "sources[0].format"),
        ("metrics: &a [*a]", "an alias"),
        ("metrics: []\nmetrics: []", "'metrics' comes twice"),
        ("- a", "Expected `object`, got `array`"),
    ],
)
def test_what_makes_no_sense_is_named(text: str, said: str) -> None:
    with pytest.raises(SettingsError) as raised:
        rules(text.encode())
    assert str(raised.value).startswith("rules.yaml: ")
    assert said in str(raised.value)


def test_the_digest_follows_the_file(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_bytes(FILE)
    assert RuleSet.load(path).digest == rules().digest != RuleSet().digest
    assert [metric.name for metric in RuleSet.load(path).metrics][-1] == "queue_depth"


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"MONITOR_RULES=.*rules.yaml"):
        RuleSet.load(tmp_path / "rules.yaml")


def test_times_of_samples_are_those_of_their_lines(batch_of: Any, line: Any) -> None:
    made = rules().samples(batch_of([line(b"depth=1", time_ns=5), line(b"x", time_ns=6), line(b"depth=2", time_ns=4)]))
    (gauge,) = (each for each in made if each.metric.name == "queue_depth")
    assert (gauge.row.tolist(), gauge.time_ns.tolist()) == ([0, 2], [5, 4])
    assert gauge.values is not None
    assert np.array_equal(gauge.values, [1, 2])


def test_a_value_that_is_absent_is_no_match_and_one_beyond_all_bounds_no_number(
    batch_of: Any, line: Any, added: Any
) -> None:
    text = b"metrics: [{name: n_bytes, kind: gauge, unit: GiB, value: n, pattern: 'n=(?P<n>[0-9e]+)?'}]"
    made = added(rules(text).samples(batch_of([line(b"n="), line(b"n=1e308"), line(b"n=1")])))
    assert list(made["n_bytes"].values()) == [(1, 2**30)]
    misses = {labels.labels: count for labels, (count, _) in made["app_rule_misses"].items()}
    assert misses == {("n_bytes", "unmatched"): 1, ("n_bytes", "number"): 1}


def test_values_of_labels_are_text_of_bounded_length(batch_of: Any, line: Any, added: Any) -> None:
    text = b"metrics: [{name: n, kind: counter, format: json, labels: {v: v}}]"
    lines = [b'{"v":"\xff"}', b'{"v":"\xfe"}', b'{"v":"a%s"}' % ("\u00e9" * 100).encode(), b'{"v":true}', b'{"v":[1]}']
    made = rules(text).samples(batch_of([line(one) for one in lines]))
    (counter,) = (each for each in made if each.metric.name == "n")
    assert [labels.labels[0] for labels in counter.sets] == ["\ufffd", "a" + "\u00e9" * 63, "true", ""]
    assert counter.index.tolist() == [0, 0, 1, 2, 3]


def test_the_first_of_a_key_of_logfmt_counts(batch_of: Any, line: Any, added: Any) -> None:
    assert list(added(rules().samples(batch_of([line(b"depth=1 depth=2")])))["queue_depth"].values()) == [(1, 1)]


def test_a_place_is_a_container_too_and_the_first_source_counts(batch_of: Any, line: Any, web: Any, added: Any) -> None:
    text = b"""
sources:
  - {format: deis-router, namespaces: [edge], containers: [router*]}
  - {format: ingress-nginx, namespaces: [edge, shops]}
metrics: [{name: n, kind: counter, pattern: x, where: {containers: [side]}}]
"""
    edge = replace(web, namespace="edge", container="router-1")
    lines = [line(b"x", facts=edge), line(b"x", facts=replace(edge, container="c")), line(b"x")]
    lines += [line(b"x", facts=replace(web, container="side", source=bytes([at]))) for at in (1, 2)]
    made = added(rules(text).samples(batch_of(lines)))
    assert [count for count, _ in made["n"].values()] == [2]
    assert {labels.labels[0] for labels in made["app_rule_misses"]} == {"deis-router", "ingress-nginx"}
