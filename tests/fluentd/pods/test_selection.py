"""Which pods are collected."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluentd.pods.selection import LabelSelector, Selection, parse_label_names, parse_namespaces

LABELS = {"heritage": "deis", "type": "web", "empty": "", "example.org/tier": "front"}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("heritage=deis", True),
        ("heritage==deis", True),
        ("heritage = deis , type!=run", True),
        ("heritage=other", False),
        ("type!=web", False),
        ("missing!=web", True),
        ("missing=", False),
        ("empty=", True),
        ("type in (web, worker)", True),
        ("type in (worker)", False),
        ("type notin (worker,run),heritage", True),
        ("missing notin (a)", True),
        ("missing in (a)", False),
        ("!missing", True),
        ("!type", False),
        ("example.org/tier=front", True),
        ("heritage=deis,missing", False),
    ],
)
def test_selectors_match_as_in_kubernetes(text: str, *, matches: bool) -> None:
    assert LabelSelector(text).matches(LABELS) is matches


@pytest.mark.parametrize(
    "text", ["=a", "a=b c", "a in b", "a in (b", "a=b,,c=d", ",", "a>1", "a in (b c)", "-a", "a=-", ",".join("ab" * 50)]
)
def test_what_is_no_selector_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"selector|label|requirements"):
        LabelSelector(text)


@given(st.text(alphabet="ab=!,() inotÿ\n", max_size=60), st.dictionaries(st.text("ab"), st.text("ab")))
def test_any_text_is_a_selector_or_is_refused(text: str, labels: dict[str, str]) -> None:
    try:
        selector = LabelSelector(text)
    except ValueError:
        return
    assert selector.matches(labels) in {True, False}


def test_the_platform_is_collected_whatever_its_labels_say_and_only_listed_namespaces_are() -> None:
    selection = Selection(LabelSelector("heritage=deis"), frozenset({"shop", "deis"}), "deis")
    assert selection.selects("deis", {})
    assert selection.selects("shop", {"heritage": "deis"})
    assert not selection.selects("shop", {})
    assert not selection.selects("other", {"heritage": "deis"})


def test_no_platform_is_no_namespace() -> None:
    assert not Selection(LabelSelector("a=b")).selects("", {})


def test_lists_of_names_are_checked() -> None:
    assert parse_namespaces(" a, b-1 ,") == {"a", "b-1"}
    assert parse_label_names("app, app.kubernetes.io/name") == ("app", "app.kubernetes.io/name")
    assert parse_label_names("") == ()
    with pytest.raises(ValueError, match="namespace"):
        parse_namespaces("A")
    with pytest.raises(ValueError, match="label"):
        parse_label_names("a/b/c")
