"""Containers that write at a steady rate, while something else is measured."""

import contextlib
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from bench.material import SEED
from demo.containers import Container, ContainerLog
from demo.corpus import make_pods, stored_lines

APPS: Final = 8
_TICK_SECONDS: Final = 0.02


@contextlib.contextmanager
def writing(
    pod_logs: Path, *, bytes_per_second: int, create: Callable[[Container], Container] | None = None
) -> Iterator[None]:
    """Eight containers of as many apps write below `pod_logs`, in a thread, inside the block.

    Args:
        pod_logs: kubelet's folder of pod logs.
        bytes_per_second: Of all of them together.
        create: Makes a container known to an API server, which gives its pod another uid.
    """
    stopping = threading.Event()
    pods = make_pods(seed=SEED, apps=APPS, pods_per_app=1)
    containers = [create(pod.container) if create else pod.container for pod in pods]
    share = int(bytes_per_second * _TICK_SECONDS / len(pods))

    def write() -> None:
        texts = [stored_lines(random.Random(number), pod) for number, pod in enumerate(pods)]
        logs = [ContainerLog(pod_logs, container) for container in containers]
        while not stopping.wait(_TICK_SECONDS):
            for text, log in zip(texts, logs, strict=True):
                log.write_stored(_block(text, share))
        for log in logs:
            log.close()

    thread = threading.Thread(target=write, name="load")
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def _block(text: Iterator[bytes], size: int) -> bytes:
    lines: list[bytes] = []
    length = 0
    while length < size:
        lines.append(next(text))
        length += len(lines[-1])
    return b"".join(lines)
