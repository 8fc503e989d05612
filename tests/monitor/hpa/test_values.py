"""Values: of a complete window, or none; never 0 for want of data."""

import pytest
from told_reader import DEPTH, DURATIONS, NOW_NS, REQUESTS, ToldReader

from monitor.meaning import BUILT_IN, Form, meanings_of, names_of
from monitor.reading import SLOT_NS, IncompleteError
from monitor.values import StaleError, Values, Wanted, read_values

S = 1_000_000_000


async def read(reader: ToldReader, name: str, **wanted: object) -> Values:
    return await read_values(reader, Wanted(name, **wanted), now_ns=NOW_NS)


async def value(reader: ToldReader, name: str, **wanted: object) -> float | None:
    return (await read(reader, name, **wanted)).groups.get(())


async def test_a_window_ends_at_the_newest_slot_that_is_complete(reader: ToldReader) -> None:
    reader.watermark = NOW_NS - 23 * S
    values = await read(reader, "requests_per_second")
    assert (values.start_ns, values.stop_ns, values.seconds) == (NOW_NS - 90 * S, NOW_NS - 30 * S, 60)
    assert values.stop_ns % SLOT_NS == 0


async def test_requests_are_counted_by_the_second(reader: ToldReader) -> None:
    reader.tell("app_requests", 300, source="router", code="200")
    reader.tell("app_requests", 60, source="ingress-nginx", code="500")
    assert await value(reader, "requests_per_second") == 6.0
    assert await value(reader, "requests_per_second", window_seconds=30) == 12.0


async def test_a_request_that_router_and_app_both_write_of_counts_once(reader: ToldReader) -> None:
    reader.tell("app_requests", 300, source="app", code="200")
    assert await value(reader, "requests_per_second") == 5.0
    reader.tell("app_requests", 240, source="router", code="200")
    assert await value(reader, "requests_per_second") == 4.0
    only_app = {"seen": ("source",), "keep": lambda labels, _: labels.get("source") == "app"}
    assert await value(reader, "requests_per_second", **only_app) == 5.0


async def test_the_error_ratio_is_that_of_codes_from_500(reader: ToldReader) -> None:
    for code, count in {"200": 90, "404": 5, "500": 3, "503": 2}.items():
        reader.tell("app_requests", count, source="router", code=code)
    assert await value(reader, "error_ratio") == pytest.approx(0.05)


async def test_latencies_are_quantiles_of_all_that_is_selected(reader: ToldReader) -> None:
    reader.tell_times(50, 0, 0, 0, source="router", process="web")
    reader.tell_times(0, 50, 0, 0, source="router", process="api")
    assert await value(reader, "latency_p50_seconds") == pytest.approx(0.1)
    assert await value(reader, "latency_p95_seconds") == pytest.approx(0.1 + 0.4 * 45 / 50)
    web = {"match": {"process": frozenset({"web"})}}
    assert await value(reader, "app_request_duration_seconds_p5", **web) == pytest.approx(0.05)
    assert await value(reader, "app_request_duration_seconds_p999", **web) == pytest.approx(0.0999)


async def test_a_gauge_is_its_newest_and_not_a_rate(reader: ToldReader) -> None:
    reader.tell("queue_depth", 42, queue="mail")
    reader.tell("queue_depth", 8, queue="bills")
    assert await value(reader, "queue_depth") == 50
    assert (await read(reader, "queue_depth", by=("queue",))).groups == {("mail",): 42, ("bills",): 8}


async def test_lines_and_any_counter_are_rates(reader: ToldReader) -> None:
    reader.tell("app_lines", 30, stream="stdout")
    assert await value(reader, "lines_per_second") == 0.5
    assert await value(reader, "app_lines_per_second") == 0.5


@pytest.mark.parametrize("name", sorted(BUILT_IN))
async def test_who_has_no_samples_has_no_group_and_only_rates_count_that_as_0(reader: ToldReader, name: str) -> None:
    values = await read(reader, name)
    assert values.groups == {}
    assert values.meaning.counts_nothing_as == (0.0 if values.meaning.form is Form.RATE else None)


async def test_requests_without_any_code_have_no_ratio_of_errors(reader: ToldReader) -> None:
    reader.tell("app_requests", 0, source="router", code="500")
    assert await value(reader, "error_ratio") is None


@pytest.mark.parametrize("name", ["nothing", "nothing_per_second", "app_lines", "app_lines_p95", "queue_depth_p50"])
async def test_what_nothing_is_called_or_is_of_another_kind_is_unknown(reader: ToldReader, name: str) -> None:
    with pytest.raises(KeyError):
        await read(reader, name)


async def test_a_gauge_whose_name_looks_like_a_quantile_is_found(reader: ToldReader) -> None:
    reader.metrics = {**reader.metrics, "wait_p95": type(DEPTH)("wait_p95", DEPTH.kind, "Wait.")}
    reader.tell("wait_p95", 7)
    assert await value(reader, "wait_p95") == 7


@pytest.mark.parametrize(("age_seconds", "good"), [(89.0, True), (91.0, False), (3600.0, False), (-5.0, True)])
async def test_what_ends_too_long_ago_is_no_value(reader: ToldReader, age_seconds: float, good: bool) -> None:
    reader.tell("app_requests", 300, source="router", code="200")
    reader.watermark = NOW_NS - int(age_seconds * S)
    if good:
        assert await value(reader, "requests_per_second") == 5.0
    else:
        with pytest.raises(StaleError, match="s ago"):
            await read(reader, "requests_per_second")


async def test_a_part_that_is_missing_is_an_error_and_no_smaller_sum(reader: ToldReader) -> None:
    reader.tell("app_requests", 300, source="router", code="200")
    reader.broken = "shard 3 has no owner"
    with pytest.raises(IncompleteError, match="shard 3"):
        await read(reader, "requests_per_second")
    reader.broken, reader.unattributed = "", 1
    with pytest.raises(IncompleteError):
        await read(reader, "requests_per_second")


async def test_shards_that_have_heard_nothing_yet_know_nothing(reader: ToldReader) -> None:
    reader.watermark = 0
    with pytest.raises(IncompleteError, match="heard yet"):
        await read(reader, "requests_per_second")


async def test_a_watermark_that_fell_behind_the_window_meanwhile_is_an_error(reader: ToldReader) -> None:
    class Falling(ToldReader):
        async def watermark_ns(self) -> int:
            return self.watermark + 30 * S

    with pytest.raises(IncompleteError, match="changed hands"):
        await read(Falling(), "requests_per_second")


def test_the_usual_names_of_a_metric_mean_it() -> None:
    for metric in (REQUESTS, DURATIONS, DEPTH):
        for name in names_of(metric):
            assert metric.name in {meaning.metric for meaning in meanings_of(name)}
