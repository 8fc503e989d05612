"""`POST /v1/simulate`: recorded counts against a policy, decided by the very code that judges here.

Weighing takes CPU that lines need, so there is a bound, and one is tried at a time.
"""

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec
from aiohttp import web

from monitor.canary.counts import MINUTE_NS, Observation, Policy, Verdict
from monitor.canary.decide import decide
from monitor.canary.picture import draw
from monitor.canary.simulate import CountsError, read_csv, replay
from monitor.canary.views import NO_SCRIPT, SVG

SIMULATE: Final = "/v1/simulate"
PICTURE: Final = SIMULATE + "/picture.svg"

MINUTES: Final = 720
"""Most minutes of all metrics together: 4 to 9 CPU-seconds, measured; the time grows as their square."""

_SAID: Final = 500


class Tried(msgspec.Struct, frozen=True):
    """What is asked for: counts, in one of two forms, and how to judge them.

    Attributes:
        policy: See there.
        observation: As `/v1/canaries/.../counts` gives it.
        csv: Or as `monitor.canary.simulate.read_csv` takes them.
    """

    policy: Policy
    observation: Observation | None = None
    csv: str = ""

    def counts(self) -> Observation:
        """What is judged.

        Raises:
            CountsError: It is no such thing, or too much.
        """
        found = self.observation if self.observation is not None else read_csv(self.csv)
        minutes = (found.until_ns - found.start_ns) // MINUTE_NS * max(1, len(self.policy.metrics))
        if minutes > MINUTES:
            raise CountsError(f"{minutes} minutes of all metrics together are more than {MINUTES}")
        return found


T = TypeVar("T")


class Trying:
    """See the module."""

    def __init__(self) -> None:
        self._room = asyncio.Semaphore(1)

    def routes(self) -> list[web.RouteDef]:
        """The routes; whoever may ask at all may ask this: nothing that is known here is told."""
        return [web.post(SIMULATE, self._simulate), web.post(PICTURE, self._picture)]

    async def _simulate(self, request: web.Request) -> web.Response:
        looks = await self._tried(await request.read(), _looks)
        return web.Response(body=msgspec.json.encode({"looks": looks}), content_type="application/json")

    async def _picture(self, request: web.Request) -> web.Response:
        text = await self._tried(await request.read(), _drawn)
        return web.Response(text=text, content_type=SVG, headers=NO_SCRIPT)

    async def _tried(self, body: bytes, work: Callable[[Tried], T]) -> T:
        if self._room.locked():
            raise web.HTTPServiceUnavailable(text="something else is tried just now")
        async with self._room:
            try:
                return await asyncio.to_thread(lambda: work(msgspec.json.decode(body, type=Tried)))
            except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
                raise web.HTTPBadRequest(text=str(error)[:_SAID]) from error


def _looks(tried: Tried) -> list[dict[str, int | Verdict]]:
    return [{"minute": look.minute, "verdict": look.verdict} for look in replay(tried.policy, tried.counts())]


def _drawn(tried: Tried) -> str:
    observation = tried.counts()
    return draw("simulated", tried.policy, observation, decide(tried.policy, observation))
