"""Settings of the canaries, read once from the environment."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, StringConstraints, field_validator

from monitor.cluster import ClusterSettings
from pipeline.settings import Listen

_Url = Annotated[str, StringConstraints(pattern=r"^(https?://[^\s/]+(/\S*)?)?$")]


class CanarySettings(ClusterSettings):
    """What the judge of canaries needs beside what the monitor needs."""

    canary: Annotated[str, StringConstraints(pattern="^(off|on)$")] = Field(
        default="off",
        validation_alias="MONITOR_CANARY",
        description="`on` judges `Canary` resources, promotes and rolls back.",
    )
    canaries: Path | None = Field(
        default=None,
        validation_alias="MONITOR_CANARIES",
        description="Folder of files that describe canaries, for where there is no API server: they are judged, and "
        "nothing is done about them. Empty for none.",
    )
    canary_namespace: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")] = Field(
        default="deis",
        validation_alias="MONITOR_CANARY_NAMESPACE",
        description="Namespace of the Lease that says which of several monitors acts.",
    )
    canary_seconds: float = Field(
        default=10.0,
        ge=0.1,
        le=600.0,
        validation_alias="MONITOR_CANARY_SECONDS",
        description="How often each canary is looked at.",
    )
    canary_webhook: SecretStr = Field(
        default=SecretStr(""),
        validation_alias="MONITOR_CANARY_WEBHOOK",
        description="Gets a `POST` with JSON for each change of a canary's phase; empty for none.",
    )
    canary_prometheus: _Url = Field(
        default="",
        validation_alias="MONITOR_CANARY_PROMETHEUS",
        description="Address of a Prometheus for metrics given as PromQL; who may write a `Canary` may then ask it for "
        "any count. Empty for none.",
    )
    deis_url: _Url = Field(
        default="",
        validation_alias="MONITOR_DEIS_URL",
        description="Address of the Deis controller, for `arms.mode: baseline`; empty for none.",
    )
    deis_token: SecretStr = Field(
        default=SecretStr(""),
        validation_alias="MONITOR_DEIS_TOKEN",
        description="Token of the Deis user as whom releases are rolled back: one of its own, that nobody else uses.",
    )
    deis_hook_key: SecretStr = Field(
        default=SecretStr(""),
        validation_alias="MONITOR_DEIS_HOOK_KEY",
        description="`DEIS_DEPLOY_HOOK_SECRET_KEY` of the Deis controller; with it its deploy hook starts canaries.",
    )
    deis_hook_listen: Listen | None = Field(
        default=None,
        validation_alias="MONITOR_DEIS_HOOK_LISTEN",
        description="Address of `POST /v1/hooks/deis`; empty for none. What comes there must be signed.",
    )
    deis_hook_url: _Url = Field(
        default="",
        validation_alias="MONITOR_DEIS_HOOK_URL",
        description="The hook's address as in `DEIS_DEPLOY_HOOK_URLS`, which is what the controller signs.",
    )

    @field_validator("deis_hook_listen", mode="before")
    @classmethod
    def _empty_is_no_listener(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("canaries", mode="before")
    @classmethod
    def _empty_is_no_folder(cls, value: object) -> object:
        return value or None
