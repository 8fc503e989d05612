"""`python -m bench [NAME ...] [--mb 1024]`: one JSON object a line for each measurement."""

import argparse
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from bench.agent import agent_mb_per_cpu_s, agent_rss_mb
from bench.figures import Figure, show
from bench.ingest import logger_mb_per_cpu_s, logger_small_chunks_mb_per_cpu_s, logger_with_upkeep_mb_per_cpu_s
from bench.latency import follow_latency_ms, idle_cpu_percent
from bench.material import Material
from bench.reading import last100_and_search

MEASUREMENTS: Final[Mapping[str, Callable[[Material], list[Figure]]]] = {
    "agent": agent_mb_per_cpu_s,
    "agent_rss": agent_rss_mb,
    "logger": logger_mb_per_cpu_s,
    "upkeep": logger_with_upkeep_mb_per_cpu_s,
    "small_chunks": logger_small_chunks_mb_per_cpu_s,
    "reading": last100_and_search,
    "follow": follow_latency_ms,
    "idle": idle_cpu_percent,
}


def main() -> int:
    """Run the measurements asked for; 1 when one could not be taken."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MEASUREMENTS)}; all by default")
    parser.add_argument("--mb", type=int, default=1024, help="size of the corpus in MiB")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(MEASUREMENTS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    material = Material(Path("build/bench").absolute(), mb=arguments.mb)
    failed = 0
    try:
        for name in arguments.names or MEASUREMENTS:
            failed += _measure(name, material)
    finally:
        material.close()
    return 1 if failed else 0


def _measure(name: str, material: Material) -> int:
    try:
        for figure in MEASUREMENTS[name](material):
            print(show(figure), flush=True)
    except Exception:  # noqa: BLE001 - one measurement that fails leaves the others their turn
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
