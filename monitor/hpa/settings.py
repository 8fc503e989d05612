"""Settings of the metrics APIs; off by default."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from monitor.cluster import ClusterSettings
from monitor.reading import SLOT_NS
from pipeline.settings import Listen

_SLOT_SECONDS = SLOT_NS // 1_000_000_000


def _whole_slots(seconds: int) -> int:
    if seconds % _SLOT_SECONDS:
        raise ValueError(f"no multiple of {_SLOT_SECONDS}")
    return seconds


class HpaSettings(ClusterSettings):
    """What a monitor needs for them."""

    hpa_listen: Listen | None = Field(
        None,
        validation_alias="MONITOR_HPA_LISTEN",
        description="Address of the metrics APIs for HorizontalPodAutoscalers, over TLS (see [hpa.md](hpa.md)); not "
        "served when not set.",
    )
    hpa_cert: Path = Field(
        Path("/etc/deis-telemetry/hpa/tls.crt"),
        validation_alias="MONITOR_HPA_CERT",
        description="PEM file of their certificate, with its chain. Read again when it changes.",
    )
    hpa_key: Path = Field(
        Path("/etc/deis-telemetry/hpa/tls.key"),
        validation_alias="MONITOR_HPA_KEY",
        description="PEM file of the certificate's private key.",
    )
    hpa_window_seconds: Annotated[int, AfterValidator(_whole_slots)] = Field(
        60,
        ge=10,
        le=840,
        validation_alias="MONITOR_HPA_WINDOW_SECONDS",
        description="Length of the window that a value is of, a multiple of 10.",
    )
    stale_seconds: float = Field(
        90.0,
        ge=10.0,
        le=840.0,
        validation_alias="MONITOR_STALE_SECONDS",
        description="What is complete up to a time longer ago than this is no value: HorizontalPodAutoscalers keep "
        "their replicas.",
    )
    fallback_apiservice: Annotated[str, StringConstraints(pattern=r"^(https://[^\s/?#@]+)?$")] = Field(
        "",
        validation_alias="MONITOR_FALLBACK_APISERVICE",
        description="Another metrics adapter, such as `https://prometheus-adapter.monitoring.svc`: it is asked for "
        "metrics not known here, with the monitor's own service account, once the caller's rights are checked.",
    )
    fallback_ca: Path | None = Field(
        None,
        validation_alias="MONITOR_FALLBACK_CA",
        description="PEM file of the authority of that adapter's certificate; the system's when not set.",
    )
