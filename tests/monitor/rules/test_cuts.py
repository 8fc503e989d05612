"""What lines give does not depend on which lines they come with, and nothing in a line is an error."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.metric import LabelSet, Samples
from monitor.rules.own import read_own
from monitor.rules.ruleset import RuleSet
from pipeline.lines.batch import ChunkFacts

RULES = RuleSet(
    rb"""
sources:
  - {format: deis-router, namespaces: [deis], containers: [deis-router]}
  - {format: ingress-nginx, namespaces: [edge]}
  - {format: traefik, namespaces: [traefik]}
  - {format: envoy, namespaces: [envoy]}
metrics:
  - {name: took_seconds, kind: histogram, pattern: 'took (?P<took>\S*?)(?P<unit>[mu]s)', value: took, unit: ms,
     labels: {unit: unit}}
  - {name: depth, kind: gauge, format: logfmt, value: depth, labels: {queue: queue}}
  - {name: jobs_total, kind: counter, format: json, when: {event: [done]}, value: n, labels: {a: a.b}}
"""
)
OWN = {
    ("shop", "shop"): read_own(
        "- {name: words_total, kind: counter, pattern: '(?P<word>\\\\w+) took', labels: {word: word}}",
        namespace="shop",
        app="shop",
    )
}
ROUTER_LINE = (
    b'[2026-11-24T19:27:56+00:00] - shop - 10.1.2.3 - - - 200 - "GET / HTTP/1.1" - 5 - "-" - "-" - "s" - '
    b"10.0.0.1:80 - s - 0.001 - 0.002"
)
INGRESS_LINE = (
    b'1.1.1.1 - - [24/Nov/2026:19:27:56 +0000] "GET / HTTP/1.1" 200 5 "-" "-" '
    b"421 0.010 [a-b-80] [] 10.0.0.1:80 5 0.010 200 id"
)
PIECES = [
    ROUTER_LINE,
    INGRESS_LINE,
    b'1.1.1.1 - - [24/Nov/2026:19:27:56 +0000] "GET / HTTP/1.1" 200 5 "-" "-" 1 "r@k" "http://10.0.0.1:80" 12ms',
    b'{"method":"GET","response_code":200,"duration":1,"bytes_sent":1,"upstream_host":"10.0.0.1:80"}',
    b'{"method":"GET","status":200,"duration_ms":1,"level":"info","trace_id":"0123456789abcdef"}',
    b'{"event":"done","n":2,"a":{"b":"c"}}',
    b'level=info depth=7 queue="a b" trace_id=0123456789abcdef0123456789abcdef',
    b"ERROR it took 12ms",
    b'"',
    b" - ",
    b"\\",
    b"{",
    b"\xff",
    b"0.1, 0.2",
    b"",
]
WRITERS = [
    ChunkFacts("shop", "web", "v3", "shop-web-1", "web", "n1", b"s", 0, "shop"),
    ChunkFacts("shop", "web", "v3", "shop-web-1", "sidecar", "n2", b"t", 1, "shop"),
    ChunkFacts("deis-router", "", "v1", "r", "deis-router", "n1", b"r", 0, "deis"),
    ChunkFacts("edge", "", "", "i", "c", "n1", b"i", 0, "edge"),
    ChunkFacts("traefik", "", "", "t", "c", "n1", b"t", 0, "traefik"),
    ChunkFacts("envoy", "", "", "e", "c", "n1", b"e", 0, "envoy"),
]


def changed(line: bytes, at: int, what: bytes) -> bytes:
    place = at % (len(line) + 1)
    return (line[:place] + what + line[place + len(what) // 2 :]).replace(b"\n", b"")


contents = st.one_of(
    st.sampled_from(PIECES),
    st.builds(changed, st.sampled_from(PIECES), st.integers(0, 400), st.sampled_from(PIECES) | st.binary(max_size=8)),
    st.binary(max_size=60).map(lambda line: line.replace(b"\n", b"")),
)
batches = st.lists(st.tuples(contents, st.sampled_from(WRITERS), st.integers(0, 1)), max_size=25)


def flat(made: list[Samples], first: int) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    for each in made:
        assert len(set(each.sets)) == len(each.sets)
        assert each.row.tolist() == sorted(each.row.tolist())
        values = [1.0] * len(each.index) if each.values is None else each.values.tolist()
        parts = zip(each.row.tolist(), each.index.tolist(), each.time_ns.tolist(), values, strict=True)
        found += [(row + first, each.metric.name, each.sets[index], time, value) for row, index, time, value in parts]
    return found


def newest(made: list[list[Samples]]) -> dict[tuple[str, LabelSet], str]:
    return {
        (each.metric.name, each.sets[each.index[one.sample]]): one.trace_id
        for of_batch in made
        for each in of_batch
        for one in each.exemplars
    }


@given(batches, st.integers(0, 25))
@settings(max_examples=80)
def test_the_same_samples_come_of_lines_wherever_a_batch_is_cut(batch_of: Any, line: Any, made: Any, cut: int) -> None:
    lines = [line(content, facts, stream, number) for number, (content, facts, stream) in enumerate(made)]
    whole = RULES.samples(batch_of(lines), own=OWN)
    parts = [RULES.samples(batch_of(part), own=OWN) for part in (lines[:cut], lines[cut:])]
    in_parts = flat(parts[0], 0) + flat(parts[1], min(cut, len(lines)))
    assert sorted(flat(whole, 0), key=repr) == sorted(in_parts, key=repr)
    assert newest([whole]) == newest(parts)


def test_every_line_of_a_router_is_read_or_counted_as_unread(batch_of: Any, line: Any, added: Any) -> None:
    lines = [line(content, facts) for facts in WRITERS for content in PIECES]
    found = added(RULES.samples(batch_of(lines), own=OWN))
    for source, rule in (("router", "deis-router"), ("ingress-nginx",) * 2, ("traefik",) * 2, ("envoy",) * 2):
        read = sum(count for labels, (count, _) in found["app_requests"].items() if labels.labels[0] == source)
        unread = sum(
            count for labels, (count, _) in found["app_rule_misses"].items() if labels.labels == (rule, "unmatched")
        )
        assert read >= 1
        assert read + unread == len(PIECES)
