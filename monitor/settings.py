"""Settings of the monitor, read once from the environment."""

from pathlib import Path

from pydantic import Field, SecretStr, field_validator

from monitor.canary.settings import CanarySettings
from monitor.hpa.settings import HpaSettings
from pipeline.limits import MIB
from pipeline.settings import InstanceName, Listen, OwnUrl, StoreUrl, shared_secret


class MonitorSettings(HpaSettings, CanarySettings):
    """What the monitor needs beside what every service needs."""

    store_url: StoreUrl = Field(
        default="var/store",
        validation_alias="STORE_URL",
        description="Where the monitor's states lie, beside the logger's table: see the logger's.",
    )
    listen: Listen = Field(
        default="127.0.0.1:8089",
        validation_alias="MONITOR_LISTEN",
        description="Address of `/metrics`, `/v1`, `/healthz` and `/readyz`.",
    )
    url: OwnUrl = Field(
        default="",
        validation_alias="MONITOR_URL",
        description="How other monitors reach this one, `http://host:port`; empty: `http://` and MONITOR_LISTEN.",
    )
    instance: InstanceName = Field(
        default="",
        validation_alias="MONITOR_INSTANCE",
        description="Stable name of this monitor among those that share a Kafka queue, so that a restart within 10 s "
        "moves no shard. Each needs one of its own; empty: none, and others take over at once when it stops.",
    )
    peer_secret: SecretStr | None = Field(
        default=None,
        validation_alias="MONITOR_PEER_SECRET",
        description="Secret that the monitors of one queue share, 16 characters or more: by it they answer each other.",
    )
    peer_secret_file: str = Field(
        default="",
        validation_alias="MONITOR_PEER_SECRET_FILE",
        description="File with the secret, in place of MONITOR_PEER_SECRET; a line end at its end does not count.",
    )
    tokens: str = Field(
        default="",
        validation_alias="MONITOR_TOKENS",
        description="File of bearer tokens for /v1, one `token name apps` a line; read again when it changes. "
        "Without it /v1 answers only on a MONITOR_LISTEN that other machines cannot reach.",
    )
    rules: Path | None = Field(
        default=None,
        validation_alias="MONITOR_RULES",
        description="File of the rules that make metrics of lines beside the built-in ones.",
    )
    apps: int = Field(
        default=1000,
        ge=1,
        le=100_000,
        validation_alias="MONITOR_APPS",
        description="Most apps of a shard with metrics of their own; all others are counted together as `_overflow`. "
        "All monitors of a queue need the same.",
    )
    app_sets: int = Field(
        default=2000,
        ge=10,
        le=100_000,
        validation_alias="MONITOR_APP_SETS",
        description="Most label sets of one app in a shard, over all its metrics; what is beyond them is counted as "
        "`_overflow`. All monitors of a queue need the same.",
    )
    fetch_bytes: int = Field(
        default=4 * MIB,
        ge=MIB,
        le=256 * MIB,
        validation_alias="MONITOR_FETCH_BYTES",
        description="Most compressed bytes of one fetch from the queue.",
    )
    state_seconds: float = Field(
        default=10.0,
        ge=0.05,
        le=600.0,
        validation_alias="MONITOR_STATE_SECONDS",
        description="How often states are written to the store; whoever takes a shard reads about so much again.",
    )
    gone_nodes: str = Field(
        default="",
        validation_alias="MONITOR_GONE_NODES",
        description="Nodes, separated by commas, that will send nothing more: they hold no watermark back.",
    )

    ask_nodes: bool = Field(
        default=False,
        validation_alias="MONITOR_ASK_NODES",
        description="Whether the API server is asked which silent nodes do not exist any more: those hold no watermark "
        "back.",
    )

    @field_validator("peer_secret", "rules", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return value or None

    @property
    def own_url(self) -> str:
        """`url`, or what follows from `listen`."""
        return (self.url or f"http://{self.listen}").rstrip("/")

    @property
    def shared_secret(self) -> SecretStr | None:
        """The secret among monitors; see `pipeline.settings.shared_secret`."""
        return shared_secret(self.peer_secret, self.peer_secret_file, variable="MONITOR_PEER_SECRET")

    @property
    def gone_node_names(self) -> frozenset[str]:
        """`gone_nodes` as a set."""
        return frozenset(name.strip() for name in self.gone_nodes.split(",") if name.strip())
