"""Who was at an address when: statements in whatever order and number, against a plain list of what is true."""

from typing import Any

import msgspec
import pytest

from monitor.pods.attribution import AHEAD_NS, Endpoints, EndpointsState, Served
from pipeline.pack import PackBody
from pipeline.podstatement import PodStatement

A, B = "10.0.0.1", "10.0.0.2"


def said(release: str, from_ns: int, to_ns: int = 0, **more: Any) -> PodStatement:
    values = {"namespace": "shop", "pod": "web-1", "uid": "u1", "app": "shop", "process": "web", "ips": (A,)}
    return PodStatement(**values | {"ports": (), "release": release, "from_ns": from_ns, "to_ns": to_ns} | more)


def pack(known_ns: int, *pods: PodStatement, complete: bool = False, node: str = "n1") -> PackBody:
    return PackBody(node, 0, [], [], b"", pods, complete, known_ns)


def learned(*bodies: PackBody) -> Endpoints:
    endpoints = Endpoints()
    for body in bodies:
        endpoints.learn(body)
    return endpoints


def releases(endpoints: Endpoints, *times_ns: int, upstream: str = f"{A}:8080") -> list[str | None]:
    found = [endpoints.at(upstream, time_ns) for time_ns in times_ns]
    return [None if one is None else one.release for one in found]


def test_a_pod_is_at_its_address_for_as_long_as_its_node_says_so() -> None:
    endpoints = learned(pack(20, said("v1", 10)))
    assert endpoints.at(f"{A}:8080", 15) == Served("shop", "shop", "web", "v1", "web-1")
    assert releases(endpoints, 9, 10, 20, 21) == [None, "v1", "v1", None]
    endpoints.learn(pack(30))
    assert releases(endpoints, 30, 31) == ["v1", None]
    endpoints.learn(pack(40, said("v1", 10, 35)))
    assert releases(endpoints, 34, 35, 36) == ["v1", None, None]


def test_an_address_that_is_used_again_is_the_next_pods_from_then_on() -> None:
    first, second = said("v1", 10, 30), said("v2", 20, uid="u2", pod="web-2")
    for order in ((first, second), (second, first)):
        assert releases(learned(pack(50, *order)), 15, 20, 25, 40) == ["v1", "v2", "v2", "v2"]
    ended = said("v2", 20, 25, uid="u2")
    assert releases(learned(pack(50, said("v1", 10), ended)), 19, 22, 27) == ["v1", "v2", None], "the first was gone"


def test_a_label_that_changes_begins_another_stay() -> None:
    endpoints = learned(pack(20, said("v1", 10)), pack(40, said("v1", 10, 30), said("v2", 30)))
    assert releases(endpoints, 29, 30) == ["v1", "v2"]


def test_a_change_that_an_agent_was_not_there_to_see_counts_from_when_it_is_told() -> None:
    endpoints = learned(pack(20, said("v1", 10)), pack(40, said("v2", 10), complete=True), pack(60))
    assert releases(endpoints, 20, 39, 40, 60) == ["v1", "v1", "v2", "v2"]


def test_a_label_that_changed_back_while_nobody_saw_it_counts_from_when_it_is_told() -> None:
    endpoints = learned(pack(20, said("v1", 10)), pack(40, said("v1", 10, 30), said("v2", 30)))
    endpoints.learn(pack(60, said("v1", 10), complete=True))
    endpoints.learn(pack(70))
    assert releases(endpoints, 29, 59, 60, 70) == ["v1", "v2", "v1", "v1"]


def test_a_pod_is_at_one_address_at_a_time() -> None:
    moved = learned(pack(20, said("v1", 10)), pack(60, said("v1", 30, ips=(B,))))
    for _ in range(2):
        assert releases(moved, 29, 30, 45) == ["v1", None, None]
        assert releases(moved, 29, 30, 45, upstream=f"{B}:1") == [None, "v1", "v1"]
        moved.learn(pack(60, said("v1", 10, 50)))


def test_an_agent_that_has_another_beginning_says_nothing_new() -> None:
    endpoints = learned(pack(20, said("v1", 10)), pack(40, said("v1", 12)), pack(60, said("v1", 8)))
    assert [(stay.from_ns, stay.to_ns) for stay in endpoints.state().stays] == [(10, 0)]


