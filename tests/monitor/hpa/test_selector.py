"""Label selectors: every operator, and words for what is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.hpa.selector import MOST_BYTES, parse_selector

LABELS = {"app": "web", "release": "v2", "size": "12", "tier": ""}

HOLDS = [
    "",
    "   ",
    "app",
    "app=web",
    "app==web",
    " app = web , release != v1 ",
    "release in (v1, v2)",
    "release notin (v1,v3)",
    "missing!=x",
    "missing notin (x)",
    "!missing",
    "! missing",
    "!tier",
    "tier=",
    "missing in ()",
    "size>11,size<13",
    "app=web,app",
    "deis.io/part notin (a)",
    "in=,notin!=x",
]
FAILS = ["app=db", "app!=web", "!app", "tier", "missing", "missing=x", "release in (v1)", "release notin (v2,x)"]
FAILS += ["size>12", "size<12", "app>1", "missing<5", "app in ()", "app=web,release=v1"]


@pytest.mark.parametrize("text", HOLDS)
def test_a_selector_holds(text: str) -> None:
    assert parse_selector(text).holds(LABELS)


@pytest.mark.parametrize("text", FAILS)
def test_a_selector_does_not_hold(text: str) -> None:
    assert not parse_selector(text).holds(LABELS)


WRONG = ["=", ",", "app,", ",app", "app=web,,x", "app in web", "app in (web", "app in (a b)", "a b", "app~web", "!"]
WRONG += ["app>x", "app>1.5", "-a", "a/b/c", "app=(", "é=1", "x" * 64, "a" * (MOST_BYTES + 1), "!a=b", "!!a"]
WRONG += [",".join(f"a{number}" for number in range(33))]


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_selector_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match="selector"):
        parse_selector(text)


def test_a_selector_tells_which_labels_it_looks_at_and_what_they_may_be() -> None:
    selector = parse_selector("app in (a,b),app in (b,c),release!=v1,code")
    assert selector.labels() == ("app", "release", "code")
    assert selector.allowed("app") == {"b"}
    assert selector.allowed("release") is None
    assert selector.allowed("code") is None


@given(st.text(alphabet="ab=!<>(),in notx/.5 -", max_size=30))
def test_any_text_is_a_selector_or_refused(text: str) -> None:
    try:
        selector = parse_selector(text)
    except ValueError as error:
        assert "selector" in str(error)  # noqa: PT017 - both ends are good
    else:
        assert isinstance(selector.holds({"a": "b"}), bool)


@given(st.dictionaries(st.sampled_from("abc"), st.sampled_from(["1", "2", "3"])), st.sampled_from("abc"))
def test_in_and_notin_are_opposites(labels: dict[str, str], label: str) -> None:
    inside, outside = parse_selector(f"{label} in (1,2)"), parse_selector(f"{label} notin (1,2)")
    assert inside.holds(labels) is not outside.holds(labels)
