"""Heartbeats: only forward, less the slack, nothing while nothing is known."""

from fluentd.lanes.heartbeat import SLACK_NS, Heartbeat


def test_a_heartbeat_never_goes_back_and_says_nothing_while_nothing_is_known() -> None:
    complete, sent = [0], list[int]()
    heartbeat = Heartbeat(complete_ns=lambda: complete[0], send=sent.append, interval_seconds=1.0)
    for complete[0] in (0, SLACK_NS + 5, SLACK_NS + 3, SLACK_NS + 5, SLACK_NS + 9):
        heartbeat.beat()
    assert sent == [5, 9]
