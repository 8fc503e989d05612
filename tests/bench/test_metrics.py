"""The lines that rules are measured on are lines that they read: a rule that reads nothing is fast."""

from collections import Counter

from bench.metrics import batches, router_lines, user_lines
from monitor.rules.ruleset import RuleSet
from pipeline.lines.batch import ChunkFacts

LINES = 200


def test_the_router_rule_reads_all_that_it_is_measured_on() -> None:
    facts = ChunkFacts("deis-router", "", "v1", "r", "deis-router", "n1", b"r", 0, "deis")
    made: Counter[str] = Counter()
    for batch in batches(list(router_lines(LINES)), facts):
        made.update({each.metric.name: len(each.index) for each in RuleSet().samples(batch)})
    assert made["app_lines"] == made["app_requests"] == made["app_request_duration_seconds"] == LINES
    assert made["app_tries"] == LINES + LINES // 50
    assert not made["app_rule_misses"]


def test_the_users_rule_matches_all_that_it_is_measured_on() -> None:
    rules = RuleSet(rb"metrics: [{name: n, kind: counter, pattern: 'checkout \w+ of customer \d+ took [0-9.]+ ms'}]")
    facts = ChunkFacts("shop", "web", "v1", "p", "c", "n1", b"s", 0, "shop")
    (batch,) = batches(list(user_lines(LINES)), facts)
    assert {each.metric.name: len(each.index) for each in rules.samples(batch)}["n"] == LINES
