"""Which logger, which token, which app."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deis_logs.errors import CliError, UsageError
from deis_logs.profile import (
    LOGGER,
    Profile,
    app_from_git,
    app_of_remotes,
    read_profile,
    resolve_target,
    service_url,
)

TOKEN = "ab" * 20
FROM_FILE, FROM_ENV = "of-the-file", "of-the-environment"


def write_profile(home: Path, name: str, **changes: Any) -> Path:
    path = home / name
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"username": "u", "ssl_verify": True, "controller": "https://deis.example.com", "token": TOKEN}
    path.write_text(json.dumps(content | {"response_limit": 0} | changes))
    return path


@pytest.mark.parametrize(
    ("files", "env", "controller"),
    [
        ([".deis/client.json"], {}, ".deis/client.json"),
        ([".hephy/client.json"], {}, ".hephy/client.json"),
        ([".deis/client.json", ".hephy/client.json"], {}, ".deis/client.json"),
        ([".deis/client.json", ".deis/staging.json"], {"DEIS_PROFILE": "staging"}, ".deis/staging.json"),
        ([".deis/client.json", ".hephy/staging.json"], {"HEPHY_PROFILE": "staging"}, ".hephy/staging.json"),
        ([".deis/client.json", "other.json"], {"DEIS_PROFILE": "~/other.json"}, "other.json"),
        ([], {}, None),
    ],
)
def test_the_profile_is_the_one_named_or_the_one_there(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: list[str],
    env: dict[str, str],
    controller: str | None,
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in files:
        write_profile(tmp_path, name, controller=name)
    profile = read_profile(env, tmp_path)
    assert (profile and profile.controller) == controller


def test_a_profile_that_is_named_and_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="DEIS_PROFILE=gone"):
        read_profile({"DEIS_PROFILE": "gone"}, tmp_path)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b'{"token": 5}', b'{"controller": null}'])
def test_a_profile_that_is_none_is_told_with_its_path(tmp_path: Path, content: bytes) -> None:
    path = write_profile(tmp_path, ".deis/client.json")
    path.write_bytes(content)
    with pytest.raises(CliError, match=r"client\.json"):
        read_profile({}, tmp_path)


@pytest.mark.parametrize(
    ("controller", "url"),
    [
        ("https://deis.example.com", "https://logs.example.com"),
        ("http://deis.example.com:8080/", "http://logs.example.com:8080"),
        ("http://DEIS.10.0.0.1.nip.io", "http://logs.10.0.0.1.nip.io"),
        ("https://controller.example.com", None),
        ("http://10.0.0.1", None),
        ("ftp://deis.example.com", None),
        ("http://deis.example.com:port", None),
        ("", None),
    ],
)
def test_the_logger_s_host_is_the_controller_s_with_logs_in_place_of_deis(controller: str, url: str | None) -> None:
    assert service_url(controller) == url


def target_of(url: str | None = None, env: dict[str, str] | None = None, **changes: Any) -> Any:
    profile = Profile(**({"controller": "https://deis.example.com", "token": TOKEN, "ssl_verify": False} | changes))
    return resolve_target(url=url, token_file=None, env=env or {}, profile=profile)


def test_option_then_profile_then_default_name_the_logger() -> None:
    assert target_of("http://other.test/base/").url == "http://other.test/base"
    assert target_of().url == "https://logs.example.com"
    assert target_of(controller="http://10.0.0.1").url == LOGGER.url
    assert resolve_target(url=None, token_file=None, env={}, profile=None).url == LOGGER.url


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        (None, True),
        ("https://logs.example.com", True),
        ("https://tail.example.com:8443", True),
        ("https://logs.example.com.evil.test", False),
        ("https://logs.evil.test", False),
        ("https://example.com", False),
        ("http://127.0.0.1:8088", False),
    ],
)
def test_the_profile_s_token_and_its_trust_stay_in_the_controller_s_domain(url: str | None, sent: bool) -> None:
    target = target_of(url)
    assert target.token == (TOKEN if sent else "")
    assert target.verify is not sent


@pytest.mark.parametrize(
    ("controller", "url"),
    [("https://deis.com", "https://evil.com"), ("http://10.0.0.1", "http://10.0.0.2"), ("http://deis", "http://logs")],
)
def test_a_top_level_domain_or_a_network_is_no_domain_of_one_owner(controller: str, url: str) -> None:
    assert target_of(url, controller=controller).token == ""


def test_a_token_file_comes_before_the_environment_and_that_before_the_profile(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(f"{FROM_FILE}\n")
    env = {"DEIS_LOGS_TOKEN": FROM_ENV}
    assert resolve_target(url="http://x.test", token_file=path, env=env, profile=None).token == FROM_FILE
    assert target_of(env=env).token == FROM_ENV
    assert FROM_ENV not in repr(target_of(env=env))


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "é", "x" * 5000])
def test_a_token_that_no_header_can_hold_is_told_without_showing_it(token: str) -> None:
    with pytest.raises(UsageError) as error:
        target_of(env={"DEIS_LOGS_TOKEN": token})
    assert token not in str(error.value)


@pytest.mark.parametrize(
    "url", ["logs.example.com", "ftp://x", "http://", "http://x:y", "http://x/?a=b", "http://u:p@x", "http://[::1"]
)
def test_what_is_no_url_is_told(url: str) -> None:
    with pytest.raises(UsageError, match="--url"):
        target_of(url)


@pytest.mark.parametrize(
    ("remote", "app"),
    [
        ("ssh://git@deis-builder.example.com:2222/shop.git", "shop"),
        ("ssh://git@deis.example.com:2222/shop.git", "shop"),
        ("git@deis-builder.example.com:shop.git", "shop"),
        ("https://deis.example.com/shop.git", "shop"),
        ("git@github.com:me/shop.git", None),
        ("ssh://git@deis-builder.example.com.evil.test/shop.git", None),
        ("ssh://git@deis-builder.example.com/../x.git", None),
        ("ssh://git@deis-builder.example.com/shop", None),
        ("/srv/git/shop.git", None),
        ("", None),
    ],
)
def test_the_app_is_that_of_the_remote_on_the_controller(remote: str, app: str | None) -> None:
    remotes = f"origin\tgit@github.com:me/other.git (fetch)\ndeis\t{remote} (fetch)\ndeis\t{remote} (push)\n"
    assert app_of_remotes(remotes, controller_host="deis.example.com") == app


def test_the_app_is_found_in_a_real_repository(tmp_path: Path) -> None:
    git = ["git", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "-q"], check=True)
    url = "ssh://git@deis-builder.example.com:2222/shop.git"
    subprocess.run([*git, "remote", "add", "deis", url], check=True)
    assert app_from_git("deis.example.com", directory=tmp_path) == "shop"
    assert app_from_git("deis.other.test", directory=tmp_path) is None
    assert app_from_git("deis.example.com", directory=tmp_path / "gone") is None


def test_the_command_uses_the_directory_s_app_and_sends_the_token(
    server: Any, run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_profile(tmp_path / "home", ".deis/client.json", controller="http://127.0.0.1")
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    subprocess.run(["git", "-C", str(tmp_path), "remote", "add", "deis", "ssh://git@127.0.0.1/shop.git"], check=True)
    monkeypatch.chdir(tmp_path)
    assert run("search").status == 0
    assert server.requests[0][0] == "/v1/apps/shop/logs"
    assert server.tokens[-1] == f"Bearer {TOKEN}"


def test_this_machine_is_reached_without_a_proxy(
    server: Any, run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert run("apps").status == 0
    assert len(server.requests) == 1


def test_other_machines_are_reached_through_the_proxy_with_the_token_and_not_with_netrc(
    server: Any, run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    (tmp_path / "home" / ".netrc").write_text("machine logs.test login me password secret\n")
    monkeypatch.setenv("DEIS_LOGS_TOKEN", TOKEN)
    assert run("apps", "--url", "http://logs.test").status == 0
    assert server.tokens == [f"Bearer {TOKEN}"]
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:1")
    outcome = run("apps", "--url", "http://logs.test")
    assert outcome.status == 2
    assert "HTTP_PROXY" in outcome.err


def test_without_an_app_the_command_says_how_to_name_one(run: Callable[..., Any], server: Any) -> None:
    outcome = run("tail")
    assert outcome.status == 2
    assert "-a APP" in outcome.err
    assert server.requests == []
