"""How far the queue has grown, as last heard."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from pipeline.errors import QueueUnavailableError

EVERY_SECONDS: Final = 5.0


class Ends:
    """The queue's ends.

    Args:
        ask: Asks the queue for them.

    Attributes:
        known: Offset that the next record will get, by shard.
    """

    def __init__(self, ask: Callable[[], Awaitable[Mapping[int, int]]]) -> None:
        self._ask = ask
        self.known: Mapping[int, int] = {}

    async def run(self, stopping: asyncio.Event) -> None:
        """Ask every `EVERY_SECONDS` until `stopping` is set; a queue that is away is shown elsewhere."""
        while not stopping.is_set():
            with contextlib.suppress(QueueUnavailableError):
                self.known = await self._ask()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EVERY_SECONDS):
                    await stopping.wait()
