"""What the shards that are held here know: for this monitor's own questions, and for those of others."""

from monitor.answers.peerswire import LOADING, MOVED, RULES, Asked, OfShard, Said
from monitor.series.part import encode_known, encode_part
from monitor.shards.held import Held
from monitor.shards.owning import Owning
from pipeline.threads import Threads


class Answering:
    """Answers out of memory.

    A shard that is held is answered for however sure it is that nobody else owns it: who believed so wrongly has an
    older watermark, and says so.

    Args:
        owning: The shards.
        queue_id: The queue that they are of.
        rules: Digest of the rules in use.
        threads: For the computing: not the loop's default ones, which may all wait for answers of other monitors.
    """

    def __init__(self, *, owning: Owning, queue_id: str, rules: str, threads: Threads) -> None:
        self._owning = owning
        self.queue_id = queue_id
        self.rules = rules
        self._threads = threads

    async def answer(self, asked: Asked) -> Said:
        """Answer for the shards asked for, as far as they are here."""
        if asked.rules != self.rules or asked.queue_id != self.queue_id:
            return Said({}, dict.fromkeys(asked.shards, RULES))
        refused: dict[int, str] = {}
        held: dict[int, Held] = {}
        for shard in asked.shards:
            found = self._owning.shards.get(shard)
            if found is None:
                refused[shard] = MOVED
            elif not found.is_current:
                refused[shard] = LOADING
            else:
                held[shard] = found
        answers = await self._threads.run(lambda: {shard: _say(one, asked) for shard, one in held.items()})
        return Said(answers, refused)


def _say(held: Held, asked: Asked) -> OfShard:
    metrics, gone = held.metrics, frozenset(asked.gone)
    return OfShard(
        metrics.watermark_ns(gone),
        tuple(encode_part(metrics.part(question, gone)) for question in asked.questions),
        b"" if asked.known is None else encode_known(metrics.known(namespace=asked.known[0], app=asked.known[1])),
    )
