"""Settings of the monitor, read once from the environment."""

from pydantic import Field

from monitor.hpa.settings import HpaSettings
from pipeline.limits import MIB
from pipeline.settings import Listen


class MonitorSettings(HpaSettings):
    """What the monitor needs beside what every service needs."""

    listen: Listen = Field(
        default="127.0.0.1:8089",
        validation_alias="MONITOR_LISTEN",
        description="Address of `/healthz`, `/readyz` and `/metrics`.",
    )
    apps: int = Field(
        default=1000,
        ge=1,
        le=100_000,
        validation_alias="MONITOR_APPS",
        description="Most apps with metrics of their own; all others are counted together as `_overflow`.",
    )
    fetch_bytes: int = Field(
        default=4 * MIB,
        ge=MIB,
        le=256 * MIB,
        validation_alias="MONITOR_FETCH_BYTES",
        description="Most compressed bytes of one fetch from the queue.",
    )
    commit_seconds: float = Field(
        default=1.0,
        ge=0.05,
        le=600.0,
        validation_alias="MONITOR_COMMIT_SECONDS",
        description="Least time between two commits of the monitor's positions; a restart counts that much again.",
    )
