"""Whether the queue has all chunks that were made of one message of a client."""

import asyncio


class Delivery:
    """Counts chunks on their way. Done when it is sealed and the queue has each of them."""

    __slots__ = ("_done", "_left", "_sealed")

    def __init__(self) -> None:
        self._left = 0
        self._sealed = False
        self._done = asyncio.Event()

    def expect(self) -> None:
        """One chunk more is on its way."""
        self._left += 1

    def arrived(self) -> None:
        """The queue has one of them durably."""
        self._left -= 1
        self._settle()

    def seal(self) -> None:
        """All chunks are expected by now."""
        self._sealed = True
        self._settle()

    @property
    def done(self) -> bool:
        """Whether the queue has all of it."""
        return self._done.is_set()

    async def wait(self) -> None:
        """Wait until the queue has all of it."""
        await self._done.wait()

    def _settle(self) -> None:
        if self._sealed and not self._left:
            self._done.set()
