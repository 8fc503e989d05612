"""Whose lines a message is: as the operator's rules say, never as the client says."""

from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fluentd.pods.names import safe_name
from fluentd.syslog.message import Message, parse_message
from fluentd.syslog.naming import Naming, parse_rules
from fluentd.syslog.settings import SyslogSettings
from pipeline.limits import NAME_BYTES

_RULES = "facility:authpriv=security, name:etcd=etcd, host:db-*=database, name:*=programs"


def _message(text: bytes) -> Message | None:
    return parse_message(text, now_ns=0, zone=UTC)


@pytest.mark.parametrize(
    ("message", "whose"),
    [
        (b"<85>1 - db-1 etcd - - - x", ("security", "etcd")),
        (b"<30>1 - db-1 etcd - - - x", ("etcd", "etcd")),
        (b"<30>1 - db-1 sshd - - - x", ("database", "sshd")),
        (b"<30>1 - h sshd - - - x", ("programs", "sshd")),
        (b"<30>1 - h - - - - x", ("programs", "")),
        (b"no message", ("rest", "@malformed")),
    ],
)
def test_the_first_rule_that_fits_tells_the_app(message: bytes, whose: tuple[str, str]) -> None:
    assert Naming(parse_rules(_RULES), app="rest").whose(_message(message)) == whose


def test_without_a_rule_that_fits_it_is_the_app_of_the_setting() -> None:
    assert Naming((), app="rest").whose(_message(b"<30>1 - h sshd - - - x")) == ("rest", "sshd")


@given(name=st.binary(min_size=1, max_size=300), host=st.binary(min_size=1, max_size=300))
def test_no_name_of_a_client_is_an_app_or_a_process_of_the_platform(name: bytes, host: bytes) -> None:
    message = Message(3, 6, 0, None, host, name, b"", b"", b"", b"")  # type: ignore[arg-type]
    app, process = Naming(parse_rules("host:db-*=database"), app="rest").whose(message)
    assert app in ("rest", "database")
    assert process == safe_name(process)
    assert len(process) <= NAME_BYTES


@pytest.mark.parametrize(
    "rules",
    ["name", "name:x", "name:=x", "program:x=y", "facility:nope=x", "name:x=", "name:x=a b", "name:x=@controller",
     ",".join(["name:x=y"] * 101)],
)  # fmt: skip
def test_rules_that_make_no_sense_are_refused_at_the_start(rules: str) -> None:
    with pytest.raises(ValidationError):
        SyslogSettings(syslog_apps=rules)


@pytest.mark.parametrize("settings", [{"syslog_zone": "Nowhere"}, {"syslog_app": "@controller"}, {"syslog_app": ""}])
def test_other_settings_that_make_no_sense_are_refused_too(settings: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        SyslogSettings(**settings)
