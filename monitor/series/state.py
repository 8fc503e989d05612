"""All series of a shard, written down.

Series stand in the order in which they came, so that the bytes do not depend on the numbers under which they were kept.
Structs are arrays; fields are only ever added at the end, with a default.
"""

from collections import Counter

import msgspec
import numpy as np

from monitor.metric import LabelSet, Metric
from monitor.series.book import Book, Drops
from monitor.series.budget import AppUse
from monitor.series.cells import I64, Cells, CellsState
from monitor.series.limits import Limits
from monitor.series.names import Names
from monitor.series.pending import Pending, WaitingState
from monitor.series.table import TOTAL, Table
from monitor.series.times import Times


class NamesState(msgspec.Struct, frozen=True, array_like=True):
    """`Names` written down.

    Attributes:
        sets: Label sets, in the order in which they came.
        facts: Little-endian int64, by fact and then by label set. A series' total is named by its place.
    """

    sets: tuple[LabelSet, ...]
    facts: bytes


class TableState(msgspec.Struct, frozen=True, array_like=True):
    """One metric; slots ascend."""

    metric: Metric
    own: bool
    totals: NamesState
    sums: CellsState
    windows: NamesState
    slots: tuple[tuple[int, CellsState], ...]
    pending: WaitingState


class AppState(msgspec.Struct, frozen=True, array_like=True):
    """What an app has of its budget is counted anew from the tables; only this is not in them."""

    namespace: str
    app: str
    since_ns: int


class BookState(msgspec.Struct, frozen=True, array_like=True):
    """All metrics, in `order_of` them; counts by metric, sorted."""

    clock_ns: int
    newest_ns: int
    certain_ns: int
    apps: tuple[AppState, ...]
    tables: tuple[TableState, ...]
    drops: tuple[dict[str, int], ...]
    crowded: bool = False


def state_of(book: Book) -> BookState:
    """Write series down."""
    times, drops = book.times, book.drops
    return BookState(
        times.clock_ns,
        times.newest_ns,
        times.certain_ns,
        tuple(AppState(*app, use.since_ns) for app, use in book.budget.apps.items()),
        tuple(_table_state(table) for table in book.in_order()),
        tuple(
            dict(sorted(counter.items()))
            for counter in (drops.late, drops.ahead, drops.pooled, drops.unattributed, drops.refused)
        ),
        book.budget.crowded,
    )


def book_of(state: BookState, limits: Limits, metrics: tuple[Metric, ...]) -> Book:
    """Go on from what was written down.

    Args:
        state: The state.
        limits: Bounds, which may be others than those that it was made under: what is kept stays.
        metrics: Those that the rules make now. What the state has under their names and other definitions is left out,
            as is what rules made that are gone.

    Raises:
        ValueError: The state contradicts itself.
    """
    names = {metric.name for metric in metrics}
    book = Book(limits, names)
    book.times = Times(state.clock_ns, state.newest_ns, state.certain_ns)
    book.budget.clock_ns, book.budget.crowded = state.clock_ns, state.crowded
    book.drops = Drops(*(Counter(counts) for counts in state.drops))
    for app in state.apps:
        book.budget.apps[app.namespace, app.app] = AppUse(app.since_ns)
    for written in state.tables:
        if written.metric in metrics or (written.own and written.metric.name not in names):
            book.tables[written.metric] = table = _table_of(written)
            _count(table, book)
    for app_name, use in list(book.budget.apps.items()):
        if not use.held:
            del book.budget.apps[app_name]
    return book


def _count(table: Table, book: Book) -> None:
    for labels in table.totals:
        book.budget.count(labels, table.own_name)
    for labels in table.windows:
        book.budget.count_pod(labels)


def _table_state(table: Table) -> TableState:
    totals, windows = table.totals.rows(), table.windows.rows()
    place_of = np.zeros(table.totals.room, np.int64)
    place_of[totals] = np.arange(len(totals))
    facts = table.windows.facts[:, windows].copy()
    facts[TOTAL] = place_of[facts[TOTAL]]
    return TableState(
        table.metric,
        table.own,
        _names_state(table.totals, table.totals.facts[:, totals]),
        table.sums.state(totals),
        _names_state(table.windows, facts),
        tuple((number, table.slots[number].state(windows)) for number in sorted(table.slots)),
        table.pending.state(),
    )


def _table_of(state: TableState) -> Table:
    table = Table(state.metric, state.own)
    table.totals = _names_of(state.totals, len(table.totals.facts))
    table.windows = _names_of(state.windows, len(table.windows.facts))
    table.sums = Cells.of(state.sums, state.metric, len(table.totals), narrow=False)
    table.slots = {
        number: Cells.of(cells, state.metric, len(table.windows), narrow=True) for number, cells in state.slots
    }
    table.pending = Pending.of(state.pending)
    return table


def _names_state(names: Names, facts: I64) -> NamesState:
    return NamesState(names.sets(), facts.astype("<i8").tobytes())


def _names_of(state: NamesState, columns: int) -> Names:
    names = Names(columns)
    facts = np.frombuffer(state.facts, "<i8").reshape(columns, len(state.sets)).T.tolist()
    for labels, of_set in zip(state.sets, facts, strict=True):
        names.add(labels, *of_set)
    return names
