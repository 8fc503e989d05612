"""Rules that apps state of their own lines."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from monitor.metric import LabelSet
from monitor.rules.own import OWN_BYTES, own_prefix, read_own
from monitor.rules.ruleset import RuleSet

TEXT = """
- {name: orders_total, kind: counter, format: json, when: {event: [order]}, labels: {kind: kind}}
- {name: wait_seconds, kind: histogram, pattern: 'waited (?P<wait>\\S+)', value: wait, unit: duration,
   where: {processes: [worker]}}
"""


def test_an_apps_rules_read_its_own_lines_only(batch_of: Any, line: Any, web: Any, added: Any) -> None:
    own = {("shop", "shop"): read_own(TEXT, namespace="shop", app="shop")}
    assert own["shop", "shop"].problems == ()
    from_blog = web.__class__("blog", "web", "v1", "b", "c", "n1", b"s", 0, "blog")
    order = b'{"event": "order", "kind": "new"}'
    lines = [line(order), line(order, facts=from_blog), line(b"waited 1m2.5s")]
    made = added(RuleSet().samples(batch_of(lines), own=own))
    assert made["own_shop__orders"] == {LabelSet("shop", "shop", "web", "v3", "shop-web-1", ("new",)): (1, 1)}
    assert "own_shop__wait_seconds" not in made


def test_a_durations_unit_stands_behind_it(batch_of: Any, line: Any, web: Any, added: Any) -> None:
    own = {("shop", "shop"): read_own(TEXT, namespace="shop", app="shop")}
    worker = web.__class__("shop", "worker", "v1", "b", "c", "n1", b"s", 0, "shop")
    lines = [line(b"waited " + text.encode(), facts=worker) for text in ("1m2.5s", "350µs", "5", "1h", "0")]
    made = added(RuleSet().samples(batch_of(lines), own=own))
    assert list(made["own_shop__wait_seconds"].values()) == [(4, 3662.50035)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x" * (OWN_BYTES + 1), "over 4096 bytes"),
        ("name: a", "a list of rules"),
        ("[" * 3000, "nest"),
        ("\ud800", "surrogates"),
        ("[" + "{}," * 21 + "]", "more than 20 rules"),
        ("- {name: Orders, kind: counter, format: json}", "[0].name"),
        ("- {name: a__b, kind: counter, format: json}", "[0].name"),
        ("- {name: a, kind: counter, format: json, where: {apps: [bank]}}", "unknown field `apps`"),
        ("- {name: a, kind: counter, pattern: '('}", "[0] (a).pattern"),
    ],
)
def test_what_makes_no_sense_in_an_annotation_is_told_and_harms_nobody(text: str, said: str) -> None:
    read = read_own(text, namespace="shop", app="shop")
    assert read.rules == ()
    assert said in read.problems[0]


def test_a_bad_rule_leaves_the_others() -> None:
    read = read_own(TEXT + "- {name: bad, kind: counter}\n- 7\n", namespace="shop", app="shop")
    assert [metric.name for metric in read.metrics] == ["own_shop__orders", "own_shop__wait_seconds"]
    assert len(read.problems) == 2


NAMES = st.text("ab-.X2dA_e", min_size=1, max_size=6)


@given(st.tuples(NAMES, NAMES), st.tuples(NAMES, NAMES))
@example(("a--b", "a--b"), ("a", "b"))
@example(("a.b", "a.b"), ("a-b", "a-b"))
def test_no_two_apps_can_make_one_metric(one: tuple[str, str], other: tuple[str, str]) -> None:
    mine, theirs = own_prefix(*one), own_prefix(*other)
    if one == other:
        return
    names = ["x", "a_b", "x2d", "a"]
    assert not {mine + name for name in names} & {theirs + name for name in names}


@given(st.text(max_size=200))
def test_any_text_is_read_without_an_error(text: str) -> None:
    read_own(text, namespace="shop", app="shop")


def test_an_app_in_another_namespace_has_rules_of_its_own(batch_of: Any, line: Any, web: Any, added: Any) -> None:
    text = "- {name: n, kind: counter, pattern: x}"
    own = {(space, "shop"): read_own(text, namespace=space, app="shop") for space in ("shop", "test")}
    lines = [line(b"x"), line(b"x", facts=web.__class__("shop", "web", "v1", "b", "c", "n1", b"s", 0, "test"))]
    made = added(RuleSet().samples(batch_of(lines), own=own))
    assert {"own_shop__n", "own_test__shop__n"} <= made.keys()
