"""Settings come from the environment, and what is wrong is named."""

import traceback

import pytest
from pydantic import Field, SecretStr, TypeAdapter, ValidationError

from pipeline.errors import SettingsError
from pipeline.settings import CommonSettings, Listen, is_loopback, split_listen


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of the variables is set, whatever the shell has."""
    for field in CommonSettings.model_fields.values():
        monkeypatch.delenv(str(field.validation_alias), raising=False)


def test_defaults_need_no_variable() -> None:
    settings = CommonSettings.load()
    assert (settings.queue_url, settings.log_level, settings.log_format, settings.failpoint) == (
        "sqlite:///var/queue.db",
        "info",
        "auto",
        "",
    )


def test_variables_are_read_under_their_full_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUEUE_URL", "sqlite:////elsewhere.db")
    monkeypatch.setenv("LOG_LEVEL", "debug")
    assert CommonSettings.load().queue_url == "sqlite:////elsewhere.db"
    assert CommonSettings.load().log_level == "debug"


def test_a_wrong_value_names_the_variable_and_what_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "loud")
    with pytest.raises(SettingsError, match=r"LOG_LEVEL='loud'.*debug\|info\|warning\|error"):
        CommonSettings.load()


def test_a_wrong_address_is_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    class Settings(CommonSettings):
        listen: Listen = Field(":1", validation_alias="SOME_LISTEN")

    monkeypatch.setenv("SOME_LISTEN", "nowhere")
    with pytest.raises(SettingsError, match=r"^SOME_LISTEN='nowhere': not host:port, \[v6\]:port or :port"):
        Settings.load()


@pytest.mark.parametrize(
    ("listen", "host", "port", "loopback"),
    [
        ("127.0.0.1:8088", "127.0.0.1", 8088, True),
        ("127.1.2.3:1", "127.1.2.3", 1, True),
        ("localhost:80", "localhost", 80, True),
        ("[::1]:80", "::1", 80, True),
        (":8088", "0.0.0.0", 8088, False),
        ("0.0.0.0:8088", "0.0.0.0", 8088, False),
        ("[::]:80", "::", 80, False),
        ("10.0.0.1:80", "10.0.0.1", 80, False),
        ("127.0.0.1.example.org:80", "127.0.0.1.example.org", 80, False),
    ],
)
def test_a_listen_address_is_split_and_known_to_be_local(listen: str, host: str, port: int, loopback: bool) -> None:
    assert split_listen(listen) == (host, port)
    assert is_loopback(listen) == loopback


@pytest.mark.parametrize(
    "listen", ["", "8088", "host:", "host:port", "host:65536", "a b:80", "::1:80", "host:80\n", "host:٨"]
)
def test_what_is_no_listen_address_is_refused(listen: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Listen).validate_python(listen)


class _Secretive(CommonSettings):
    secret: SecretStr = Field(SecretStr("x" * 16), min_length=16, validation_alias="THE_SECRET")


def test_a_secret_that_is_refused_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_SECRET", "hunter2")
    with pytest.raises(SettingsError, match=r"^THE_SECRET: ") as refused:
        _Secretive.load()
    assert "hunter2" not in "".join(traceback.format_exception(refused.value))
