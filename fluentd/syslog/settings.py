"""Settings of the syslog input; off by default."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from fluentd.syslog.naming import check_app, parse_rules
from fluentd.syslog.times import zone_of
from pipeline.limits import KIB, MIB
from pipeline.settings import CommonSettings, Listen


def _check_zone(zone: str) -> str:
    zone_of(zone)
    return zone


def _check_rules(rules: str) -> str:
    parse_rules(rules)
    return rules


class SyslogSettings(CommonSettings):
    """What an agent needs for it."""

    syslog_listen: Listen | None = Field(
        None,
        validation_alias="AGENT_SYSLOG_LISTEN",
        description="Address at which syslog is taken over TCP (usual port 514, with TLS 6514); not at all when not "
        "set.",
    )
    syslog_udp_listen: Listen | None = Field(
        None,
        validation_alias="AGENT_SYSLOG_UDP_LISTEN",
        description="Address at which syslog is taken over UDP (usual port 514), best effort; not at all when not set.",
    )
    syslog_cert: Path | None = Field(
        None,
        validation_alias="AGENT_SYSLOG_CERT",
        description="PEM file of the certificate, with its chain: TCP clients must use TLS.",
    )
    syslog_key: Path | None = Field(
        None, validation_alias="AGENT_SYSLOG_KEY", description="PEM file of the certificate's private key."
    )
    syslog_client_ca: Path | None = Field(
        None,
        validation_alias="AGENT_SYSLOG_CLIENT_CA",
        description="PEM file of certificates: TLS clients must show one that these have signed.",
    )
    syslog_app: Annotated[str, AfterValidator(check_app)] = Field(
        "node.syslog",
        max_length=253,
        validation_alias="AGENT_SYSLOG_APP",
        description="App of messages that no rule fits. The default has a dot, so that no namespace, and so no app of "
        "somebody, is called so.",
    )
    syslog_apps: Annotated[str, AfterValidator(_check_rules)] = Field(
        "",
        max_length=16 * KIB,
        validation_alias="AGENT_SYSLOG_APPS",
        description="Rules `facility:NAME=APP`, `name:PROGRAM=APP`, `host:NAME=APP`, separated by commas; `*` and `?` "
        "stand for other characters. The first one that fits tells the app.",
    )
    syslog_zone: Annotated[str, AfterValidator(_check_zone)] = Field(
        "UTC",
        validation_alias="AGENT_SYSLOG_ZONE",
        description="Time zone of senders whose times state none (RFC 3164), such as `Europe/Berlin`.",
    )
    syslog_message_bytes: int = Field(
        64 * KIB,
        ge=1 * KIB,
        le=1 * MIB,
        validation_alias="AGENT_SYSLOG_MESSAGE_BYTES",
        description="Most bytes of one message; a longer one is cut there, and what is lost is counted.",
    )
    syslog_connections: int = Field(
        256,
        ge=1,
        le=10_000,
        validation_alias="AGENT_SYSLOG_CONNECTIONS",
        description="Most TCP clients at once; further ones are closed at once.",
    )
    syslog_idle_seconds: float = Field(
        3600.0,
        ge=1.0,
        le=86_400.0,
        validation_alias="AGENT_SYSLOG_IDLE_SECONDS",
        description="A TCP client that sends nothing for so long is closed.",
    )
    syslog_udp_per_second: int = Field(
        20_000,
        ge=1,
        le=10_000_000,
        validation_alias="AGENT_SYSLOG_UDP_PER_SECOND",
        description="Most UDP messages of a second, with as many at once after a rest; further ones are dropped and "
        "counted. TCP clients need no such bound: they are made to wait.",
    )
