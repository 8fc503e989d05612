"""How what failed is tried again."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog

from pipeline.errors import QueueUnavailableError, StoreUnavailableError

log = structlog.get_logger()

_BACKOFF_SECONDS: Final = 0.2
_BACKOFF_MOST_SECONDS: Final = 15.0
_MOST_SECONDS_BETWEEN_TRIES: Final = 2

T = TypeVar("T")


async def pause(failures: int, stopping: asyncio.Event) -> None:
    """Wait before trying again: longer each time, with jitter, and not when it is time to stop."""
    most = min(_BACKOFF_MOST_SECONDS, _BACKOFF_SECONDS * 2 ** min(failures, 10))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(most * random.uniform(0.5, 1.0)):  # noqa: S311 - jitter
            await stopping.wait()


async def once_answered(step: Callable[[], Awaitable[T]], stopping: asyncio.Event) -> T:
    """Do a step of the start again until queue or store answer: a service that gave up would be missing when they do.

    Raises:
        QueueUnavailableError: The queue did not before `stopping` was set.
        StoreUnavailableError: The store did not.
    """
    failures = 0
    while True:
        try:
            return await step()
        except (QueueUnavailableError, StoreUnavailableError) as error:
            failures += 1
            log.warning("cannot start yet, trying again", error=str(error))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(failures, _MOST_SECONDS_BETWEEN_TRIES)):
                    await stopping.wait()
            if stopping.is_set():
                raise
