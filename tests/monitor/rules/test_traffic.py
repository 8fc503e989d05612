"""Lines and bytes of whoever wrote them."""

from dataclasses import replace
from typing import Any

from monitor.metric import UNKNOWN, LabelSet
from monitor.rules.ruleset import RuleSet


def test_every_line_counts_once_by_its_writer_and_stream(batch_of: Any, line: Any, web: Any, added: Any) -> None:
    other = replace(web, release="", pod="p2")
    lines = [line(b"one"), line(b"", stream=1), line(b"three"), line(b"x", facts=other)]
    made = added(RuleSet().samples(batch_of(lines)))
    mine = LabelSet("shop", "shop", "web", "v3", "shop-web-1", ("stdout", ""))
    assert made["app_lines"] == {
        mine: (2, 2),
        LabelSet("shop", "shop", "web", "v3", "shop-web-1", ("stderr", "")): (1, 1),
        LabelSet("shop", "shop", "web", UNKNOWN, "p2", ("stdout", "")): (1, 1),
    }
    assert made["app_line_bytes"][mine] == (2, 8)


def test_no_lines_make_no_samples(batch_of: Any) -> None:
    assert RuleSet().samples(batch_of([])) == []


def test_the_digest_is_that_of_the_built_in_rules() -> None:
    assert RuleSet().digest == RuleSet.load(None).digest