def test_who_is_missing_among_all_is_gone() -> None:
    endpoints = learned(
        pack(20, said("v1", 10), said("v5", 10, uid="u5", ips=(B,))),
        pack(60, said("v9", 10, ips=("10.0.0.9",), uid="u9"), node="n2"),
        pack(40, said("v1", 10), complete=True),
        pack(50),
    )
    assert releases(endpoints, 45) == ["v1"]
    assert releases(endpoints, 19, 20, upstream=f"{B}:1") == ["v5", None], "of times after 20 nobody told"
    assert releases(endpoints, 45, upstream="10.0.0.9:1") == ["v9"], "another node's"


def test_pods_of_the_hosts_network_are_told_apart_by_port() -> None:
    node = "192.168.0.7"
    endpoints = learned(
        pack(50, said("v1", 10, ips=(node,), ports=(80, 443)), said("v2", 20, ips=(node,), ports=(9100,), uid="u2"))
    )
    assert releases(endpoints, 30, upstream=f"{node}:443") == ["v1"]
    assert releases(endpoints, 30, upstream=f"{node}:9100") == ["v2"]
    assert releases(endpoints, 30, upstream=f"{node}:22") == [None]


@pytest.mark.parametrize("upstream", ["[fd00::1]:80", "[FD00:0::1]:80"])
def test_long_addresses_are_found_however_they_are_written(upstream: str) -> None:
    assert releases(learned(pack(20, said("v1", 10, ips=(A, "fd00::1")))), 15, upstream=upstream) == ["v1"]


@pytest.mark.parametrize(
    "upstream", ["", "-", ":", A, f"{A}:", f"{A}:x", f"{A}:٣", "unix:/run/x.sock", "fd00::1:80", "[fd00::1]", "web:80"]
)
def test_what_is_no_address_and_port_is_nobodys(upstream: str) -> None:
    endpoints = learned(pack(20, said("v1", 10, ips=(A, "fd00::1", "fd00::1:80"))))
    assert releases(endpoints, 15, upstream=upstream) == [None]


def test_old_packs_that_come_again_change_nothing() -> None:
    first, second = pack(20, said("v1", 10), complete=True), pack(40, said("v1", 10, 30), said("v2", 30))
    endpoints = learned(first, second)
    before = msgspec.msgpack.encode(endpoints.state())
    for body in (first, second, first, second, second):
        endpoints.learn(body)
    assert msgspec.msgpack.encode(endpoints.state()) == before
    assert endpoints.dropped == {"old": 2}


def test_what_is_beyond_the_bound_is_counted_and_not_taken_in() -> None:
    endpoints = Endpoints(most_stays=1)
    endpoints.learn(pack(20, said("v1", 10), said("v2", 10, uid="u2", ips=(B,))))
    assert (releases(endpoints, 15), endpoints.dropped) == (["v1"], {"stays": 1})
    endpoints.learn(pack(30, said("v1", 10, 25)))
    endpoints.prune(26)
    endpoints.learn(pack(40, said("v2", 10, uid="u2", ips=(B,))))
    assert releases(endpoints, 40, upstream=f"{B}:1") == ["v2"]


def test_what_ended_long_ago_and_nodes_that_fell_silent_are_forgotten() -> None:
    endpoints = learned(pack(20, said("v1", 10, 15)), pack(90, said("v2", 16)), pack(30, said("v9", 1), node="n2"))
    endpoints.prune(50)
    assert releases(endpoints, 12, 20) == [None, "v2"]
    assert (endpoints.known_ns("n1"), endpoints.known_ns("n2")) == (90, 0)
    assert [stay.served.release for stay in endpoints.state().stays] == ["v2"]


def test_the_newest_pod_of_a_process_says_which_rules_its_app_has() -> None:
    endpoints = learned(pack(20, said("v1", 10, rules="one")))
    assert (endpoints.rules_of(), endpoints.rules_version) == ({("shop", "shop"): "one"}, 1)
    endpoints.learn(pack(30, said("v1", 10, rules="one"), said("v1", 12, uid="u2", process="worker", rules="")))
    assert (endpoints.rules_of(), endpoints.rules_version) == ({("shop", "shop"): "one"}, 1)
    endpoints.learn(pack(40, said("v2", 35, uid="u3", rules="two"), said("v3", 1, uid="u4", rules="old")))
    assert (endpoints.rules_of(), endpoints.rules_version) == ({("shop", "shop"): "two"}, 2)
    endpoints.learn(pack(50, said("v2", 35, uid="u3")))
    assert endpoints.rules_of() == {("shop", "shop"): "two"}, "nothing was said of rules"
    endpoints.learn(pack(60, said("v2", 35, uid="u3", rules="")))
    assert (endpoints.rules_of(), endpoints.rules_version) == ({}, 3)


