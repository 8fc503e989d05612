"""Every route and every parameter stands in `docs/api.md`, and nothing stands there that is not so."""

import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from logger.api import build_api, build_deis_api, params
from logger.api.deis import MOST_LINES
from logger.settings import LoggerSettings
from pipeline.service import Health

TEXT = (Path(__file__).parents[3] / "docs" / "api.md").read_text()
PAGE = TEXT.partition("### GET /v1/apps/{app}/logs\n")[2].partition("###")[0]
FOLLOW = TEXT.partition("### GET /v1/apps/{app}/logs/follow\n")[2].partition("###")[0]
ROUTE = re.compile(r"(GET|POST|DELETE) (/[a-z0-9/{}]+)")


def routes_of(app: Any) -> set[tuple[str, str]]:
    """Methods and paths, without trailing slashes and the HEAD that goes with a GET."""
    return {
        (route.method, route.resource.canonical.rstrip("/"))
        for route in app.router.routes()
        if route.method != "HEAD" and route.resource is not None
    }


@pytest.fixture
def routes(pipeline: Any) -> set[tuple[str, str]]:
    """What the logger answers, on whichever listener."""
    reader, health = pipeline.reader, Health()
    api = build_api(
        reader=reader,
        settings=LoggerSettings(),
        health=health,
        registry=CollectorRegistry(),
        peer_secret="of loggers",  # noqa: S106
    )
    return routes_of(api) | routes_of(build_deis_api(reader=reader, health=health, registry=CollectorRegistry()))


def test_every_route_is_documented_and_every_documented_route_is_there(routes: set[tuple[str, str]]) -> None:
    """Both ways."""
    assert set(ROUTE.findall(TEXT)) == routes


def documented(table: str) -> set[str]:
    """Names in the first column of a table."""
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| ")]
    return {name.strip() for cell in cells for name in cell.split(",")} - {"parameter", "---"}


def test_every_parameter_of_a_page_is_documented() -> None:
    """And no other is."""
    assert documented(PAGE) == set(params.PAGE_PARAMETERS)


@pytest.mark.parametrize("name", params.FOLLOW_PARAMETERS)
def test_every_parameter_of_a_follow_is_documented(name: str) -> None:
    """By its name, or as a filter of a page."""
    assert f"`{name}`" in FOLLOW or f"{name}=" in FOLLOW or name in params.FILTERS


@pytest.mark.parametrize(
    "fact",
    [
        *(f"`{form}`" for form in params.PAGE_FORMATS),
        f"1 to {params.PAGE_LINES}",
        f"0 to {params.CONTEXT_LINES}",
        f"{MOST_LINES:,}",
        "Complete-Up-To",
        "Next-Cursor",
        "Last-Event-ID",
        "LOGGER_TOKENS",
        "LOGGER_DEIS_LISTEN",
        "LOGGER_FOLLOWER_LINES",
        "LOGGER_FOLLOWERS",
        "log_lines",
    ],
)
def test_bounds_and_headers_are_documented(fact: str) -> None:
    """A bound that changes here changes there."""
    assert fact in TEXT
