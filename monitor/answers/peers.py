"""Questions over all shards, wherever they are owned: put to all owners at once, and answered as a whole or not at all.

::

    ask --> shards held here ---------------------------> merge --> Answer
        '-> owners of the others, one request for each --'      '-> IncompleteError: a part is missing
             '--> who is the owner now? asked once more
"""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet

import structlog

from monitor.answers.answering import Answering
from monitor.answers.peerswire import ASK, AWAY, MOVED, REASONS, Asked, OfShard, Said, decode, encode
from monitor.reading import Answer, IncompleteError, Known, Question
from monitor.selfmetrics import SelfMetrics
from monitor.series.answer import merge, merge_known
from monitor.series.part import decode_known, decode_part
from pipeline.errors import FormatError
from pipeline.members import Members, PeerError

log = structlog.get_logger()


class GroupReader:
    """A `monitor.reading.Reader`.

    Args:
        answering: What is held here.
        members: The other monitors; `None` when there are none to ask.
        partitions: How many shards there are.
        gone: Names of nodes that will send nothing more.
        metrics: Where things are counted.
    """

    def __init__(
        self,
        *,
        answering: Answering,
        members: Members | None,
        partitions: int,
        gone: Callable[[], AbstractSet[str]],
        metrics: SelfMetrics,
    ) -> None:
        self._answering = answering
        self._members = members
        self._partitions = partitions
        self._gone = gone
        self._metrics = metrics

    async def watermark_ns(self) -> int:
        """See `monitor.reading.Reader`; 0 while one of the shards does not know."""
        said = await self._ask_all(())
        return min(of_shard.watermark_ns for of_shard in said.values())

    async def ask(self, question: Question) -> Answer:
        """See `monitor.reading.Reader`."""
        return (await self.ask_many([question]))[0]

    async def ask_many(self, questions: Sequence[Question]) -> list[Answer]:
        """Several questions at once, for the price of one. Raises as `ask` does."""
        said = await self._ask_all(questions)
        try:
            parts = [[decode_part(data) for data in of_shard.parts] for of_shard in said.values()]
        except FormatError as error:
            raise IncompleteError(f"another monitor is not understood: {error}") from error
        if any(len(of_shard) != len(questions) for of_shard in parts):
            raise IncompleteError("another monitor did not answer all that was asked")
        return [
            merge(question, [of_shard[number] for of_shard in parts], shards=self._partitions)
            for number, question in enumerate(questions)
        ]

    async def known(self, *, namespace: str | None = None, app: str | None = None) -> list[Known]:
        """See `monitor.reading.Reader`."""
        said = await self._ask_all((), known=(namespace, app))
        try:
            return merge_known([decode_known(of_shard.known) for of_shard in said.values()])
        except FormatError as error:
            raise IncompleteError(f"another monitor is not understood: {error}") from error

    async def _ask_all(
        self, questions: Sequence[Question], *, known: tuple[str | None, str | None] | None = None
    ) -> dict[int, OfShard]:
        """What all shards say, in their order."""
        begun = time.monotonic()
        gone = tuple(sorted(self._gone()))
        shards = tuple(range(self._partitions))
        asked = Asked(self._answering.queue_id, self._answering.rules, shards, gone, tuple(questions), known)
        said = await self._answering.answer(asked)
        if self._members is not None and said.refused:
            said = await self._ask_others(self._members, asked, said, because=(MOVED,))
            if said.refused:
                await self._members.refresh(since=begun)
                said = await self._ask_others(self._members, asked, said, because=(MOVED, AWAY))
        if said.refused:
            for reason in said.refused.values():
                self._metrics.incomplete_answers.labels(reason).inc()
            told = ", ".join(f"shard {shard}: {reason}" for shard, reason in sorted(said.refused.items()))
            raise IncompleteError(f"not all shards answer: {told}")
        return dict(sorted(said.shards.items()))

    async def _ask_others(self, members: Members, asked: Asked, said: Said, *, because: Collection[str]) -> Said:
        """Ask the owners of what was refused for one of the reasons `because`; what is missing then is in `refused`."""
        wanted = [shard for shard, reason in said.refused.items() if reason in because]
        shards, refused = dict(said.shards), dict(said.refused)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_ask_one(members, url, _only(asked, of_owner)), name=f"ask {url}")
                for url, of_owner in _by_owner(members, wanted).items()
            ]
            for shard in wanted:
                refused[shard] = AWAY
        for task in tasks:
            shards |= task.result().shards
            refused |= task.result().refused
        return Said(shards, {shard: reason for shard, reason in refused.items() if shard not in shards})


def _by_owner(members: Members, shards: Collection[int]) -> Mapping[str, list[int]]:
    found: dict[str, list[int]] = {}
    owners = members.owners()
    for shard in shards:
        url = owners.get(shard, "")
        if url not in ("", members.url):  # this one is about to have it, or had it a moment ago
            found.setdefault(url, []).append(shard)
    return found


def _only(asked: Asked, shards: Sequence[int]) -> Asked:
    return Asked(asked.queue_id, asked.rules, tuple(shards), asked.gone, asked.questions, asked.known)


async def _ask_one(members: Members, url: str, asked: Asked) -> Said:
    """What one monitor says of the shards that it was asked for, and of no others."""
    try:
        said = decode(await members.ask(url, ASK, encode(asked)), Said)
    except (PeerError, FormatError) as error:
        log.debug("monitor not asked", url=url, error=str(error))
        return Said({}, dict.fromkeys(asked.shards, AWAY))
    shards = {shard: of_shard for shard, of_shard in said.shards.items() if shard in asked.shards}
    refused = {
        shard: reason if (reason := said.refused.get(shard, AWAY)) in REASONS else AWAY
        for shard in asked.shards
        if shard not in shards
    }
    return Said(shards, refused)
