"""`python -m logger gaps`, `accept-gap`: bytes missing for good hold `Complete-Up-To` until somebody says so.

The table has the agent's later bytes and not these: a queue was lost with records in it, or an agent misbehaved.
Nobody but a person can know that they will not come.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial

from logger.commands.shards import change_shard, open_both
from logger.settings import LoggerSettings
from logger.table.writer import IngestTable
from pipeline.cri import format_time
from pipeline.errors import FatalError
from pipeline.lines.gaps import Gap, GapName, accept_gaps, find_gaps
from pipeline.lines.resume import ShardState, decode_state

HEADER = "gap\tbytes\tnode\tapp\tpod\tcontainer\trestart\tfile\theld_at"
"""Columns of a listing, one gap a line, separated by tabs."""


async def gaps(settings: LoggerSettings) -> tuple[str, str]:
    """List the gaps of the queue as it stands.

    Returns:
        The listing, empty when there are none; and what to say of it.

    Raises:
        PipelineError: Queue or store do not answer.
    """
    async with open_both(settings) as (_, table):
        states = await asyncio.to_thread(_states, table)
    if not states:
        return "", "the table knows nothing of this queue yet"
    found = [gap for shard, state in sorted(states.items()) for gap in find_gaps(shard, state)]
    lost_bytes = sum(gap.name.end - gap.name.start for gap in found)
    accepted_bytes = sum(state.accepted_bytes for state in states.values())
    told = f"{len(found)} gaps, {lost_bytes} bytes; {accepted_bytes} bytes were accepted as lost before"
    return _listing(found) if found else "", told


async def accept_gap(settings: LoggerSettings, names: Sequence[GapName]) -> str:
    """Declare gaps lost: all of `names`, or none when one of them is no gap.

    Raises:
        FatalError: One is no gap as the table stands.
        PipelineError: Queue or store do not answer; those of some shards may be accepted.
    """
    async with open_both(settings) as (_, table):
        return await asyncio.to_thread(accept, table, names)


def accept(table: IngestTable, names: Iterable[GapName]) -> str:
    """The same in a table. Blocks."""
    by_shard: dict[int, set[GapName]] = {}
    for name in names:
        by_shard.setdefault(name.shard, set()).add(name)
    _check(_states(table), by_shard)
    told = []
    for shard, of_shard in sorted(by_shard.items()):
        lost_bytes = change_shard(table, shard, partial(_accept, of_shard))
        told.append(f"shard {shard}: {len(of_shard)} gaps, {lost_bytes} bytes are declared lost")
    return "\n".join(told)


def _accept(names: Collection[GapName], position: int, state: ShardState) -> tuple[int, int]:
    return position, accept_gaps(state, names)


def _check(states: Mapping[int, ShardState], by_shard: Mapping[int, set[GapName]]) -> None:
    """Look at all of them before the first is committed."""
    for shard, names in by_shard.items():
        if shard not in states:
            raise FatalError(f"shard {shard}: the table has nothing of it")
        accept_gaps(states[shard], names)


def _states(table: IngestTable) -> dict[int, ShardState]:
    return {shard: decode_state(blob) for shard, blob in table.load_states().items()}


def _listing(found: Iterable[Gap]) -> str:
    return "".join(f"{line}\n" for line in [HEADER, *map(_row, found)])


def _row(gap: Gap) -> str:
    origin = gap.origin
    held_at = format_time(gap.held_ns).decode() if gap.held_ns else "-"
    names = (gap.node, origin.app, origin.pod, origin.container)
    # They come from outside: nothing in them acts on a terminal, or makes a column.
    shown = [name.encode("unicode_escape").decode() for name in names]
    size = gap.name.end - gap.name.start
    return "\t".join([str(gap.name), str(size), *shown, str(origin.restart), str(gap.ordinal), held_at])
