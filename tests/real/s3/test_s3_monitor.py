"""A monitor whose states lie in a real bucket that is away, or refuses, for a while; it is killed as well."""

import time
from pathlib import Path
from typing import Any

import pytest

from demo.stack import Stack, wait_until
from pipeline.cri import format_time

pytestmark = [pytest.mark.real, pytest.mark.slow]


def write(stack: Stack, first: int, count: int) -> None:
    folder = stack.pod_logs / "shop_shop-web-12345-abcde_uid-shop" / "web"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "0.log").open("ab") as file:
        for number in range(first, first + count):
            file.write(format_time(time.time_ns()) + b" stdout F line %d\n" % number)


def counted(stack: Stack) -> float:
    """Lines of the app that the monitor shows; 0 while it shows none."""
    answer = stack.get("monitor", "/metrics", seconds=5)
    told = answer.body.decode().splitlines() if answer.status == 200 else []
    return sum(
        float(line.rpartition(" ")[2]) for line in told if line.startswith("app_lines_total{") and 'app="shop"' in line
    )


@pytest.mark.parametrize("harm", ["refuse", "lose"])
def test_counts_stay_exact_while_the_bucket_is_away_and_the_monitor_is_killed(
    meddler: Any, gateway: Any, place: str, tmp_path: Path, harm: str
) -> None:
    """It goes on in memory; what a kill takes of that it counts again from the queue, and nothing twice."""
    settings = {"STORE_URL": f"s3://logs/{place}", "MONITOR_STATE_SECONDS": "0.3", "LOG_LEVEL": "warning"}
    with Stack(tmp_path / "stack", settings=settings) as stack:
        stack.start("agent")
        stack.start("monitor")
        stack.wait_ready("agent", "monitor", seconds=60)
        write(stack, 0, 100)
        wait_until(lambda: counted(stack) == 100, seconds=60, what="the first lines")
        wait_until(lambda: any((gateway.bucket / place).rglob("0*")), seconds=60, what="a state in the bucket")
        meddler.rates = {harm: 1.0}
        write(stack, 100, 100)
        wait_until(lambda: counted(stack) == 200, seconds=60, what="lines while the bucket is away")
        stack.processes["monitor"].kill()
        stack.start("monitor")
        write(stack, 200, 100)
        meddler.rates = {}
        stack.wait_ready("monitor", seconds=120)
        wait_until(lambda: counted(stack) >= 300, seconds=60, what="all lines")
        assert counted(stack) == 300
