"""The ways around judging line by line come to what judging line by line comes to."""

import struct
from dataclasses import replace

from hypothesis import example, given, settings
from hypothesis import strategies as st

from fluentd.pods.podrules import RateLimit, Unit
from fluentd.rules import limit as bucket
from fluentd.rules.compiled import RunRules
from fluentd.rules.judge import Input, Judge, Judged
from fluentd.rules.linerules import LineRule, LineRules
from fluentd.rules.redact import Redactor
from fluentd.rules.rulesfile import compile_user_pattern
from fluentd.rules.secrets import PACKS
from fluentd.rules.state import FRESH, RuleState, Verdict, Working

REDACTOR = Redactor(PACKS["default"], keys=True)
DROP = LineRule(Verdict.DROP, None, compile_user_pattern("", "", "drop").pattern, floating=True)
SAMPLE = LineRule(Verdict.SAMPLE, 1, compile_user_pattern("", "", "a").pattern, floating=True, keep=0.5)

FIRST = 1_795_521_600
_limits = st.none() | st.builds(RateLimit, st.sampled_from(Unit), st.integers(1, 200), st.integers(1, 300))
_lines = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 0, 0, 1, 2, -1]),
        st.sampled_from([b"stdout F ", b"stderr F "]),
        st.sampled_from([b"", b"drop", b"a", b"key AKIAIOSFODNN7EXAMPLE", b"postgres://u:p@h/", b"x" * 50]),
    ),
    min_size=1,
    max_size=30,
)
_states = st.none() | st.builds(
    RuleState,
    second=st.just(FIRST),
    tokens=st.integers(-9, 50),
    dropped=st.integers(0, 3),
    since=st.just(FIRST),
)


def outcome(judged: Judged, limit: RateLimit | None, second: int) -> Judged:
    """With the offsets spelled out, and without what nobody looks at."""
    offsets = judged.line_offsets
    if not offsets and judged.data:
        starts, at = [], 0
        for line in judged.data.split(b"\n")[:-1]:
            starts.append(at)
            at += len(line) + 1
        offsets = struct.pack(f"<{len(starts)}I", *starts)
    work = Working.of(judged.state if limit or judged.state.dropped else FRESH)
    bucket.refill(work, limit, FIRST + second)  # whether the tokens of a second that waits came already does not matter
    return replace(judged, line_offsets=offsets, state=work.freeze(), mid_line=False)


@settings(max_examples=100, deadline=None)
@given(
    limit=_limits,
    rules=st.sampled_from([(), (DROP,), (SAMPLE, DROP)]),
    redactor=st.sampled_from([None, REDACTOR]),
    lines=_lines,
    state=_states,
    final=st.booleans(),
    more=st.booleans(),
    stretched=st.booleans(),
)
@example(
    limit=None,
    rules=(DROP,),
    redactor=None,
    lines=[(0, b"stdout F ", b"drop")],
    state=None,
    final=False,
    more=False,
    stretched=False,
)
def test_quick_is_the_same(
    *,
    limit: RateLimit | None,
    rules: tuple[LineRule, ...],
    redactor: Redactor | None,
    lines: list[tuple[int, bytes, bytes]],
    state: RuleState | None,
    final: bool,
    more: bool,
    stretched: bool,
) -> None:
    second = last = 0
    out = []
    for step, stream, content in lines:
        second = max(0, second + step)
        last = max(last, second)
        out.append(b"2026-11-24T12:%02d:%02d.5Z %s%s\n" % (second // 60, second % 60, stream, content))
    data, size, offsets = b"".join(out), sum(map(len, out)), b""
    if stretched:  # as docker's lines are: longer in the file
        size *= 3
        offsets = struct.pack(f"<{len(out)}I", *(3 * sum(map(len, out[:index])) for index in range(len(out))))
    if limit is None:
        state = None
    taken = Input(data, size, offsets, 1000, b"source", final=final, more=more)
    judge = Judge(taken, state or FRESH, rules=LineRules(rules) if rules else None, limit=limit, redactor=redactor)
    slow = judge.run()
    quick = RunRules(lines=rules, limit=limit, redactor=redactor).apply(taken, state)
    if quick is None:
        assert (slow.data, slow.taken, slow.dropped, slow.hidden) == (data, size, {}, {})
    else:
        assert outcome(quick, limit, last) == outcome(slow, limit, last)
