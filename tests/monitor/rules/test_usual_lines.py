"""What is read of usual lines as arrays is what is read of each by itself."""

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.metric import LabelSet
from monitor.rules import ingress, requests, router
from monitor.rules.rows import Text
from monitor.rules.ruleset import RuleSet
from pipeline.lines.batch import ChunkFacts

ROUTER = ChunkFacts("deis-router", "", "v1", "r", "deis-router", "n1", b"r", 0, "deis")
ROUTER_LINE = (
    b'[2026-11-24T19:27:56+00:00] - shop - 10.1.2.3 - - - 200 - "GET / HTTP/1.1" - 512 - "-" - "x" - "s" - '
    b"10.0.0.1:80 - s.example - 0.001 - 0.002"
)
INGRESS_LINE = (
    b'1.1.1.1 - - [24/Nov/2026:19:27:56 +0000] "GET / HTTP/1.1" 200 512 "-" "x" '
    b"421 0.010 [a-b-80] [] 10.0.0.1:80 5 0.010 200 id"
)
EDITS = [b"-", b" ", b'"', b" - ", b"=", b"7", b",", b"[", b"]", b""]


def edited(line: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    for at, length, what in edits:
        place = at % (len(line) + 1)
        line = line[:place] + what + line[place + length :]
    return line


def check(form: ModuleType, lines: list[bytes], batch_of: Any, line: Any) -> None:
    text = Text.of(batch_of([line(one) for one in lines]), np.arange(len(lines)))
    usual = form.usual_lines(text).sure()
    owners, upstreams = usual.owner.to_pylist(), usual.upstream.to_pylist()
    for at, index in enumerate(usual.which.tolist()):
        alone = form.other_line(lines[index])
        assert alone is not None
        assert (alone.owner, alone.method, alone.code) == (owners[at], usual.method[at], usual.code[at])
        assert (alone.seconds, alone.size) == (usual.seconds[at], usual.size[at])
        tries = [(upstreams[at], usual.try_code[at], usual.try_seconds[at])] if b":" in upstreams[at] else []
        np.testing.assert_equal([tuple(one) for one in alone.tries], tries)


edits = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 3), st.sampled_from(EDITS)), max_size=2)


@given(made=st.lists(edits, min_size=1, max_size=30))
@settings(max_examples=50)
@pytest.mark.parametrize(("form", "content"), [(router, ROUTER_LINE), (ingress, INGRESS_LINE)])
def test_lines_that_were_tampered_with(*, batch_of: Any, line: Any, form: Any, content: bytes, made: Any) -> None:
    check(form, [edited(content, each) for each in made], batch_of, line)


@pytest.mark.parametrize(("form", "content"), [(router, ROUTER_LINE), (ingress, INGRESS_LINE)])
def test_every_single_edit_of_a_line(batch_of: Any, line: Any, form: Any, content: bytes) -> None:
    places = range(len(content))
    lines = [edited(content, [(at, length, what)]) for at in places for length in (0, 1) for what in EDITS]
    check(form, [content, *lines], batch_of, line)


def test_lines_are_the_same_in_any_block(batch_of: Any, line: Any, added: Any, monkeypatch: Any) -> None:
    twice = ROUTER_LINE.replace(b"10.0.0.1:80", b"10.0.0.1:80, 10.0.0.2:80").replace(b"0.001", b"0.001, 0.003")
    lines = [ROUTER_LINE, twice, b"none", ROUTER_LINE.replace(b"200", b"404"), twice, b"none", ROUTER_LINE] * 3
    batch = batch_of([line(one, facts=ROUTER, time_ns=at) for at, one in enumerate(lines)])
    whole = RuleSet().samples(batch)
    monkeypatch.setattr(requests, "BLOCK_LINES", 2)
    parts = RuleSet().samples(batch)
    assert added(parts) == added(whole)
    assert [each.row.tolist() for each in parts] == [each.row.tolist() for each in whole]
    for each in whole:
        assert each.time_ns.tolist() == each.row.tolist()


def test_what_has_no_port_was_passed_to_nobody(batch_of: Any, line: Any, added: Any) -> None:
    made = added(RuleSet().samples(batch_of([line(ROUTER_LINE.replace(b"10.0.0.1:80", b"backend1"), facts=ROUTER)])))
    assert "app_tries" not in made
    assert list(made["app_requests_without_upstream"].values()) == [(1, 1)]


def test_a_size_that_is_no_number_is_counted_as_that(batch_of: Any, line: Any, added: Any) -> None:
    lines = [line(ROUTER_LINE, facts=ROUTER), line(ROUTER_LINE.replace(b"512", b"x"), facts=ROUTER)]
    made = added(RuleSet().samples(batch_of(lines)))
    assert list(made["app_requests"].values()) == [(2, 2)]
    assert list(made["app_response_bytes"].values()) == [(1, 512)]
    assert [labels.labels for labels in made["app_rule_misses"]] == [("deis-router", "number")]


def test_names_that_are_alike_as_text_are_one(batch_of: Any, line: Any) -> None:
    names = [b"\xff", b"\xfe", b"a" * 200, b"a" * 300]
    lines = [line(ROUTER_LINE.replace(b"shop", name), facts=ROUTER) for name in names]
    for each in RuleSet().samples(batch_of(lines)):
        assert len(set(each.sets)) == len(each.sets)
    (asked,) = (each for each in RuleSet().samples(batch_of(lines)) if each.metric.name == "app_requests")
    assert [labels.app for labels in asked.sets] == ["\ufffd", "a" * 128]
    assert asked.index.tolist() == [0, 0, 1, 1]
    assert isinstance(asked.sets[0], LabelSet)
