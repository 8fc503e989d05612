"""The autoscaler that `deis-telemetry hpa` prints."""

from collections.abc import Callable
from typing import Any

import pytest
import yaml

WEB = ("hpa", "shop", "--target", "50", "--min", "2", "--max", "20", "--offline")


def test_an_autoscaler_is_printed_with_everything_said(run: Callable[..., Any]) -> None:
    outcome = run(*WEB)
    assert outcome.status == 0
    assert outcome.err == ""
    printed = yaml.safe_load(outcome.out)
    assert printed["metadata"]["name"] == "shop-web-telemetry"
    assert printed["spec"]["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop-web"}
    assert (printed["spec"]["minReplicas"], printed["spec"]["maxReplicas"]) == (2, 20)
    (metric,) = printed["spec"]["metrics"]
    assert metric["external"]["metric"] == {
        "name": "requests_per_second",
        "selector": {"matchLabels": {"app": "shop", "process": "web"}},
    }
    assert metric["external"]["target"] == {"type": "AverageValue", "averageValue": "50"}
    assert set(printed["spec"]["behavior"]) == {"scaleUp", "scaleDown"}


@pytest.mark.parametrize(
    ("metric", "kind"),
    [
        ("requests_per_second", "AverageValue"),
        ("queue_depth", "AverageValue"),
        ("error_ratio", "Value"),
        ("latency_p95_seconds", "Value"),
        ("job_seconds_p99", "Value"),
    ],
)
def test_what_more_pods_do_not_divide_is_no_average(run: Callable[..., Any], metric: str, kind: str) -> None:
    for form in ("external", "object"):
        printed = yaml.safe_load(run(*WEB, "--metric", metric, "--form", form).out)
        (told,) = printed["spec"]["metrics"]
        assert told[form]["target"]["type"] == kind


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--target", "fast"), "--target"),
        (("--target", "0"), "--target"),
        (("--target", "-1"), "--target"),
        (("--min", "3", "--max", "2"), "--min"),
        (("--min", "0"), "--min"),
        (("--process", "web/../x"), "--process"),
        (("--metric", "a b"), "--metric"),
        (("--namespace", "Shop"), "--namespace"),
        (("--apply",), "--offline"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_asked(
    run: Callable[..., Any], arguments: tuple[str, ...], said: str
) -> None:
    outcome = run(*WEB, *arguments)
    assert outcome.status == 2
    assert said in outcome.err
    assert outcome.out == ""


def test_an_app_s_name_cannot_break_out_of_its_place(run: Callable[..., Any]) -> None:
    outcome = run("hpa", "x\n- evil: 1", "--target", "1", "--offline")
    assert outcome.status == 2
    assert outcome.out == ""


def test_without_a_cluster_it_is_printed_and_what_was_not_looked_for_is_said(run: Callable[..., Any]) -> None:
    outcome = run("hpa", "shop", "--target", "50")
    assert outcome.status == 0
    assert yaml.safe_load(outcome.out)["kind"] == "HorizontalPodAutoscaler"
    assert "not looked for other autoscalers of shop-web" in outcome.err


def test_without_a_cluster_nothing_is_applied(run: Callable[..., Any]) -> None:
    outcome = run("hpa", "shop", "--target", "50", "--apply")
    assert outcome.status == 1
    assert outcome.out == ""
