"""The Deis router's lines: what a line was made of is what is read of it, whatever clients send."""

from collections import Counter
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.metric import UNKNOWN, LabelSet
from monitor.rules import router
from monitor.rules.access import METHODS
from monitor.rules.ruleset import RuleSet
from pipeline.lines.batch import ChunkFacts

ROUTER = ChunkFacts("deis-router", "", "v1", "deis-router-1", "deis-router", "n1", b"r", 0, "deis")

HOSTILE = [" - ", '"', "\\", "] - shop - ", '" - 200 - "', " : ", ", ", "- 0.5, 0.7", "\n", "é", "HTTP/1.1", "500", "x"]
client_text = st.lists(st.sampled_from(HOSTILE), max_size=6).map("".join)


def escaped(text: str) -> str:
    """As nginx writes what a client sent."""
    return "".join(
        f"\\x{byte:02X}" if byte < 32 or byte > 126 or byte in b'"\\' else chr(byte) for byte in text.encode()
    )


class Made(NamedTuple):
    """A line and what it was made of."""

    line: bytes
    app: str
    method: str
    code: int
    size: int
    seconds: float
    tries: list[tuple[str, float]]


@st.composite
def router_lines(draw: Any) -> Made:
    app = draw(st.sampled_from(["shop", "a", "my-app", "router-healthz"]))
    method = draw(st.sampled_from(["GET", "POST", "OPTIONS", "BREW", ""]))
    code, size = draw(st.sampled_from([200, 404, 502])), draw(st.integers(0, 10**10))
    millis = st.integers(0, 10**6)
    tries = draw(
        st.lists(st.tuples(st.sampled_from(["10.0.0.1:80", "[fd00::1]:8080", "-"]), millis), min_size=1, max_size=3)
    )
    between = draw(st.sampled_from([", ", " : "]))
    user = draw(client_text.filter(bool))
    took = draw(millis)
    request = f"{method} /{draw(client_text)} HTTP/1.1" if method else ""
    line = (
        f"[2026-11-24T19:27:56+00:00] - {app} - 10.1.2.3 - {escaped(user)} - {code} - "
        f'"{escaped(request)}" - {size} - "{escaped(draw(client_text))}" - "{escaped(draw(client_text))}" - '
        f'"{app}.example.com" - {between.join(address for address, _ in tries)} - {escaped(draw(client_text))} - '
        f"{between.join(seconds(ms) for address, ms in tries)} - {seconds(took)}"
    )
    reached = [(address, ms / 1000) for address, ms in tries if address != "-"]
    return Made(line.encode(), app, method if method in METHODS else "other", code, size, took / 1000, reached)


def seconds(millis: int) -> str:
    return f"{millis // 1000}.{millis % 1000:03d}"


@given(st.lists(router_lines(), min_size=1, max_size=10))
@settings(max_examples=50)
def test_what_a_line_was_made_of_is_read_of_it(batch_of: Any, line: Any, added: Any, made: list[Made]) -> None:
    found = added(RuleSet().samples(batch_of([line(one.line, facts=ROUTER) for one in made])))
    requests = Counter((one.app, ("router", one.method, str(one.code))) for one in made)
    assert found["app_requests"] == {
        LabelSet(app, app, release=UNKNOWN, labels=labels): (count, count) for (app, labels), count in requests.items()
    }
    assert sum(total for _, total in found["app_request_duration_seconds"].values()) == pytest.approx(
        sum(one.seconds for one in made)
    )
    assert sum(total for _, total in found["app_response_bytes"].values()) == sum(one.size for one in made)
    tries = [one for each in made for one in each.tries]
    assert sum(count for count, _ in found.get("app_tries", {}).values()) == len(tries)
    assert sum(total for _, total in found.get("app_try_duration_seconds", {}).values()) == pytest.approx(
        sum(took for _, took in tries)
    )
    without = sum(not one.tries for one in made)
    assert sum(count for count, _ in found.get("app_requests_without_upstream", {}).values()) == without
    assert "app_rule_misses" not in found


@given(router_lines())
def test_a_line_read_by_itself_says_the_same(made: Made) -> None:
    request = router.other_line(made.line)
    assert request is not None
    assert (request.owner, METHODS[request.method], request.code) == (made.app.encode(), made.method, made.code)
    assert (request.size, request.seconds) == (made.size, made.seconds)
    assert [(one.upstream.decode(), one.seconds) for one in request.tries] == made.tries


def test_only_a_pod_at_the_routers_place_speaks_for_others(batch_of: Any, line: Any, added: Any) -> None:
    posing = (
        b'[2026-11-24T19:27:56+00:00] - bank - 1.1.1.1 - - - 500 - "GET / HTTP/1.1" - 1 - "-" - "-" - "b" - '
        b"10.0.0.1:80 - b - 0.100 - 0.100"
    )
    found = added(RuleSet().samples(batch_of([line(posing)])))
    assert not any(labels.app == "bank" for of_sets in found.values() for labels in of_sets)


def test_what_the_router_says_beside_is_counted_as_unread(batch_of: Any, line: Any, added: Any) -> None:
    found = added(RuleSet().samples(batch_of([line(b"2026/11/24 [notice] 1#1: start", facts=ROUTER, stream=1)])))
    of_router = LabelSet("deis", "deis-router", "", "v1", "deis-router-1", ("deis-router", "unmatched"))
    assert found["app_rule_misses"] == {of_router: (1, 1)}
