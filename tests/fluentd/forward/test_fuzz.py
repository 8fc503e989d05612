"""Whatever comes over a connection is decoded or refused with a reason: no crash, no line that is none, little memory.

`FORWARD_FUZZ=1000000` is the long form; `FORWARD_FUZZ_SEED` replays.
"""

import gzip
import os
import random
import re
import struct
from pathlib import Path
from typing import Any

import msgpack

from fluentd.forward.errors import REASONS, RefusedError

INPUTS = int(os.environ.get("FORWARD_FUZZ", "20000"))
LIMIT_BYTES = 256 * 1024
T = 1_700_000_000
ENTRIES = [
    [msgpack.ExtType(0, struct.pack(">II", T, 5)), {"log": "one\ntwo", "app": "shop", "type": "web"}],
    [T, {"message": b"\xff\x00", "n": [1, -1, 2**40, 1.5, None, True, {"a": {}}], "t": msgpack.Timestamp(T, 7)}],
    [[T, {"meta": 1}], {"a": "x" * 300, 7: msgpack.ExtType(5, b"yy")}],
]
PACKED = b"".join(map(msgpack.packb, ENTRIES))
SEEDS = [
    msgpack.packb(["shop.web", T, {"log": "a"}, {"chunk": "abc"}]),
    msgpack.packb(["shop.web", ENTRIES, {"chunk": b"abc", "size": 3}]),
    msgpack.packb(["shop.web", PACKED, None]),
    msgpack.packb(["shop.web", PACKED, {"compressed": "text"}], use_bin_type=False),
    msgpack.packb(["shop.web", gzip.compress(PACKED), {"compressed": "gzip", "chunk": "abc"}]),
    msgpack.packb(["shop.web", gzip.compress(PACKED[:9]) + gzip.compress(PACKED[9:]), {"compressed": "gzip"}]),
    msgpack.packb(None),
]
SPLICES = [
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\xdb\x7f\xff\xff\xff",
    b"\xc9\xff\xff\xff\xff\x00",
    b"\xc9\xff\xff\xff\xfe\x00",
    b"\xdd\x00\x0f\xff\xff",
    b"\x91" * 50,
    b"\x81" * 50,
    b"\x91" * 5000,
    b"\x92\x01\x80" * 20,
    b"\xc1",
    b"\x81\x90\x90",
    b"\xd7\x00" + b"\xff" * 8,
    b"\xd7\xff" + b"\xff" * 8,
    b"\xc7\x0c\xff" + b"\xff" * 12,
    b"\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00",
    b"\xa4\xff\xfe\xfd\xfc",
]
BOMB = msgpack.packb(["bomb", gzip.compress(b"\x92\x01\x80" * 2**20), {"compressed": "gzip"}])


def fuzzed(choose: random.Random) -> bytes:
    """A frame with something wrong in it; now and then nothing, noise, or a bomb."""
    kind = choose.random()
    if kind < 0.02:
        return choose.randbytes(choose.randrange(1, 200))
    if kind < 0.0205:
        return BOMB
    data = bytearray(choose.choice(SEEDS))
    for _ in range(choose.choice((0, 1, 1, 1, 2, 3, 8))):
        position = choose.randrange(len(data) + 1)
        change = choose.random()
        if change < 0.45 and position < len(data):
            data[position] = choose.choice((choose.randrange(256), data[position] ^ 1 << choose.randrange(8)))
        elif change < 0.6:
            del data[position : position + choose.randrange(1, 5)]
        elif change < 0.75:
            data[position:position] = choose.randbytes(choose.randrange(1, 5))
        elif change < 0.9:
            data[position : position + choose.choice((0, 5))] = choose.choice(SPLICES)
        else:
            other = choose.choice(SEEDS)
            data[position:] = other[choose.randrange(len(other)) :]
        if not data:
            data += b"\xc0"
    return bytes(data)


def test_whatever_comes_is_decoded_or_refused(decode: Any) -> None:
    seed = int(os.environ.get("FORWARD_FUZZ_SEED", str(random.randrange(2**32))))
    print("FORWARD_FUZZ_SEED", seed)  # noqa: T201 - replays a failure
    choose = random.Random(seed)
    good = msgpack.packb(["good", T, {"log": "good"}])
    refused: dict[str, int] = {}
    lines = 0
    before = resident_bytes()
    for number in range(INPUTS):
        data = fuzzed(choose)
        try:
            lines += len(decode(data, limit_bytes=LIMIT_BYTES).lines)
        except RefusedError as error:
            refused[error.reason] = refused.get(error.reason, 0) + 1
        except Exception as error:
            raise AssertionError(f"input {number}: {data.hex()}") from error
        if number % 1000 == 0:
            assert [one.message for one in decode(good, limit_bytes=LIMIT_BYTES).lines] == [b"good"]
    grown = resident_bytes() - before
    print("refused", refused, "lines", lines, "grown", grown)  # noqa: T201 - the figures
    assert refused.keys() <= set(REASONS)
    assert {"format", "gzip"} <= refused.keys()
    assert lines > INPUTS // 4
    assert grown < 32 * LIMIT_BYTES


def resident_bytes() -> int:
    """Memory of this process now."""
    found = re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024
