"""One measurement, as one JSON object on one line."""

import json
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

TARGETS: Final[Mapping[str, str]] = {
    "agent_mb_per_cpu_s": ">= 300",
    "logger_mb_per_cpu_s": ">= 120",
    "logger_with_upkeep_mb_per_cpu_s": ">= 100",
    "logger_small_chunks_mb_per_cpu_s": ">= 30",
    "follow_latency_ms": "p99 <= 250",
    "quiet_line_ms": "p99 <= 250",
    "last100_ms": "<= 10",
    "agent_rss_mb": "<= 80",
    "disk_ratio": ">= 5.3",
    "node_agent_mb_per_cpu_s": ">= 300",
    "agent_to_vlagent": ">= 3",
    "node_agent_rss_mb": "<= 100",
    "node_agent_idle_cpu_percent": "<= 0.5",
    "first_line_ms": "<= 1000",
    "idle_line_ms": "p99 <= 250",
    "metrics_router_lines_per_cpu_s": ">= 1000000",
    "router_to_mtail": ">= 3",
}


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value.

    Attributes:
        name: What was measured.
        value: The result.
        unit: Its unit.
        details: What it was computed from.
    """

    name: str
    value: float
    unit: str
    details: Mapping[str, Any] = field(default_factory=dict)


def show(figure: Figure) -> str:
    """The figure as JSON, with what one needs to judge and repeat it."""
    return json.dumps(
        {
            "name": figure.name,
            "value": round(figure.value, 2),
            "unit": figure.unit,
            "target": TARGETS.get(figure.name),
            "command": " ".join(["python", *sys.orig_argv[1:]]),
            "machine": machine(),
            "date": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "details": {name: _rounded(value) for name, value in figure.details.items()},
        }
    )


def _rounded(value: object) -> object:
    return round(value, 3) if isinstance(value, float) else value


def machine() -> str:
    """CPU model, cores and load of this machine: what shares the cores shows in times, less so in CPU time."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    model = models[0] if models else platform.machine()
    return f"{model}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}"
