"""All inputs of an agent, started and stopped together."""

import asyncio
from typing import Final, Protocol

from fluentd.inputs.intake import NOTHING_WAITS, Intake

_FAREWELL_SECONDS: Final = 2.0
"""How long clients that wait for an answer that is known are given to take it."""


class Input(Protocol):
    """Something that listens on the network and puts lines into an `Intake`; or that is run and stopped like it."""

    async def run(self) -> None:
        """Listen and serve until `stop` was called and all clients have their answers, or until cancelled.

        Raises:
            FatalError: The address cannot be listened on.
        """

    async def stop(self) -> None:
        """Read nothing more; returns when everything accepted is put. Clients still wait for their answers."""


class Inputs:
    """See the module.

    Args:
        intake: Where all of them put their lines; `None` where there are none.
        inputs: What listens.
    """

    def __init__(self, intake: Intake | None = None, inputs: tuple[Input, ...] = ()) -> None:
        self._intake, self._inputs = intake, inputs
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def complete_ns(self) -> int:
        """See `Intake.complete_ns`."""
        return NOTHING_WAITS if self._intake is None else self._intake.complete_ns

    def start(self, group: asyncio.TaskGroup) -> None:
        """Begin to listen."""
        for index, one in enumerate(self._inputs):
            self._tasks.add(group.create_task(one.run(), name=f"input {index}"))

    async def stop(self, *, seconds: float) -> None:
        """Accept nothing more, and end the sources; the lanes may be closed afterwards.

        Args:
            seconds: What is accepted and finds no room by then is not sent; its clients get no answer.
        """
        try:
            async with asyncio.timeout(seconds):
                for one in self._inputs:
                    await one.stop()
        except TimeoutError:
            self._cancel()
            await self._ended()
        if self._intake is not None:
            self._intake.end()

    async def farewell(self) -> None:
        """Let the last answers out, then end."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_FAREWELL_SECONDS)
        self._cancel()

    def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _ended(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks)
