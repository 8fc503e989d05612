"""The heads of other loggers as one question sees them: as scans that are merged with those of this one."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec
import pyarrow as pa

from logger.reading.merge import Block, key_value, keys_of, value_at
from logger.reading.page import Selection
from logger.reading.peers import Answers, Peers, checked
from logger.reading.peerswire import (
    APPS,
    EVICTED,
    ROWS,
    AppsAnswer,
    AppsQuestion,
    PeerFormatError,
    RowsFacts,
    RowsQuestion,
    Standing,
    decode,
    decode_rows,
    encode,
)
from pipeline.members import PeerError

SEARCH_SECONDS: Final = 1.5
"""An owner answers with what it has found by then, and is asked to go on."""

_LEAST: Final = -(2**63)


class StaleViewError(Exception):
    """An owner has let go of rows that the pinned version of the table does not have: a newer one does."""

    def __init__(self, shards: frozenset[int]) -> None:
        super().__init__(f"shards {sorted(shards)}")
        self.shards = shards


@dataclass(frozen=True, slots=True)
class _RowsAnswer:
    table: pa.Table
    facts: RowsFacts


@dataclass(slots=True)
class OtherHeads:
    """The shards that this logger does not own, from the offsets of a pinned version of the table on.

    Attributes:
        peers: Who owns them.
        starts: The offsets.
        loop: Where questions are asked; scans are used in threads.
        missing: Shards whose newest rows are not in the answer.
        watermarks: Of the shards that are.
    """

    peers: Peers
    starts: Mapping[int, int]
    loop: asyncio.AbstractEventLoop
    missing: set[int] = field(default_factory=set)
    watermarks: dict[int, int | None] = field(default_factory=dict)

    def scans(self, selection: Selection, hidden: Mapping[int, int]) -> list["OtherScan"]:
        """Ask the owners for the first rows; blocks.

        Args:
            selection: What is asked for.
            hidden: Up to where the app is deleted.

        Raises:
            StaleViewError: Pin a newer version.
        """
        # Rows beyond `ends` are not wanted: nothing is missed that would be after it.
        starts = {shard: start for shard, start in self.starts.items() if selection.ends.get(shard, start + 1) > start}
        question = _question(selection, self.peers.queue_id, starts, hidden)
        answers = asyncio.run_coroutine_threadsafe(self._ask_all(question), self.loop).result()
        return [OtherScan(self, url, held, question, answer) for url, held, answer in answers.given]

    def more(self, url: str, question: RowsQuestion) -> _RowsAnswer | None:
        """Ask one owner for further rows; blocks. `None`, and its shards are missing, when it has no answer."""
        try:
            answer, standing = asyncio.run_coroutine_threadsafe(self._ask(url, question), self.loop).result()
        except PeerError:
            self.missing.update(question.starts)
            return None
        self.missing.update(question.starts.keys() - standing.ends.keys())
        return answer

    async def _ask_all(self, question: RowsQuestion) -> Answers[_RowsAnswer]:
        answers = await self.peers.over_owners(
            question.starts, lambda url, starts: self._ask(url, msgspec.structs.replace(question, starts=dict(starts)))
        )
        self.note(answers.missing)
        for _, held, answer in answers.given:
            self.watermarks |= {shard: answer.facts.standing.watermarks.get(shard) for shard in held}
        return answers

    async def _ask(self, url: str, question: RowsQuestion) -> tuple[_RowsAnswer, Standing]:
        content = await self.peers.ask(url, ROWS, encode(question))
        try:
            table, facts = decode_rows(content)
        except PeerFormatError as error:
            raise checked(url, error) from error
        return _RowsAnswer(table, facts), facts.standing

    async def apps(self, hidden: Mapping[str, Mapping[int, int]]) -> list[tuple[str, int, int, int]]:
        """What there is of each app.

        Raises:
            StaleViewError: Pin a newer version.
        """

        async def ask(url: str, starts: Mapping[int, int]) -> tuple[AppsAnswer, Standing]:
            question = AppsQuestion(
                self.peers.queue_id, dict(starts), {app: dict(boundary) for app, boundary in hidden.items()}
            )
            try:
                answer = decode(await self.peers.ask(url, APPS, encode(question)), AppsAnswer)
            except PeerFormatError as error:
                raise checked(url, error) from error
            return answer, answer.standing

        answers = await self.peers.over_owners(self.starts, ask)
        self.note(answers.missing)
        return [app for _, _, answer in answers.given for app in answer.apps]

    def note(self, missing: Mapping[int, str]) -> None:
        """Note which shards are missing, and why.

        Raises:
            StaleViewError: Pin a newer version.
        """
        stale = frozenset(shard for shard, why in missing.items() if why == EVICTED)
        if stale:
            raise StaleViewError(stale)
        self.missing.update(missing)


class OtherScan:
    """Rows of one owner, one question after the other; a `logger.reading.merge.Scan`.

    Args:
        heads: Who asks.
        url: The owner.
        starts: The shards that it has answered for.
        question: What was asked.
        answer: What it said.
    """

    def __init__(
        self, heads: OtherHeads, url: str, starts: Mapping[int, int], question: RowsQuestion, answer: _RowsAnswer
    ) -> None:
        self._heads = heads
        self._url = url
        self._descending = question.descending
        self._next: RowsQuestion | None = msgspec.structs.replace(question, starts=dict(starts))
        self._answer: _RowsAnswer | None = answer

    @property
    def first(self) -> int:
        """See `logger.reading.merge.Scan`; not known here, so that it is always read first."""
        return _LEAST

    def load(self) -> Block | None:
        """See `logger.reading.merge.Scan`."""
        if self._next is None:
            return None
        answer = self._answer or self._heads.more(self._url, self._next)
        following = None if answer is None else answer.facts.following
        self._answer = None
        self._next = None if following is None else msgspec.structs.replace(self._next, beyond=following)
        if answer is None or (following is None and not answer.table.num_rows):
            return None
        keys = keys_of(answer.table, descending=self._descending)
        if following is None:
            last = value_at(keys, answer.table.num_rows - 1)
        else:
            last = key_value(following, descending=self._descending)
        return Block(last, keys, answer.table)


def _question(
    selection: Selection, queue_id: str, starts: Mapping[int, int], hidden: Mapping[int, int]
) -> RowsQuestion:
    return RowsQuestion(
        queue_id,
        selection.app,
        dict(starts),
        {shard: end for shard, end in selection.ends.items() if shard in starts},
        {shard: start for shard, start in hidden.items() if shard in starts},
        # One row more than a page has tells whether it is the last.
        selection.limit + 1,
        selection.descending,
        selection.since_ns,
        selection.until_ns,
        selection.beyond,
        selection.lines.exact,
        selection.lines.text,
        selection.lines.regex,
        min(selection.seconds, SEARCH_SECONDS),
    )
