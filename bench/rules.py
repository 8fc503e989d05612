"""Rules on chunks: MB of log per CPU-second of the rules alone."""

import random
import time
from itertools import islice
from typing import Final

from bench.figures import Figure
from bench.material import MB, Material
from demo.corpus import make_pods, stored_lines
from fluentd.pods.podrules import RateLimit, Unit
from fluentd.rules.compiled import RunRules
from fluentd.rules.judge import Input
from fluentd.rules.linerules import LineRule
from fluentd.rules.redact import Redactor
from fluentd.rules.rulesfile import compile_user_pattern
from fluentd.rules.secrets import PACKS
from fluentd.rules.state import RuleState, Verdict
from pipeline.chunk import cut_chunk
from pipeline.limits import CHUNK_BYTES

LINES: Final = 4000
SECONDS: Final = 1.0
LOW: Final = RateLimit(Unit.LINES, 100, 1000)


def rules_mb_per_cpu_s(_material: Material) -> list[Figure]:
    """Each set of rules over the same chunks, again and again for a second."""
    redactor = Redactor(PACKS["default"], keys=True)
    return [
        _measure("redact", RunRules(redactor=redactor)),
        _measure("limit_not_reached", RunRules(limit=RateLimit(Unit.BYTES, 10**9, 10**9))),
        _measure("limit_reached", RunRules(limit=LOW)),
        _measure("drop_none", RunRules(lines=[_drop("GET /healthz")])),
        _measure("drop_some", RunRules(lines=[_drop("cache")])),
        _measure("line_by_line", RunRules(lines=[_drop("cache")], limit=LOW, redactor=redactor)),
    ]


def _drop(pattern: str) -> LineRule:
    made = compile_user_pattern("", "", pattern)
    return LineRule(Verdict.DROP, None, made.pattern, made.floating)


def _files() -> list[list[bytes]]:
    """Chunks of one file of each kind of app."""
    files = []
    for number, pod in enumerate(make_pods(seed=1, apps=4, pods_per_app=1)):
        data = b"".join(islice(stored_lines(random.Random(number), pod), LINES))
        chunks = []
        while data:
            length = cut_chunk(data, limit_bytes=CHUNK_BYTES)
            chunks.append(data[:length])
            data = data[length:]
        files.append(chunks)
    return files


def _measure(name: str, rules: RunRules) -> Figure:
    files, size, began = _files(), 0, time.process_time()
    while time.process_time() - began < SECONDS:
        for chunks in files:
            state: RuleState | None = None
            for chunk in chunks:
                judged = rules.apply(Input(chunk, len(chunk), source=b"source", more=True), state)
                state = judged.state if judged is not None else None
                size += len(chunk)
    return Figure(f"rules_{name}_mb_per_cpu_s", size / MB / (time.process_time() - began), "MB/CPU-s", {"lines": LINES})
