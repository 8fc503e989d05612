"""External metrics: a value for each app that is selected, or none at all."""

import pytest
from told_reader import NOW_NS, ToldReader

from monitor.hpa.external import ExternalMetrics
from monitor.hpa.paths import EXTERNAL, Asked
from monitor.hpa.refusal import RefusalError, UnknownError
from monitor.hpa.selector import parse_selector
from monitor.hpa.source import Source
from monitor.reading import IncompleteError


async def items(reader: ToldReader, selector: str, name: str = "requests_per_second") -> dict[str, float]:
    asked = Asked(EXTERNAL, "v1beta1", "shop", "", "", name)
    metrics = ExternalMetrics(Source(reader, lambda: NOW_NS, 60, 90.0))
    found = await metrics.items(asked, selector=parse_selector(selector))
    assert all(item.stop_ns <= reader.watermark for item in found)
    return {item.labels.get("app", ""): item.value for item in found}


async def test_each_app_of_the_namespace_has_a_value(reader: ToldReader) -> None:
    reader.tell("app_requests", 60, source="router", code="200")
    reader.tell("app_requests", 120, source="router", code="200", app="mail")
    reader.tell("app_requests", 600, source="router", code="200", namespace="other", app="other")
    assert await items(reader, "") == {"shop": 1.0, "mail": 2.0}
    assert await items(reader, "app=mail") == {"mail": 2.0}
    assert await items(reader, "app in (mail,shop)") == {"shop": 1.0, "mail": 2.0}


@pytest.mark.parametrize("selector", ["namespace=other", "app=other", "namespace in (other,shop),app=other"])
async def test_no_selector_leads_out_of_the_namespace(reader: ToldReader, selector: str) -> None:
    reader.tell("app_requests", 60, source="router", code="200")
    reader.tell("app_requests", 600, source="router", code="200", namespace="other", app="other")
    with pytest.raises(RefusalError):
        await items(reader, f"{selector},app=other")


async def test_labels_of_the_metric_select(reader: ToldReader) -> None:
    reader.tell("app_requests", 60, source="router", code="200", process="web", release="v1")
    reader.tell("app_requests", 120, source="router", code="503", process="web", release="v2")
    assert await items(reader, "app=shop,release=v2") == {"shop": 2.0}
    assert await items(reader, "app=shop,release!=v2,process") == {"shop": 1.0}
    assert await items(reader, "app=shop,code in (500,503),process notin (worker)") == {"shop": 2.0}
    assert await items(reader, "app=shop,code>499") == {"shop": 2.0}


async def test_an_app_that_is_known_and_has_no_requests_is_at_0(reader: ToldReader) -> None:
    reader.tell("app_lines", 5, stream="stdout")
    reader.tell("app_requests", 5, source="router", code="200", namespace="other", app="other")
    assert await items(reader, "app=shop") == {"shop": 0.0}


async def test_where_nobodys_requests_are_measured_nobody_is_at_0(reader: ToldReader) -> None:
    reader.tell("app_lines", 5, stream="stdout")
    with pytest.raises(RefusalError, match="measured of nobody"):
        await items(reader, "app=shop")


async def test_an_app_that_nothing_was_measured_of_has_no_value(reader: ToldReader) -> None:
    with pytest.raises(RefusalError, match="nothing has been measured of shopp"):
        await items(reader, "app=shopp")
    with pytest.raises(RefusalError):
        await items(reader, "")


async def test_one_app_without_a_value_takes_all_with_it(reader: ToldReader) -> None:
    reader.tell("app_requests", 60, source="router", code="200")
    with pytest.raises(RefusalError, match="mail"):
        await items(reader, "app in (shop,mail)")


@pytest.mark.parametrize("name", ["error_ratio", "latency_p95_seconds", "queue_depth"])
async def test_no_samples_are_no_ratio_no_latency_and_no_gauge(reader: ToldReader, name: str) -> None:
    reader.tell("app_lines", 5, stream="stdout")
    with pytest.raises(RefusalError, match="no samples"):
        await items(reader, "app=shop", name)


async def test_an_unknown_metric_and_a_missing_part_are_told_apart(reader: ToldReader) -> None:
    with pytest.raises(UnknownError):
        await items(reader, "app=shop", "nothing")
    reader.broken = "behind"
    with pytest.raises(IncompleteError):
        await items(reader, "app=shop")
