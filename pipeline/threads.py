"""Threads of a part's own: what uses the loop's default ones must not make it wait."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class Threads:
    """A few threads for blocking work.

    Args:
        count: Most at once.
        name: Shown by debuggers.
    """

    def __init__(self, count: int, name: str) -> None:
        self._executor = ThreadPoolExecutor(count, thread_name_prefix=name)

    async def run(self, call: Callable[[], T]) -> T:
        """What `call` returns, or raises."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, call)

    def close(self) -> None:
        """Take no more work; what is under way ends by itself."""
        self._executor.shutdown(wait=False)
