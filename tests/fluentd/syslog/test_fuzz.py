"""Mutated messages through the whole of the input but its sockets. SYSLOG_FUZZ=1000000 for the long form."""

import os
import random
import resource
import sys
from datetime import UTC

from prometheus_client import CollectorRegistry

from fluentd.syslog.batch import Batcher
from fluentd.syslog.framing import Framer
from fluentd.syslog.metrics import SyslogMetrics
from fluentd.syslog.naming import Naming
from pipeline.cri import parse_header

NOW = 1_795_478_400_000_000_000
LIMIT = 4096
INPUTS = int(os.environ.get("SYSLOG_FUZZ", "3000"))
_SEEDS = (
    b'<165>1 2003-10-11T22:14:15.003Z host app 1 ID47 [a@1 x="1" y="\\]"][b] text\n',
    b"<34>Oct 11 22:14:15 mymachine su[1]: 'su root' failed\n",
    b"<14>2026-11-24T01:00:00+01:00 host go[7]: x\0",
    b"27 <13>1 - host app - - - text",
)


def test_no_input_is_too_odd() -> None:
    """Each becomes lines that the logger can read, and nothing grows: not the buffer, not the process."""
    chance = random.Random(20261124)
    metrics = SyslogMetrics(CollectorRegistry(), connections=lambda: 0)
    batcher = Batcher(naming=Naming((), app="rest"), zone=UTC, metrics=metrics)
    framer, lines, before = Framer(limit_bytes=LIMIT), 0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(INPUTS):
        if number % 10 == 0:
            framer = Framer(limit_bytes=LIMIT)  # a length of gigabytes swallows what follows
        messages = framer.feed(_mutated(chance))
        assert all(len(message) <= LIMIT for message in messages)
        for one in batcher.lines(messages, now_ns=NOW):
            parts = one.data.split(b"\n")
            assert parts.pop() == b""
            assert all(parse_header(part) is not None for part in parts)
            lines += len(parts)
    assert lines > INPUTS // 10
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert sys.platform != "linux" or grown_kib < 64 * 1024


def _mutated(chance: random.Random) -> bytes:
    data = bytearray(chance.choice(_SEEDS))
    for _ in range(chance.randint(0, 6)):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(6):
            case 0:
                data[at:at] = bytes([chance.randrange(256)]) * chance.choice((1, 1, 1, 5000))
            case 1:
                del data[at : at + chance.randint(1, 20)]
            case 2:
                data[at : at + 1] = bytes([chance.choice(b'<>[]" \\:1-\0\n\xff')])
            case 3:
                data[at:at] = data[: chance.randrange(40)]
            case 4:
                data[at:at] = chance.choice((b"4294967296 ", b"999999999 ", b"0 ", b"-1 ", b"100 "))
            case _:
                data[at:at] = chance.choice(_SEEDS)
    return bytes(data)
