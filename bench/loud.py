"""A container that writes as fast as asked, in a process of its own: whoever measures must not share an interpreter.

`python -m bench.loud FOLDER BYTES_PER_SECOND MOST_BYTES` writes into a container's folder until it has written so many
bytes, or is ended; 0 bytes per second is as fast as it can. It rotates by renaming, and compresses and removes nothing.
"""

import random
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Final

from bench.material import MIB, SEED
from demo.corpus import make_pods, stored_lines
from demo.stack import pause

_LINES: Final = 20_000
_BLOCK_BYTES: Final = 64 * 1024
_FILE_BYTES: Final = 64 * MIB


def write_loud(folder: Path, *, bytes_per_second: int, most_bytes: int) -> None:
    """Write blocks of whole lines of the corpus, the same again and again."""
    folder.mkdir(parents=True)
    blocks = _blocks()
    live, begun, written, number = folder / "0.log", time.monotonic(), 0, 0
    while written < most_bytes:
        with live.open("ab", buffering=0) as file:
            while written < most_bytes and file.tell() < _FILE_BYTES:
                written += file.write(blocks[number % len(blocks)])
                number += 1
                ahead = written / bytes_per_second - (time.monotonic() - begun) if bytes_per_second else 0
                if ahead > 0:
                    pause(ahead)
        live.rename(folder / f"0.log.{written:014d}")


def _blocks() -> list[bytes]:
    pod = make_pods(seed=SEED, apps=1, pods_per_app=1)[0]
    blocks, block, size = [], list[bytes](), 0
    for line in islice(stored_lines(random.Random(SEED), pod), _LINES):
        block.append(line)
        size += len(line)
        if size >= _BLOCK_BYTES:
            blocks.append(b"".join(block))
            block, size = [], 0
    return blocks


if __name__ == "__main__":
    write_loud(Path(sys.argv[1]), bytes_per_second=int(sys.argv[2]), most_bytes=int(sys.argv[3]))
