"""An analysis as a picture."""

import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.canary.counts import MINUTE_NS, MetricCounts, MetricPolicy, Minute, Observation, Policy
from monitor.canary.decide import decide
from monitor.canary.picture import WIDTH, draw

SVG = "{http://www.w3.org/2000/svg}"


def analysis(name: str, minutes: list[Minute], until: int) -> tuple[Policy, Observation]:
    policy = Policy(metrics=(MetricPolicy(name=name, phi=1.0),))
    return policy, Observation(0, until * MINUTE_NS, (MetricCounts(name, tuple(minutes)),))


def picture(name: str, minutes: list[Minute], until: int, title: str = "shop/web") -> ET.Element:
    policy, observation = analysis(name, minutes, until)
    text = draw(title, policy, observation, decide(policy, observation))
    return ET.fromstring(text)  # noqa: S314 - our own


def classes(root: ET.Element) -> list[str]:
    return [part.get("class", "") for part in root.iter() if part.tag in (f"{SVG}path", f"{SVG}line")]


def minute(number: int, canary_e: float, canary_n: float = 300) -> Minute:
    return Minute(number * MINUTE_NS, 3000, 15, canary_n, canary_e)


def test_a_bad_release_shows_both_arms_the_threshold_and_when_it_was_crossed() -> None:
    root = picture("errors", [minute(number, 15) for number in range(12)], 12)
    drawn = classes(root)
    assert {"stable", "canary", "evidence"} <= set(drawn)
    assert drawn.count("threshold") == 2  # the level, and the moment
    assert any("rollback" in (text.text or "") for text in root.iter(f"{SVG}text"))


def test_a_good_release_crosses_nothing() -> None:
    assert classes(picture("errors", [minute(number, 1) for number in range(12)], 12)).count("threshold") == 1


def test_a_curve_is_interrupted_where_a_minute_is_not_known() -> None:
    known = [minute(number, 1) for number in (0, 1, 2, 5, 6)]
    root = picture("errors", [*known, minute(8, 0, canary_n=0), minute(9, 1)], 10)
    (canary,) = [
        part for part in root.iter(f"{SVG}path") if part.get("class") == "canary" and "h20" not in str(part.get("d"))
    ]
    assert str(canary.get("d")).count("M") == 3


@given(title=st.text(max_size=300), name=st.text(min_size=1, max_size=200))
def test_whatever_text_comes_the_picture_is_one_document_and_bounded(title: str, name: str) -> None:
    root = picture(name, [minute(0, 1)], 1, title)
    assert root.tag == f"{SVG}svg"
    assert not list(root.iter(f"{SVG}script"))
    assert len(ET.tostring(root)) < 20_000


@given(
    counts=st.lists(
        st.tuples(st.floats(0, 1e9), st.floats(0, 1), st.floats(0, 1e9), st.floats(0, 1)), min_size=1, max_size=30
    )
)
def test_whatever_counts_come_every_point_is_inside(counts: list[tuple[float, float, float, float]]) -> None:
    minutes = [Minute(at * MINUTE_NS, n, n * e, m, m * f) for at, (n, e, m, f) in enumerate(counts)]
    root = picture("errors", minutes, len(minutes))
    height = float(str(root.get("viewBox")).split()[3])
    for part in root.iter(f"{SVG}path"):
        for x, y in re.findall(r"[ML](\S+?) (-?[0-9.]+)", str(part.get("d"))):
            assert 0 <= float(x) <= WIDTH
            assert 0 <= float(y) <= height


def test_a_week_of_minutes_is_no_large_picture() -> None:
    policy, observation = analysis("errors", [minute(number, 1) for number in range(3000)], 3000)
    assert len(draw("shop/web", policy, observation, decide(policy, observation))) < 100_000


def test_a_policy_that_cannot_judge_is_an_error_of_the_caller() -> None:
    policy, observation = analysis("errors", [minute(0, 1)], 1)
    with pytest.raises(ValueError, match="metric"):
        draw("x", Policy(metrics=()), observation, decide(policy, observation))
