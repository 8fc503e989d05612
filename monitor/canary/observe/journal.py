"""The minutes of an analysis, kept in the store for 30 days: `analysis-<analysis>/<first minute>`.

Each object holds the minutes from its name on, without a hole; the next object begins where it ends. An object is
written once and never changed, so who is second, whoever the leader is, finds the minute taken and reads it. Thus an
analysis' counts do not depend on who counted.
"""

import re
from typing import Final

import msgspec

from monitor.canary.counts import MINUTE_NS, Verdict
from monitor.canary.observe.rows import Seen
from pipeline.errors import FormatError
from pipeline.store import Store

PREFIX: Final = "analysis-"
KEPT_NS: Final = 30 * 24 * 60 * MINUTE_NS
"""How long an analysis is kept after its last minute."""

_PLAIN = re.compile(r"[^A-Za-z0-9._@-]")
_VERSION: Final = 1


class Page(msgspec.Struct, frozen=True):
    """One object.

    Attributes:
        seen: Minutes, ascending, without a hole.
        verdict: On all minutes up to these; `None` when there was none.
        version: Of this format.
    """

    seen: tuple[Seen, ...]
    verdict: Verdict | None = None
    version: int = _VERSION


def folder_of(analysis: str) -> str:
    """Where the minutes of an analysis are."""
    return f"{PREFIX}{_PLAIN.sub('_', analysis)}"


def sweep(store: Store, *, now_ns: int) -> None:
    """Delete analyses whose last minute is too old.

    Raises:
        StoreUnavailableError: It does not answer.
    """
    for folder in store.folders(PREFIX):
        names = [each.name.rpartition("/")[2] for each in store.objects(folder)]
        times = [int(name) for name in names if name.isdigit()]
        if times and max(times) < now_ns - KEPT_NS:
            for name in names:
                store.delete(f"{folder}/{name}")
            store.drop_folder(folder)


class Journal:
    """The minutes of one analysis. Methods block.

    Args:
        store: Where they are.
        analysis: Id; see `CanaryStatus.analysis`.
        start_ns: Of the first minute.
    """

    def __init__(self, store: Store, analysis: str, start_ns: int) -> None:
        self._store = store
        self._folder = folder_of(analysis)
        self._next_ns = start_ns
        self.seen: list[Seen] = []
        self.verdict: Verdict | None = None

    @classmethod
    def of_analysis(cls, store: Store, analysis: str, start_ns: int) -> "Journal":
        """That of an analysis which began at a time: the same release may be judged again, from another minute on."""
        return cls(store, f"{analysis}.{start_ns // MINUTE_NS}", start_ns)

    @property
    def next_ns(self) -> int:
        """The first minute that is not known."""
        return self._next_ns

    def read(self) -> None:
        """Take in what was written, by whomever.

        Raises:
            StoreUnavailableError: It does not answer.
            FormatError: An object is none of ours.
        """
        while (data := self._store.get(self._name())) is not None:
            self._take(_page_of(data))

    def write(self, seen: tuple[Seen, ...], verdict: Verdict | None) -> bool:
        """Add minutes, beginning at `next_ns`; false, and what is there was read, if somebody else did so first.

        Raises:
            StoreUnavailableError: It does not answer.
            FormatError: What is there is none of ours.
        """
        page = Page(seen, verdict)
        try:
            self._store.put(self._name(), msgspec.json.encode(page))
        except FileExistsError:
            self.read()
            return False
        self._take(page)
        return True

    def _name(self) -> str:
        return f"{self._folder}/{self._next_ns:020d}"

    def _take(self, page: Page) -> None:
        if not page.seen or [one.start_ns for one in page.seen] != self._expected(len(page.seen)):
            raise FormatError(f"{self._name()}: minutes that do not follow each other")
        self.seen.extend(page.seen)
        self.verdict = page.verdict or self.verdict
        self._next_ns += len(page.seen) * MINUTE_NS

    def _expected(self, count: int) -> list[int]:
        return [self._next_ns + at * MINUTE_NS for at in range(count)]


def _page_of(data: bytes) -> Page:
    try:
        page = msgspec.json.decode(data, type=Page)
    except msgspec.DecodeError as error:
        raise FormatError(f"no page of an analysis: {error}") from error
    if page.version != _VERSION:
        raise FormatError(f"a page of version {page.version}")
    return page
