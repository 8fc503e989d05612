"""Who may read what."""

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from logger.api import build_api, build_deis_api, check_access
from logger.api.auth import make_access
from logger.reading import follow as follows
from logger.settings import LoggerSettings
from pipeline import auth
from pipeline.auth import parse_tokens
from pipeline.errors import SettingsError
from pipeline.service import Health, listening

ONE, ALL, OTHER = "one-token-0123456789", "all-token-0123456789", "not-a-token-0123456789"


@pytest.fixture
def tokens(tmp_path: Path) -> Any:
    """A file with a token for one app and one for all."""
    path = tmp_path / "tokens"
    path.write_text(f"# who\n\n{ONE} alice demo,also\n{ALL} root *\n")
    return path


def bearer(token: str) -> Any:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
async def served(pipeline: Any, make: Any, serve: Any, tokens: Any) -> AsyncIterator[Any]:
    """Two apps, and tokens."""
    pipeline.append(make.numbered("demo", 5), make.numbered("secret", 5))
    async with serve(pipeline, tokens=str(tokens)) as served:
        yield served


ROUTES = ["/v1/apps/{app}/logs", "/v1/apps/{app}/logs/follow"]


@pytest.mark.parametrize("path", ["/v1/apps", *(route.format(app="demo") for route in ROUTES), "/v1/nope", "/v1"])
@pytest.mark.parametrize(
    "headers",
    [{}, bearer(OTHER), bearer(""), {"Authorization": ONE}, {"Authorization": f"Basic {ONE}"}, bearer(ONE + "x")],
    ids=["none", "wrong", "empty", "bare", "basic", "longer"],
)
async def test_without_a_valid_token_there_is_nothing(served: Any, path: str, headers: Any) -> None:
    """Not even which routes there are."""
    async with served.client.get(path, headers=headers) as answer:
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert "error" in await answer.json()
    assert served.registry.get_sample_value("logger_tokens_refused_total") >= 1


@pytest.mark.parametrize("app", ["secret", "nobody"])
@pytest.mark.parametrize("route", ROUTES)
async def test_another_app_is_forbidden_whether_it_exists_or_not(served: Any, route: Any, app: str) -> None:
    """The answers do not differ."""
    status, headers, body = await served.get(route.format(app=app), headers=bearer(ONE))
    assert status == 403
    assert json.loads(body) == {"error": "the token does not open this app"}
    assert "Complete-Up-To" not in headers


async def test_deleting_needs_the_app(served: Any) -> None:
    """As reading does."""
    for app, token, status in (("secret", ONE, 403), ("demo", OTHER, 401), ("demo", ONE, 204), ("secret", ALL, 204)):
        async with served.client.delete(f"/v1/apps/{app}", headers=bearer(token)) as answer:
            assert answer.status == status


async def test_the_list_of_apps_is_that_of_the_token(served: Any) -> None:
    """No name of another app, and all for `*`."""
    for token, expected in ((ONE, ["demo"]), (ALL, ["demo", "secret"])):
        _, _, body = await served.get("/v1/apps", headers=bearer(token))
        assert [app["app"] for app in json.loads(body)["apps"]] == expected


async def test_no_format_of_an_answer_names_another_app(served: Any, pipeline: Any) -> None:
    """A data file's own metadata lists all apps in it."""
    pipeline.commit(evict=True)
    for form in ("ndjson", "text", "csv", "arrow"):
        status, _, body = await served.get(f"/v1/apps/demo/logs?format={form}", headers=bearer(ONE))
        assert status == 200
        assert b"deis.index" not in body
        assert b"secret" not in body


async def test_health_and_the_contract_on_loopback_need_no_token(served: Any) -> None:
    """The contract knows none."""
    for path in ("/healthz", "/readyz", "/metrics", "/logs/demo"):
        assert (await served.get(path))[0] == 200


async def test_the_contract_needs_a_token_where_the_network_reaches_it(pipeline: Any, make: Any, tokens: Any) -> None:
    """Unless it has a listener of its own, which then has nothing else."""
    pipeline.append(make.numbered("demo", 1), make.numbered("secret", 1))
    settings = LoggerSettings(listen="0.0.0.0:0", tokens=str(tokens))
    app = build_api(reader=pipeline.reader, settings=settings, health=Health(), registry=CollectorRegistry())
    async with listening(app, "127.0.0.1:0") as port:
        for path, token, status in (
            ("demo", None, 401),
            ("demo", ONE, 200),
            ("secret", ONE, 403),
            ("secret", ALL, 200),
        ):
            assert await status_of(port, f"/logs/{path}", token) == status


