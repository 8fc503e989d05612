"""Rules on lines from the network: no secret gets through, and what is dropped is counted to the line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from fluentd.inputs.delivery import Delivery
from fluentd.inputs.intake import Intake, Lines
from fluentd.inputs.lines import PIECE_BYTES, cri_lines
from fluentd.pods.podrules import NO_RULES
from fluentd.rules.book import RuleBook
from pipeline.limits import CHUNK_BYTES

T = 1_764_000_000_123_456_789
KEY = b"AKIAIOSFODNN7EXAMPLE"
HIDDEN = b"[redacted:aws-access-key-id]"


@pytest.fixture
def intake(make_intake: Any, tmp_path: Path, registry: CollectorRegistry) -> Callable[..., Intake]:
    def make(said: object, **settings: Any) -> Intake:
        path = tmp_path / "rules.json"
        path.write_text(json.dumps(said))
        book = RuleBook(path, pod_rules=lambda _: NO_RULES, registry=registry)
        made: Intake = make_intake(rules=book, limit_bytes=2**26, **settings)
        return made

    return make


def put(intake: Intake, *messages: bytes, app: str = "shop") -> Delivery:
    """One message after the other, as one delivery."""
    delivery = Delivery()
    data = b"".join(cri_lines(T, one) for one in messages)
    intake.put("syslog", Lines(app, "web", data, len(messages)), delivery)
    delivery.seal()
    return delivery


def sent(lanes: Any) -> list[bytes]:
    """Whole lines of all chunks, which follow each other without a gap."""
    ends: dict[bytes, int] = {}
    whole, joined = [], b""
    for _, one in lanes.put_chunks:
        chunk = one.chunk
        assert chunk.start == chunk.prev_end == ends.get(chunk.source, 0)
        assert chunk.end - chunk.start == len(chunk.data) <= CHUNK_BYTES
        ends[chunk.source] = chunk.end
        for line in chunk.data.splitlines():
            _, _, tag, content = line.split(b" ", 3)
            joined += content
            if tag == b"F":
                whole.append(joined)
                joined = b""
    return whole


def test_a_secret_is_hidden_and_counted_and_the_other_lines_are_as_they_came(
    intake: Any, lanes: Any, registry: Any
) -> None:
    put(intake({"redact": [{"packs": ["default"]}]}), b"before", b"key=" + KEY + b"\nsecond " + KEY, b"after")
    assert sent(lanes) == [b"before", b"key=" + HIDDEN, b"second " + HIDDEN, b"after"]
    assert registry.get_sample_value("fluentd_redactions_total", {"kind": "aws-access-key-id"}) == 2


def test_a_private_key_in_many_messages_is_hidden_to_its_end(intake: Any, lanes: Any) -> None:
    body = [b"%064x" % number for number in range(20)]
    made = intake({"redact": [{"packs": ["default"]}]})
    for message in (b"-----BEGIN PRIVATE KEY-----", *body, b"-----END PRIVATE KEY-----", b"%064x" % 7):
        put(made, message)
    put(made, b"%064x" % 8, app="blog")
    mark = b"[redacted:private-key]"
    assert sent(lanes) == [
        b"-----BEGIN PRIVATE KEY-----", *[mark] * 20, b"-----END PRIVATE KEY-----", b"%064x" % 7, b"%064x" % 8
    ]  # fmt: skip


@pytest.mark.parametrize("pieces", [1, 2, 7, 20])
def test_a_secret_across_the_pieces_of_a_long_message_is_hidden(intake: Any, lanes: Any, pieces: int) -> None:
    padding = b"x" * (PIECE_BYTES - 7)
    long = b"".join(padding[: -len(KEY)] + b" " + KEY + b" " + b"y" * (len(KEY) - 2) for _ in range(pieces))
    put(intake({"redact": [{"packs": ["default"]}]}), b"before", long, b"after")
    assert sent(lanes) == [b"before", long.replace(KEY, HIDDEN), b"after"]


def test_what_is_dropped_is_counted_and_answered_as_if_it_had_arrived(intake: Any, lanes: Any, registry: Any) -> None:
    made = intake({"drop": [{"message": "healthz", "apps": ["shop"]}]})
    assert put(made, b"GET /healthz", b"healthz").done
    assert lanes.put_chunks == []
    assert not put(made, b"GET /healthz", b"GET /").done
    assert put(made, b"healthz", app="blog").done is False
    assert sent(lanes) == [b"GET /", b"healthz"]
    assert registry.get_sample_value("fluentd_dropped_lines_total", {"reason": "drop_rule"}) == 3
    size = sum(len(cri_lines(T, one)) for one in (b"GET /healthz", b"healthz", b"GET /healthz"))
    assert registry.get_sample_value("fluentd_dropped_bytes_total", {"reason": "drop_rule"}) == size
    assert registry.get_sample_value("fluentd_input_messages_total", {"input": "syslog"}) == 5


def test_of_lines_that_come_one_by_one_a_share_stays(intake: Any, lanes: Any, registry: Any) -> None:
    """Each is drawn by its own place among those that came, also while none of them passes."""
    made = intake({"sample": [{"keep": 0.2}]})
    for number in range(1000):
        put(made, b"%d" % number)
    left = sent(lanes)
    assert 100 < len(left) < 300
    assert registry.get_sample_value("fluentd_dropped_lines_total", {"reason": "sample_rule"}) == 1000 - len(left)


def test_rates_are_not_limited_and_rules_for_a_namespace_or_another_input_concern_nothing(
    intake: Any, lanes: Any
) -> None:
    made = intake(
        {
            "rate_limits": [{"rate": "1 lines/s"}],
            "drop": [{"namespaces": ["prod"]}, {"containers": ["forward"]}, {"message": "x", "containers": ["syslog"]}],
        }
    )
    put(made, b"x", *[b"y"] * 100)
    assert sent(lanes) == [b"y"] * 100


def test_without_rules_the_bytes_are_not_even_copied(make_intake: Any, lanes: Any) -> None:
    data = cri_lines(T, KEY)
    make_intake().put("syslog", Lines("shop", "web", data, 1), Delivery())
    assert lanes.put_chunks[0][1].chunk.data is data


def test_a_client_that_makes_up_names_fills_no_memory_with_rules(
    intake: Any, lanes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fluentd.rules.book._MOST_CACHED", 10)
    made = intake({"redact": [{"packs": ["cloud"]}]}, own_sources=5)
    for number in range(50):
        put(made, KEY, app=f"app-{number}")
    assert len(made._rules._input_rules) <= 10
    assert {content for _, one in lanes.put_chunks for content in one.chunk.data.split(b" ", 3)[3:]} == {HIDDEN + b"\n"}
