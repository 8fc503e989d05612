"""Rules on lines from the network, before they become chunks: nothing of them is kept for a second reading.

A client sends again what was not answered, under the next name of its source; so a sample may come out differently
then, and counts are of what came. There is no rate limit: see docs/rules.md.
"""

from typing import TYPE_CHECKING, Protocol

from fluentd.inputs.source import VirtualSource
from fluentd.rules.judge import Input
from fluentd.rules.state import FRESH

if TYPE_CHECKING:
    from fluentd.rules.compiled import RunRules
    from fluentd.rules.judge import Judged
    from pipeline.chunk import Origin


class InputRules(Protocol):
    """Knows the rules for lines from the network, and counts what they do."""

    def of_input(self, origin: "Origin") -> "RunRules | None":
        """Rules for such lines; `None` when there are none."""

    def count(self, judged: "Judged") -> None:
        """Count what was dropped and hidden."""


def ruled(source: VirtualSource, data: bytes, book: InputRules) -> bytes:
    """What rules leave of complete lines that came together; moves the source's rule state on.

    Args:
        source: Whose lines they are; its origin names their app.
        data: Complete lines in the runtime's format.
        book: Knows the rules.
    """
    rules = book.of_input(source.origin)
    if rules is None:
        source.rules = None
        return data
    left: list[bytes] = []
    while data:
        given = Input(data, len(data), start=source.seen, source=source.id, final=True)
        judged = rules.apply(given, source.rules)
        if judged is None:
            source.seen += len(data)
            left.append(data)
            break
        book.count(judged)
        source.rules = None if judged.state == FRESH else judged.state
        source.seen += judged.taken
        left.append(judged.data)
        data = data[judged.taken :]
    return left[0] if len(left) == 1 else b"".join(left)
