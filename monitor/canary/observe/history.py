"""The noise between pods of one release, minute by minute: what an analysis' evidence is tempered with.

In each minute some pods of the stable release stand for a canary ("A/A"), as many as its share is planned, drawn anew
each hour. Minutes are kept in the store, ten to an object, `history/<namespace>.<name>/<first minute>`, for a day.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from monitor.canary.counts import MINUTE_NS, Minute
from monitor.canary.noise import Noise, noise
from monitor.canary.resource.spec import Source
from monitor.reading import Amount
from pipeline.errors import FormatError
from pipeline.store import Store

FOLDER: Final = "history"
BLOCK_MINUTES: Final = 10
BLOCK_NS: Final = BLOCK_MINUTES * MINUTE_NS
KEPT_NS: Final = 24 * 60 * MINUTE_NS

_HOUR_NS: Final = 60 * MINUTE_NS
_VERSION: Final = 1


class Side(msgspec.Struct, frozen=True, array_like=True):
    """What some pods did in a minute.

    Attributes:
        n: Requests.
        e: Failed ones.
        buckets: Durations, as `Amount.buckets` has them; empty when none are known.
    """

    n: int = 0
    e: int = 0
    buckets: tuple[int, ...] = ()


class Past(msgspec.Struct, frozen=True, array_like=True):
    """A minute of one release.

    Attributes:
        start_ns: Its first nanosecond.
        rest: The pods that stand for the stable arm.
        some: Those that stand for a canary.
    """

    start_ns: int
    rest: Side
    some: Side


class Block(msgspec.Struct, frozen=True):
    """One object.

    Attributes:
        minutes: Ascending; those that were known.
        edges: Of the durations' buckets.
        version: Of this format.
    """

    minutes: tuple[Past, ...]
    edges: tuple[float, ...] = ()
    version: int = _VERSION


def drawn(pods: Iterable[str], *, start_ns: int, share: float) -> frozenset[str]:
    """The pods that stand for a canary in the hour of a minute: the same for whoever draws; at least one.

    Args:
        pods: Names of two or more.
        start_ns: Of the minute.
        share: Of a canary.
    """
    hour = start_ns // _HOUR_NS
    order = sorted(pods, key=lambda pod: hashlib.sha256(f"{pod}@{hour}".encode()).digest())
    return frozenset(order[: min(len(order) - 1, max(1, round(share * len(order))))])


def past_of(
    start_ns: int,
    requests: Mapping[tuple[str, ...], Amount],
    durations: Mapping[tuple[str, ...], Amount],
    *,
    share: float,
) -> Past | None:
    """A minute by pods; `None` when fewer than two had requests.

    Args:
        start_ns: Of the minute.
        requests: By pod and code.
        durations: By pod.
        share: Of a canary.
    """
    pods = {pod for pod, _ in requests if pod}
    if len(pods) < 2:  # noqa: PLR2004 - two sides
        return None
    some = drawn(pods, start_ns=start_ns, share=share)
    return Past(start_ns, _side(pods - some, requests, durations), _side(some, requests, durations))


def _side(
    pods: Iterable[str], requests: Mapping[tuple[str, ...], Amount], durations: Mapping[tuple[str, ...], Amount]
) -> Side:
    chosen = frozenset(pods)
    found = [(code, amount.count) for (pod, code), amount in requests.items() if pod in chosen]
    buckets = [amount.buckets for (pod,), amount in durations.items() if pod in chosen]
    return Side(
        sum(count for _, count in found),
        sum(count for code, count in found if code.startswith("5")),
        tuple(map(sum, zip(*buckets, strict=True))),
    )


@dataclass(frozen=True, slots=True)
class History:
    """What is known of a release's noise.

    Attributes:
        minutes: Ascending.
        edges: Of their durations' buckets.
    """

    minutes: Sequence[Past] = ()
    edges: tuple[float, ...] = field(default=())

    def noise(self, source: Source | None, limit_seconds: float | None) -> Noise | None:
        """The noise of a metric; `None` where there is too little history, or none of such a metric.

        Args:
            source: Of the metric; `None` for PromQL.
            limit_seconds: Of a latency metric.
        """
        if source == Source.ERRORS:
            found = [Minute(one.start_ns, one.rest.n, one.rest.e, one.some.n, one.some.e) for one in self.minutes]
        elif source == Source.LATENCY and limit_seconds is not None:
            above = sum(edge <= limit_seconds for edge in self.edges)
            found = [_slow(one, above) for one in self.minutes if one.rest.buckets and one.some.buckets]
        else:
            return None
        return noise(found)


def _slow(past: Past, above: int) -> Minute:
    rest, some = past.rest.buckets, past.some.buckets
    return Minute(past.start_ns, sum(rest), sum(rest[above:]), sum(some), sum(some[above:]))


def folder_of(namespace: str, name: str) -> str:
    """Where the history of a canary's target is: by its name, so that it outlives the resource."""
    return f"{FOLDER}/{namespace}.{name}"


def write(store: Store, folder: str, start_ns: int, block: Block) -> None:
    """Keep a block, and forget those that are too old. Who comes second leaves what is there.

    Raises:
        StoreUnavailableError: It does not answer.
    """
    try:
        store.put(f"{folder}/{start_ns:020d}", msgspec.json.encode(block))
    except FileExistsError:
        return
    for each in store.objects(folder):
        name = each.name.rpartition("/")[2]
        if name.isdigit() and int(name) < start_ns - KEPT_NS:
            store.delete(f"{folder}/{name}")


def read(store: Store, folder: str) -> History:
    """All that is kept.

    Raises:
        StoreUnavailableError: It does not answer.
        FormatError: An object is none of ours.
    """
    minutes: list[Past] = []
    edges: tuple[float, ...] = ()
    for each in store.objects(folder):
        data = store.get(f"{folder}/{each.name.rpartition('/')[2]}")
        if data is None:
            continue
        try:
            block = msgspec.json.decode(data, type=Block)
        except msgspec.DecodeError as error:
            raise FormatError(f"{each.name} is no history: {error}") from error
        if edges and block.edges and block.edges != edges:
            minutes = []  # other buckets than before: what was before cannot be added to it
        edges = block.edges or edges
        minutes += block.minutes
    return History(minutes, edges)
