"""How long to wait before the same request is sent again."""

import random
from typing import Final

FIRST_SECONDS: Final = 0.25
MOST_SECONDS: Final = 10.0


class Backoff:
    """Doubling pauses with jitter, so that the followers of a logger that restarts do not come back all at once."""

    def __init__(self) -> None:
        self._tries = 0

    @property
    def tries(self) -> int:
        """How many pauses there have been since the last success."""
        return self._tries

    def reset(self) -> None:
        """Start again from the shortest pause: the request was answered."""
        self._tries = 0

    def next_seconds(self) -> float:
        """Return the next pause, between half and all of its nominal length."""
        nominal = min(MOST_SECONDS, FIRST_SECONDS * 2.0 ** min(self._tries, 16))
        self._tries += 1
        return nominal * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret
