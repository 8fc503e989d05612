"""How many questions are answered at the same time, and how many may wait."""

import asyncio
import contextlib
from collections.abc import AsyncIterator


class BusyError(Exception):
    """So many questions wait already that one more is refused."""


class Gate:
    """Lets some through at once, lets some more wait, and refuses the rest."""

    def __init__(self, *, running: int, waiting: int) -> None:
        self._slots = asyncio.Semaphore(running)
        self._places = running + waiting

    @contextlib.asynccontextmanager
    async def pass_through(self) -> AsyncIterator[None]:
        """Wait for a turn, and have it inside the block.

        Raises:
            BusyError: Too many wait.
        """
        if self._places <= 0:
            raise BusyError("too many queries at once")
        self._places -= 1
        try:
            async with self._slots:
                yield
        finally:
            self._places += 1
