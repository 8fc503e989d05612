"""TLS and SASL: how a client proves who it is, and checks who the brokers are."""

import ssl
from pathlib import Path
from typing import Any

import structlog
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from pipeline.errors import SettingsError
from pipeline.queue.kafka.options import KafkaOptions

log = structlog.get_logger()


class QueueSecrets(BaseSettings):
    """The login for the queue, from the environment, where the URL does not say."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    user: str = Field(
        default="",
        validation_alias="QUEUE_USER",
        description="User for a Kafka queue with `sasl`, unless its URL has the option `user`.",
    )
    password: SecretStr = Field(
        default=SecretStr(""),
        validation_alias="QUEUE_PASSWORD",
        description="The user's password. Better in a file, since other processes may read an environment.",
    )
    password_file: Path | None = Field(
        default=None,
        validation_alias="QUEUE_PASSWORD_FILE",
        description="File with the user's password, unless the URL has the option `password_file`.",
    )


def read_login(options: KafkaOptions) -> dict[str, Any]:
    """What the client library needs to connect; read anew for each connection, so that secrets can be rotated.

    Raises:
        SettingsError: A file cannot be read or does not hold what it should, or a secret is missing.
    """
    arguments: dict[str, Any] = {"security_protocol": _protocol(options)}
    if options.tls:
        arguments["ssl_context"] = _tls(options)
    if options.sasl:
        user, password = _credentials(options)
        arguments |= {
            "sasl_mechanism": options.sasl,
            "sasl_plain_username": user,
            "sasl_plain_password": password.get_secret_value(),
        }
    return arguments


def warn_of_open_password(options: KafkaOptions) -> None:
    """Say once that a password crosses the network in the open."""
    if options.sasl == "PLAIN" and not options.tls:
        log.warning("the queue's password is sent in the open, set tls=1", queue=str(options))


def _protocol(options: KafkaOptions) -> str:
    return ("SASL_" if options.sasl else "") + ("SSL" if options.tls else "PLAINTEXT")


def _tls(options: KafkaOptions) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=options.ca_file)
        if options.cert_file is not None:
            # Without a password, an encrypted key would make OpenSSL ask on the terminal.
            context.load_cert_chain(options.cert_file, options.key_file, password=lambda: b"")
    except (OSError, ValueError) as error:
        names = ", ".join(str(name) for name in (options.ca_file, options.cert_file, options.key_file) if name)
        raise SettingsError(f"QUEUE_URL: certificates or key in {names}: {error}") from error
    return context


def _credentials(options: KafkaOptions) -> tuple[str, SecretStr]:
    try:
        secrets = QueueSecrets()
    except ValidationError as error:
        raise SettingsError("QUEUE_USER, QUEUE_PASSWORD or QUEUE_PASSWORD_FILE is not valid") from error
    user = options.user or secrets.user
    password_file = options.password_file or secrets.password_file
    password = secrets.password if password_file is None else _read(password_file)
    if not user:
        raise SettingsError("QUEUE_URL: sasl needs a user: set the option user, or QUEUE_USER")
    if not password.get_secret_value():
        raise SettingsError("QUEUE_URL: sasl needs a password: set the option password_file, or QUEUE_PASSWORD[_FILE]")
    return user, password


def _read(path: Path) -> SecretStr:
    try:
        return SecretStr(path.read_text(encoding="utf-8").rstrip("\r\n"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"  # never what the file holds
        raise SettingsError(f"QUEUE_URL: password file {path}: {reason}") from None
