"""The handshake: who knows no key writes nothing, and who knows one writes what it opens."""

import hashlib
import json
from pathlib import Path
from typing import Any

import msgpack
import pytest

from fluentd.forward.access import Access, Grant, Handshake, Key, User, read_access
from fluentd.forward.errors import RefusedError
from pipeline.errors import SettingsError

ACCESS = Access(
    {"all": Key("secret"), "shop": Key("shop-secret", frozenset({"shop", "blog"}))},
    {"ann": User("pw"), "bob": User("bobs", frozenset({"blog", "wiki"}))},
)


def digest(*parts: bytes) -> str:
    return hashlib.sha512(b"".join(parts)).hexdigest()


def ping(hello: bytes, *, key: str, user: str = "", password: str = "", as_str: bool = False) -> bytes:
    """What a client answers."""
    kind, options = msgpack.unpackb(hello)
    assert kind == "HELO"
    assert options["keepalive"] is True
    salt, host = b"\xff\x00salt", b"client"
    parts = [
        "PING",
        host.decode(),
        salt,
        digest(salt, host, options["nonce"], key.encode()),
        user,
        digest(options["auth"], user.encode(), password.encode()) if user else "",
    ]
    return msgpack.packb(parts, use_bin_type=not as_str)


@pytest.mark.parametrize("as_str", [False, True])
@pytest.mark.parametrize(
    ("access", "key", "user", "grant"),
    [
        (Access({"all": Key("secret")}), "secret", ("", ""), Grant("all")),
        (ACCESS, "secret", ("ann", "pw"), Grant("all/ann")),
        (ACCESS, "secret", ("bob", "bobs"), Grant("all/bob", frozenset({"blog", "wiki"}))),
        (ACCESS, "shop-secret", ("ann", "pw"), Grant("shop/ann", frozenset({"shop", "blog"}))),
        (ACCESS, "shop-secret", ("bob", "bobs"), Grant("shop/bob", frozenset({"blog"}))),
    ],
)
def test_a_key_and_a_user_open_what_both_may_write(
    access: Access, key: str, user: tuple[str, str], grant: Grant, as_str: bool
) -> None:
    handshake = Handshake(access, hostname="node-1")
    hello = handshake.hello()
    given, pong = handshake.check(ping(hello, key=key, user=user[0], password=user[1], as_str=as_str))
    assert given == grant
    nonce = msgpack.unpackb(hello)[1]["nonce"]
    assert msgpack.unpackb(pong) == [
        "PONG",
        True,
        "",
        "node-1",
        digest(b"\xff\x00salt", b"node-1", nonce, key.encode()),
    ]


@pytest.mark.parametrize(
    ("key", "user", "password", "reason"),
    [
        ("wrong", "ann", "pw", "shared key mismatch"),
        ("", "ann", "pw", "shared key mismatch"),
        ("secret", "ann", "wrong", "username/password mismatch"),
        ("secret", "nobody", "", "username/password mismatch"),
        ("secret", "", "", "username/password mismatch"),
    ],
)
def test_a_wrong_key_user_or_password_opens_nothing(key: str, user: str, password: str, reason: str) -> None:
    handshake = Handshake(ACCESS, hostname="node-1")
    given, pong = handshake.check(ping(handshake.hello(), key=key, user=user, password=password))
    assert given is None
    assert msgpack.unpackb(pong) == ["PONG", False, reason, "", ""]


def test_a_ping_that_was_overheard_is_of_no_use_later() -> None:
    access = Access({"all": Key("secret")})
    overheard = ping(Handshake(access, hostname="n").hello(), key="secret")
    assert Handshake(access, hostname="n").check(overheard)[0] is None


@pytest.mark.parametrize(
    "value",
    [None, 7, [], ["PING"], ["PONG", "", "", "", "", ""], ["PING", 1, 2, 3, 4, 5], ["PING", [], {}, "", "", ""]],
)
def test_what_is_no_ping_is_refused(value: Any) -> None:
    with pytest.raises(RefusedError):
        Handshake(ACCESS, hostname="n").check(msgpack.packb(value))


def test_a_file_says_keys_and_users(tmp_path: Path) -> None:
    path = tmp_path / "access.json"
    path.write_text(json.dumps({"keys": {"k": {"key": "s", "apps": ["a"]}}, "users": {"u": {"password": "p"}}}))
    access = read_access(path, shared_key="env")
    assert access.keys == {"k": Key("s", frozenset({"a"})), "AGENT_FORWARD_SHARED_KEY": Key("env")}
    assert access.users == {"u": User("p")}
    assert not read_access(None, shared_key="").asks


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"key": "hidden"}',
        '{"keys": {"k": "hidden"}}',
        '{"keys": {"k": {"key": ""}}}',
        '{"users": {"u": {"password": "hidden"}}}',
        '{"keys": {"k": {"key": "hidden", "apps": "x"}}}',
    ],
)
def test_a_wrong_file_is_named_and_its_secrets_are_not(tmp_path: Path, text: str) -> None:
    path = tmp_path / "access.json"
    path.write_text(text)
    with pytest.raises(SettingsError, match="AGENT_FORWARD_ACCESS") as wrong:
        read_access(path, shared_key="")
    assert "hidden" not in str(wrong.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="AGENT_FORWARD_ACCESS"):
        read_access(tmp_path / "none", shared_key="")
