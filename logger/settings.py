"""What an operator can set for the logger; read once at its start."""

import re
from typing import Annotated, Final, Self

from pydantic import Field, SecretStr, StringConstraints, field_validator, model_validator

from pipeline.limits import MIB
from pipeline.settings import CommonSettings, InstanceName, Listen, OwnUrl, StoreUrl, shared_secret

HOUR_SECONDS: Final = 3600
DAY_SECONDS: Final = 24 * HOUR_SECONDS

_APP_RETENTION = re.compile(r"([^=,\s]+)=([1-9]\d{0,5})([hd])")


class LoggerSettings(CommonSettings):
    """Settings of `python -m logger`."""

    store_url: StoreUrl = Field(
        "var/store",
        validation_alias="STORE_URL",
        description="Where the table lies: a folder, or a bucket as `s3://bucket/prefix`, which the AWS variables "
        "(`AWS_ENDPOINT_URL`, `AWS_REGION`, `AWS_ACCESS_KEY_ID`, ...) tell how to reach.",
    )
    cache: Annotated[str, StringConstraints(min_length=1)] = Field(
        "var/cache",
        validation_alias="LOGGER_CACHE",
        description="Folder for what was read from a bucket; a table in a folder needs none.",
    )
    cache_bytes: int = Field(
        1024 * MIB,
        ge=0,
        le=1024 * 1024 * MIB,
        validation_alias="LOGGER_CACHE_BYTES",
        description="Most bytes of the local disk that LOGGER_CACHE takes; 0 for no cache.",
    )
    listen: Listen = Field(
        "127.0.0.1:8088", validation_alias="LOGGER_LISTEN", description="`host:port` that the logger answers on."
    )
    url: OwnUrl = Field(
        "",
        validation_alias="LOGGER_URL",
        description="How other loggers reach this one, `http://host:port`; empty: `http://` and LOGGER_LISTEN.",
    )
    instance: InstanceName = Field(
        "",
        validation_alias="LOGGER_INSTANCE",
        description="Stable name of this logger among those that share a Kafka queue, so that a restart within 10 s "
        "moves no shard. Each needs one of its own; empty: none, and others take over at once when it stops.",
    )
    peer_secret: SecretStr | None = Field(
        None,
        validation_alias="LOGGER_PEER_SECRET",
        description="Secret that the loggers of one queue share, 16 characters or more: by it they answer each other.",
    )
    peer_secret_file: str = Field(
        "",
        validation_alias="LOGGER_PEER_SECRET_FILE",
        description="File with the secret, in place of LOGGER_PEER_SECRET; a line end at its end does not count.",
    )
    deis_listen: Listen | None = Field(
        None,
        validation_alias="LOGGER_DEIS_LISTEN",
        description="`host:port` for the contract of deis/logger alone, without tokens; empty: on LOGGER_LISTEN.",
    )
    tokens: str = Field(
        "",
        validation_alias="LOGGER_TOKENS",
        description="File of bearer tokens for /v1, one `token name apps` a line; read again when it changes.",
    )
    flush_seconds: float = Field(
        10.0,
        ge=0.1,
        le=300.0,
        validation_alias="LOGGER_FLUSH_SECONDS",
        description="Rows are committed to the table at least this often.",
    )
    flush_bytes: int = Field(
        128 * MIB,
        ge=MIB,
        le=2048 * MIB,
        validation_alias="LOGGER_FLUSH_BYTES",
        description="Rows are committed as soon as this many raw bytes wait.",
    )
    head_bytes: int = Field(
        128 * MIB,
        ge=2 * MIB,
        le=65536 * MIB,
        validation_alias="LOGGER_HEAD_BYTES",
        description="Most raw bytes in memory that are not committed; fetching pauses there. "
        "Must be at least LOGGER_FLUSH_BYTES.",
    )
    head_keep_seconds: float = Field(
        60.0,
        ge=1.0,
        le=600.0,
        validation_alias="LOGGER_HEAD_KEEP_SECONDS",
        description="Committed rows stay in memory this long, for queries that pinned an older table version.",
    )
    retention_days: int = Field(
        30, ge=1, le=3650, validation_alias="LOGGER_RETENTION_DAYS", description="Days that lines are kept."
    )
    retention_apps: str = Field(
        "",
        validation_alias="LOGGER_RETENTION_APPS",
        description="Other times for single apps, in hours or days: `app=12h,other=7d`.",
    )
    upkeep_seconds: float = Field(
        60.0,
        ge=1.0,
        le=86400.0,
        validation_alias="LOGGER_UPKEEP_SECONDS",
        description="How often small files are merged and retention and deletions are applied.",
    )
    follower_lines: int = Field(
        1024,
        ge=16,
        le=1_000_000,
        validation_alias="LOGGER_FOLLOWER_LINES",
        description="Lines that may wait for a slow follower before it is cut off.",
    )
    followers: int = Field(
        1000, ge=1, le=100_000, validation_alias="LOGGER_FOLLOWERS", description="Most followers at once."
    )
    dead_letters: Annotated[str, StringConstraints(min_length=1)] = Field(
        "var/dead-letters",
        validation_alias="LOGGER_DEAD_LETTERS",
        description="Folder for records of the queue that are no packs: `<partition>-<offset>.record`.",
    )
    gone_nodes: str = Field(
        "",
        validation_alias="LOGGER_GONE_NODES",
        description="Nodes, separated by commas, that will send nothing more: they hold no watermark back.",
    )

    @field_validator("deis_listen", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return value or None

    @field_validator("peer_secret", mode="before")
    @classmethod
    def _empty_secret_is_none(cls, value: object) -> object:
        return value or None

    @model_validator(mode="after")
    def _flush_before_the_head_is_full(self) -> Self:
        if self.head_bytes < self.flush_bytes:
            raise ValueError(f"LOGGER_HEAD_BYTES={self.head_bytes} is less than LOGGER_FLUSH_BYTES={self.flush_bytes}")
        return self

    @field_validator("retention_apps")
    @classmethod
    def _parse_retention(cls, value: str) -> str:
        _parse_app_retention(value)
        return value

    @property
    def own_url(self) -> str:
        """`url`, or what follows from `listen`."""
        return (self.url or f"http://{self.listen}").rstrip("/")

    @property
    def shared_secret(self) -> SecretStr | None:
        """The secret among loggers; see `pipeline.settings.shared_secret`."""
        return shared_secret(self.peer_secret, self.peer_secret_file, variable="LOGGER_PEER_SECRET")

    @property
    def app_retention_seconds(self) -> dict[str, int]:
        """Seconds that the lines of single apps are kept, by app."""
        return _parse_app_retention(self.retention_apps)

    @property
    def gone_node_names(self) -> frozenset[str]:
        """`gone_nodes` as a set."""
        return frozenset(name.strip() for name in self.gone_nodes.split(",") if name.strip())


def _parse_app_retention(value: str) -> dict[str, int]:
    units = {"h": HOUR_SECONDS, "d": DAY_SECONDS}
    parsed: dict[str, int] = {}
    for part in (part.strip() for part in value.split(",")):
        if not part:
            continue
        match = _APP_RETENTION.fullmatch(part)
        if match is None:
            raise ValueError(f"{part!r} is not `app=12h` or `app=7d`")
        app, count, unit = match.groups()
        parsed[app] = int(count) * units[unit]
    return parsed
