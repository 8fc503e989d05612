"""Samples of which it is not known whether they count: there is no value then, and above all not 0."""

import pytest
from told_reader import NOW_NS, ToldReader

from monitor.hpa.selector import parse_selector
from monitor.hpa.source import Source
from monitor.metric import OVERFLOW, UNKNOWN
from monitor.reading import IncompleteError


async def groups(
    reader: ToldReader, selector: str, *by: str, name: str = "requests_per_second"
) -> dict[tuple[str, ...], float]:
    source = Source(reader, lambda: NOW_NS, 60, 90.0)
    values = await source.values(name, namespace="shop", selector=parse_selector(selector), by=by)
    return dict(values.groups)


async def test_what_deis_router_writes_is_of_the_only_process_that_it_serves(reader: ToldReader) -> None:
    reader.tell("app_requests", 60, source="router", code="200", release=UNKNOWN)
    assert await groups(reader, "process=web") == {(): 1.0}
    assert await groups(reader, "process in (web,worker)") == {(): 1.0}
    assert await groups(reader, "process=worker") == {}
    for selector in ("release=v1", "release!=v1", "release", "process=web,release=v1", "pod in (a,b)"):
        with pytest.raises(IncompleteError, match="not known"):
            await groups(reader, selector)


async def test_pods_have_no_value_where_no_line_tells_the_pod(reader: ToldReader) -> None:
    reader.tell("app_requests", 60, source="router", code="200")
    with pytest.raises(IncompleteError):
        await groups(reader, "pod in (a,b)", "pod")
    reader.tell("app_requests", 120, source="app", code="200", pod="a")
    assert await groups(reader, "pod in (a,b)", "pod") == {("a",): 2.0}, "the app's own lines tell it"


@pytest.mark.parametrize(("unknown", "good"), [(0, True), (1, True), (2, False), (400, False)])
async def test_one_in_a_hundred_may_be_unknown(reader: ToldReader, unknown: int, good: bool) -> None:
    reader.tell("app_requests", 120, source="ingress-nginx", code="200", process="web", release="v1", pod="a")
    if unknown:
        reader.tell("app_requests", unknown, source="ingress-nginx", code="200", release=UNKNOWN)
    assert set(await groups(reader, "app=shop")) == {()}, "for the app as a whole nothing is unknown"
    if good:
        assert await groups(reader, "process=web,release=v1") == {(): 2.0}
    else:
        with pytest.raises(IncompleteError, match=f"of {unknown} in {120 + unknown}"):
            await groups(reader, "process=web,release=v1")


@pytest.mark.parametrize(("hidden", "good"), [(1, True), (2, False)])
async def test_what_a_budget_hides_is_unknown_too(reader: ToldReader, hidden: int, good: bool) -> None:
    reader.tell("app_requests", 120, source="app", code="200", process="web", pod="a")
    reader.overflowed = hidden
    if good:
        assert await groups(reader, "app=shop") == {(): 2.0}
    else:
        with pytest.raises(IncompleteError):
            await groups(reader, "app=shop")


async def test_a_process_without_a_name_is_known_where_the_pod_is(reader: ToldReader) -> None:
    reader.tell("app_requests", 60, source="ingress-nginx", code="200", process="web", pod="a")
    reader.tell("app_requests", 60, source="ingress-nginx", code="200", pod="b")
    assert await groups(reader, "process=web") == {(): 1.0}
    assert await groups(reader, "!process") == {(): 1.0}


@pytest.mark.parametrize("selector", ["code=500", "code!=500", "process=web"])
async def test_what_went_to_the_overflow_could_be_anything(reader: ToldReader, selector: str) -> None:
    reader.tell("app_requests", 60, source="app", code="500", process="web", pod="a")
    reader.tell("app_requests", 6, source=OVERFLOW, method=OVERFLOW, code=OVERFLOW, process=OVERFLOW, release=OVERFLOW)
    with pytest.raises(IncompleteError):
        await groups(reader, selector)
    with pytest.raises(IncompleteError):
        await groups(reader, "", name="error_ratio")
    reader.tell("app_lines", 6, stream=OVERFLOW)
    assert await groups(reader, "", name="lines_per_second") == {(): 0.1}, "sums are exact"
