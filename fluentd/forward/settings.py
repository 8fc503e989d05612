"""Settings of the Forward protocol; off by default, in and out."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, StringConstraints

from pipeline.limits import KIB, MIB
from pipeline.settings import CommonSettings, Listen


def _check_target(target: str) -> str:
    host, _, port = target.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65_536:  # noqa: PLR2004 - a port
        raise ValueError("not host:port")
    return target


class ForwardSettings(CommonSettings):
    """What an agent needs for it."""

    forward_listen: Listen | None = Field(
        None,
        validation_alias="AGENT_FORWARD_LISTEN",
        description="Address at which Fluent Forward clients are served, TCP and the UDP heartbeat (usual port 24224); "
        "not at all when not set.",
    )
    forward_cert: Path | None = Field(
        None,
        validation_alias="AGENT_FORWARD_CERT",
        description="PEM file of the certificate, with its chain: clients must use TLS.",
    )
    forward_key: Path | None = Field(
        None, validation_alias="AGENT_FORWARD_KEY", description="PEM file of the certificate's private key."
    )
    forward_shared_key: SecretStr | None = Field(
        None,
        validation_alias="AGENT_FORWARD_SHARED_KEY",
        description="Clients must know it (handshake with HELO, PING and PONG), and may write to any app.",
    )
    forward_access: Path | None = Field(
        None,
        validation_alias="AGENT_FORWARD_ACCESS",
        description="JSON file of shared keys and users, and of the apps that each may write; see "
        "[forward.md](forward.md). Read once.",
    )
    forward_app_field: str = Field(
        "app",
        max_length=253,
        validation_alias="AGENT_FORWARD_APP_FIELD",
        description="Field of a record that names its app; dots lead into maps. The tag does where there is none.",
    )
    forward_process_field: str = Field(
        "type",
        max_length=253,
        validation_alias="AGENT_FORWARD_PROCESS_FIELD",
        description="Field of a record that names its process, if a field names its app.",
    )
    forward_tag: Annotated[str, StringConstraints(pattern=r"^(app|app\.process)$")] = Field(
        "app.process",
        validation_alias="AGENT_FORWARD_TAG",
        description="What a tag says: `app.process`: its first part is the app and its second the process; `app`: all "
        "of it is the app.",
    )
    forward_connections: int = Field(
        256,
        ge=1,
        le=10_000,
        validation_alias="AGENT_FORWARD_CONNECTIONS",
        description="Most clients at once; further ones are closed at once.",
    )
    forward_frame_bytes: int = Field(
        8 * MIB,
        ge=64 * KIB,
        le=256 * MIB,
        validation_alias="AGENT_FORWARD_FRAME_BYTES",
        description="Most bytes of one frame as it comes, and again of its entries after decompression. Two frames of "
        "more than 64 KiB are in memory at once; other clients wait.",
    )
    forward_idle_seconds: float = Field(
        600.0,
        ge=1.0,
        le=86_400.0,
        validation_alias="AGENT_FORWARD_IDLE_SECONDS",
        description="A client that sends nothing for so long is closed.",
    )
    forward_frame_seconds: float = Field(
        30.0,
        ge=1.0,
        le=3600.0,
        validation_alias="AGENT_FORWARD_FRAME_SECONDS",
        description="A frame that takes longer to come is refused, and so is a handshake.",
    )
    forward_doubles_seconds: float = Field(
        600.0,
        ge=0.0,
        le=86_400.0,
        validation_alias="AGENT_FORWARD_DOUBLES_SECONDS",
        description="A chunk that comes again within this time is acknowledged, and not taken twice.",
    )
    forward_out: Annotated[str, AfterValidator(_check_target)] | None = Field(
        None,
        validation_alias="FORWARD_OUT",
        description="`host:port` of a Fluentd that gets a copy of each line; none when not set.",
    )
    forward_out_tag: str = Field(
        "deis",
        min_length=1,
        max_length=253,
        validation_alias="FORWARD_OUT_TAG",
        description="What the tags of copies begin with: `<this>.<app>.<process>`.",
    )
    forward_out_bytes: int = Field(
        4 * MIB,
        ge=1 * MIB,
        le=1024 * MIB,
        validation_alias="FORWARD_OUT_BYTES",
        description="Most bytes of copies that wait; further ones are dropped and counted.",
    )
