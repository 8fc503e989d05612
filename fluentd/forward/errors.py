"""Why a client is refused. The reason is a metric's label: few and constant."""


class RefusedError(Exception):
    """A client's bytes are not taken, and its connection is closed.

    Attributes:
        reason: For the metric: `format`, `size`, `nesting`, `gzip`, `inflated`, `compression`, `auth`, `slow`.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


REASONS = ("format", "size", "nesting", "gzip", "inflated", "compression", "auth", "slow")