async def test_a_listener_of_its_own_takes_the_contract_away_from_the_other(pipeline: Any, make: Any) -> None:
    """Each answers its own routes only."""
    pipeline.append(make.numbered("demo", 1))
    settings = LoggerSettings(deis_listen="127.0.0.1:0")
    registry = CollectorRegistry()
    app = build_api(reader=pipeline.reader, settings=settings, health=Health(), registry=registry)
    deis = build_deis_api(reader=pipeline.reader, health=Health(), registry=registry)
    async with listening(app, "127.0.0.1:0") as port, listening(deis, "127.0.0.1:0") as deis_port:
        assert await status_of(port, "/logs/demo", None) == 404
        assert await status_of(port, "/v1/apps", None) == 200
        assert await status_of(deis_port, "/logs/demo", None) == 200
        assert await status_of(deis_port, "/v1/apps", None) == 404
        assert await status_of(deis_port, "/healthz", None) == 200


async def status_of(port: int, path: str, token: str) -> Any:
    import aiohttp  # noqa: PLC0415 - used here only

    headers = {} if token is None else bearer(token)
    async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{port}{path}", headers=headers) as got:
        return got.status


async def test_a_revoked_token_ends_an_open_follow(served: Any, tokens: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the next watermark, which comes every few seconds, with the reason."""
    monkeypatch.setattr(auth, "RELOAD_SECONDS", 0.0)
    monkeypatch.setattr(follows, "WATERMARK_SECONDS", 0.02)
    async with served.client.get("/v1/apps/demo/logs/follow?format=ndjson&lines=1", headers=bearer(ONE)) as answer:
        await answer.content.readline()
        tokens.write_text(f"{ALL} root *\n")
        while True:
            line = json.loads(await answer.content.readline())
            if line["type"] == "end":
                break
        assert "token" in line["reason"]


@pytest.mark.parametrize(
    ("settings", "refused"),
    [
        ({"listen": "0.0.0.0:8088"}, "LOGGER_LISTEN"),
        ({"listen": ":8088"}, "LOGGER_LISTEN"),
        ({"listen": "[::]:8088"}, "LOGGER_LISTEN"),
        ({"listen": "10.0.0.1:8088"}, "LOGGER_LISTEN"),
        ({"listen": "127.0.0.1:8088"}, None),
        ({"listen": "[::1]:8088"}, None),
        ({"listen": "localhost:8088"}, None),
        ({"tokens": "/nonexistent"}, "LOGGER_TOKENS"),
        ({"listen": "0.0.0.0:8088", "tokens": "{good}"}, None),
        ({"tokens": "{bad}"}, "LOGGER_TOKENS"),
        ({"tokens": "{empty}", "listen": "0.0.0.0:8088"}, None),
    ],
)
def test_unsafe_settings_are_refused_by_name(tmp_path: Path, tokens: Any, settings: Any, refused: str) -> None:
    """Before anything listens."""
    (tmp_path / "bad").write_text("short alice demo\n")
    (tmp_path / "empty").write_text("")
    paths = {"good": tokens, "bad": tmp_path / "bad", "empty": tmp_path / "empty"}
    chosen = LoggerSettings(**{name: value.format(**paths) for name, value in settings.items()})
    if refused is None:
        check_access(chosen)
        return
    with pytest.raises(SettingsError, match=refused):
        check_access(chosen)


@pytest.mark.parametrize(
    "text",
    ["short a demo", f"{ONE} alice", f"{ONE} alice demo extra", f"{ONE} alice demo,,x", f"{ONE} a b\n{ONE} c d",
     f"{ONE} alice {'x' * 300}"],
)  # fmt: skip
def test_a_bad_line_is_named_by_number_and_never_shown(text: str) -> None:
    """A message in a log must not hold a token."""
    with pytest.raises(ValueError, match=r"line [12] ") as caught:
        parse_tokens(text)
    assert ONE not in str(caught.value)


def test_a_bad_file_keeps_the_last_good_one_and_is_counted(tokens: Any) -> None:
    """And a good one that follows is taken."""
    seconds, registry = [0.0], CollectorRegistry()
    access = make_access(str(tokens), registry=registry, clock=lambda: seconds[0])
    grant = access.grant(f"Bearer {ONE}")
    for step, (content, valid, failures) in enumerate(
        [("garbage\n", True, 1), (None, True, 2), (f"{ALL} root *\n", False, 2), (f"{ONE} alice demo\n", True, 2)], 1
    ):
        tokens.unlink(missing_ok=True)
        if content is not None:
            tokens.write_text(content)
            os.utime(tokens, ns=(step, step))
        seconds[0] += 2
        assert access.still_opens(grant, "demo") is valid
        assert (access.grant(f"bearer {ONE}") is not None) is valid
        assert registry.get_sample_value("logger_tokens_reload_failures_total") >= failures
    assert not access.still_opens(grant, "also")