def test_rules_go_along_to_another_app() -> None:
    endpoints = learned(pack(20, said("v1", 10, rules="one")), pack(40, said("v1", 30, app="other")))
    assert endpoints.rules_of() == {("shop", "other"): "one"}


def test_rules_go_with_the_pods_that_had_them() -> None:
    endpoints = learned(pack(20, said("v1", 10, rules="one")), pack(30, complete=True))
    assert endpoints.rules_of() == {("shop", "shop"): "one"}, "its last lines may still come"
    endpoints.prune(40)
    assert (endpoints.rules_of(), endpoints.rules_version) == ({}, 2)


def test_pods_are_forgotten_in_an_order_that_survives_a_restart() -> None:
    later, sooner = said("v2", 20, uid="u2", rules="two"), said("v1", 10, ips=(B,), rules="one")
    endpoints = learned(pack(30, later, sooner))
    again = Endpoints.of(msgspec.msgpack.decode(msgspec.msgpack.encode(endpoints.state()), type=EndpointsState))
    endpoints.prune(40)
    again.prune(40)
    assert endpoints.rules_version == again.rules_version
    assert again.state() == EndpointsState(rules_version=again.rules_version)


def test_after_records_are_lost_a_node_is_not_believed_until_it_states_all_its_pods() -> None:
    endpoints = learned(pack(20, said("v1", 10)))
    endpoints.miss()
    endpoints.learn(pack(40, said("v2", 30, uid="u2", ips=(B,))))
    assert (releases(endpoints, 20, 21), endpoints.known_ns("n1")) == (["v1", None], 20)
    endpoints = Endpoints.of(msgspec.msgpack.decode(msgspec.msgpack.encode(endpoints.state()), type=EndpointsState))
    endpoints.miss()
    assert endpoints.known_ns("n1") == 20
    endpoints.learn(pack(60, said("v1", 10), complete=True))
    assert releases(endpoints, 59, upstream=f"{B}:1") == [None]
    assert releases(endpoints, 60, upstream=f"{B}:1") == [None], "it had gone with what is lost"
    assert releases(endpoints, 50, 60) == ["v1", "v1"]


def test_a_node_whose_clock_was_ahead_is_believed_again_soon() -> None:
    endpoints, year_ns = Endpoints(), 365 * 86_400 * 10**9
    endpoints.learn(pack(year_ns, said("v1", year_ns)), taken_ns=100)
    assert endpoints.known_ns("n1") == 100 + AHEAD_NS
    right_ns = 200 + AHEAD_NS
    endpoints.learn(pack(right_ns, said("v1", 10, complete_ns := right_ns)), taken_ns=right_ns)
    endpoints.learn(pack(right_ns + 9, said("v2", right_ns + 5)), taken_ns=right_ns + 9)
    assert releases(endpoints, complete_ns + 7) == ["v2"]


VERSION_1 = msgspec.msgpack.encode(
    [{"n1": 20}, [["n1", "u1", ["shop", "shop", "web", "v1", "web-1"], [A], [], 10, 0]], [["one", [["n1", "u1"]]]], 7]
)
VERSION_1_WITH_DOUBTS = VERSION_1.replace(b"\xa2n1\x14", b"\xa2n1\x92\x14\x12", 1)


@pytest.mark.parametrize("kept", [VERSION_1, VERSION_1_WITH_DOUBTS])
def test_a_state_of_version_1_is_gone_on_from(kept: bytes) -> None:
    endpoints = Endpoints.of(msgspec.msgpack.decode(kept, type=EndpointsState))
    assert releases(endpoints, 15) == ["v1"]
    assert (endpoints.rules_of(), endpoints.rules_version) == ({("shop", "shop"): "one"}, 7)
    assert msgspec.msgpack.encode(endpoints.state()) == kept
