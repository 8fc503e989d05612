"""Frames that came before: a client that got no answer in time sends the same chunk again.

One that is known is not taken again; its client gets the answer that the first one waits for. Known means: the same
client, tag, chunk name and bytes. The name alone is not enough, since a client that counts from 0 after each start uses
names again, and to lose lines is worse than to have them twice.
"""

import hashlib
from collections import OrderedDict
from typing import Final

from fluentd.forward.frame import Frame
from fluentd.inputs.delivery import Delivery

MOST: Final = 8192
"""So many are remembered, at about 400 bytes each."""


def frame_key(client: str, frame: Frame, chunk: str | bytes) -> bytes:
    """Name a frame, before its entries are decompressed."""
    name = chunk if isinstance(chunk, bytes) else chunk.encode(errors="surrogateescape")
    told = hashlib.blake2b(digest_size=16)
    for part in (client.encode(errors="surrogateescape"), frame.tag.encode(errors="surrogateescape"), name):
        told.update(len(part).to_bytes(4))
        told.update(part)
    told.update(frame.body)
    return told.digest()


class Doubles:
    """See the module.

    Args:
        seconds: How long a frame is remembered.
        most: See `MOST`.
    """

    def __init__(self, *, seconds: float, most: int = MOST) -> None:
        self._seconds, self._most = seconds, most
        self._known: OrderedDict[bytes, tuple[float, Delivery]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def find(self, key: bytes, *, now: float) -> Delivery | None:
        """The delivery of the frame that came before; `None` for a new one.

        Args:
            key: Of `frame_key`.
            now: Monotonic seconds.
        """
        while self._known and next(iter(self._known.values()))[0] + self._seconds <= now:
            self._known.popitem(last=False)
        known = self._known.get(key)
        return None if known is None else known[1]

    def remember(self, key: bytes, delivery: Delivery, *, now: float) -> None:
        """Know a frame from now on."""
        self._known[key] = (now, delivery)
        if len(self._known) > self._most:
            self._known.popitem(last=False)

    def forget(self, key: bytes) -> None:
        """A frame was not taken whole: it must come again."""
        self._known.pop(key, None)
