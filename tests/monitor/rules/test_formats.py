"""Access lines of ingress-nginx, Traefik, Envoy and of apps."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.metric import UNKNOWN, LabelSet
from monitor.rules.ruleset import RuleSet
from pipeline.lines.batch import ChunkFacts

INGRESS = ChunkFacts("ingress-nginx", "", "v1", "in-1", "controller", "n1", b"i", 0, "ingress-nginx")
TRAEFIK = ChunkFacts("traefik", "", "v1", "tr-1", "traefik", "n1", b"t", 0, "traefik")
ENVOY = ChunkFacts("envoy", "", "v1", "en-1", "envoy", "n1", b"e", 0, "envoy-gateway-system")

client_text = st.lists(
    st.sampled_from([" - ", '"', "\\", "] [", '" 200 5 "', " : ", ", ", "é", "HTTP/1.1", "500", "x"]), max_size=5
).map("".join)


def escaped(text: str) -> str:
    return "".join(f"\\x{b:02X}" if b < 32 or b > 126 or b in b'"\\' else chr(b) for b in text.encode())


@st.composite
def ingress_lines(draw: Any) -> tuple[bytes, list[tuple[str, str, float]], str, float, int]:
    one_try = st.tuples(
        st.sampled_from(["10.0.0.1:80", "[fd00::1]:8080", "-"]),
        st.sampled_from(["200", "502", "-"]),
        st.integers(0, 10**6),
    )
    tries = draw(st.lists(one_try, min_size=1, max_size=3))
    code, size, took = draw(st.sampled_from(["200", "404"])), draw(st.integers(0, 10**9)), draw(st.integers(0, 10**6))
    between = draw(st.sampled_from([", ", " : "]))
    seconds = [f"{ms // 1000}.{ms % 1000:03d}" for _, _, ms in tries]
    line = (
        f"10.1.2.3 - {escaped(draw(client_text)) or '-'} [24/Nov/2026:19:27:56 +0000] "
        f'"GET /{escaped(draw(client_text))} HTTP/1.1" {code} {size} '
        f'"{escaped(draw(client_text))}" "{escaped(draw(client_text))}" 421 '
        f"{took // 1000}.{took % 1000:03d} [shop-web-80] [] {between.join(one[0] for one in tries)} "
        f"{between.join('12' for _ in tries)} {between.join(seconds)} {between.join(one[1] for one in tries)} "
        f"{escaped(draw(client_text)) or 'a1'}"
    )
    reached = [(at, "" if status == "-" else status, ms / 1000) for at, status, ms in tries if at != "-"]
    return line.encode(), reached, code, took / 1000, size


@given(st.lists(ingress_lines(), min_size=1, max_size=10))
@settings(max_examples=50)
def test_what_a_line_of_ingress_nginx_was_made_of_is_read_of_it(
    batch_of: Any, line: Any, added: Any, made: Any
) -> None:
    found = added(RuleSet().samples(batch_of([line(one[0], facts=INGRESS) for one in made])))
    assert "app_rule_misses" not in found
    asked: dict[LabelSet, int] = {}
    tried: dict[LabelSet, int] = {}
    for _, tries, code, _, _ in made:
        labels = LabelSet("ingress-nginx", "shop-web", release=UNKNOWN)
        last = tries[-1][0] if tries else ""
        request = LabelSet(*_standing(labels), ("ingress-nginx", "GET", code), last)
        asked[request] = asked.get(request, 0) + 1
        for at, status, _ in tries:
            one = LabelSet(*_standing(labels), ("ingress-nginx", status), at)
            tried[one] = tried.get(one, 0) + 1
    assert {labels: count for labels, (count, _) in found["app_requests"].items()} == asked
    assert {labels: count for labels, (count, _) in found.get("app_tries", {}).items()} == tried
    total = sum(total for _, total in found.get("app_try_duration_seconds", {}).values())
    assert total == pytest.approx(sum(took for each in made for _, _, took in each[1]))
    assert sum(total for _, total in found["app_response_bytes"].values()) == sum(each[4] for each in made)
    total = sum(total for _, total in found["app_request_duration_seconds"].values())
    assert total == pytest.approx(sum(each[3] for each in made))


def _standing(labels: LabelSet) -> tuple[str, str, str, str, str]:
    return labels.namespace, labels.app, labels.process, labels.release, labels.pod


TRAEFIK_LINE = (
    b'10.1.2.3 - - [24/Nov/2026:19:27:56 +0000] "GET /?q=" HTTP/1.1" 200 512 "-" "x" 404 7 "-" "-" 9" 200 5 "" 7 '
    b'"web-shop@kubernetes" "http://10.0.0.1:8080" 12ms'
)
TRAEFIK_OBJECT = {
    "RequestMethod": "POST",
    "DownstreamStatus": 502,
    "Duration": 12_000_000,
    "DownstreamContentSize": 512,
    "OriginStatus": 0,
    "OriginDuration": 11_000_000,
    "ServiceAddr": "10.0.0.1:8080",
    "RouterName": "web-shop@kubernetes",
}


def test_traefik_is_read_in_both_formats(batch_of: Any, line: Any, added: Any) -> None:
    lines = [TRAEFIK_LINE, json.dumps(TRAEFIK_OBJECT).encode(), b'{"level":"info"}', b"starting", b"{"]
    found = added(RuleSet().samples(batch_of([line(one, facts=TRAEFIK) for one in lines])))
    standing = ("traefik", "web-shop", "", UNKNOWN, "")
    assert set(found["app_requests"]) == {
        LabelSet(*standing, ("traefik", "GET", "200"), "10.0.0.1:8080"),
        LabelSet(*standing, ("traefik", "POST", "502"), "10.0.0.1:8080"),
    }
    assert list(found["app_request_duration_seconds"].values()) == [(2, 0.024)]
    assert list(found["app_try_duration_seconds"].values()) == [(2, 0.023)]
    assert list(found["app_response_bytes"].values()) == [(2, 1024)]
    assert list(found["app_rule_misses"].values()) == [(3, 3)]


@pytest.mark.parametrize(
    ("cluster", "namespace", "app"),
    [
        ("httproute/shops/shop/rule/0", "shops", "shop"),
        ("outbound|80||web.shops.svc.cluster.local", "shops", "web"),
        ("other", "envoy-gateway-system", "other"),
        (None, "envoy-gateway-system", "envoy"),
    ],
)
def test_envoy_tells_the_backend_by_its_cluster(
    *, batch_of: Any, line: Any, added: Any, cluster: str | None, namespace: str, app: str
) -> None:
    one = {
        "method": "GET",
        "response_code": 503,
        "duration": 12,
        "bytes_sent": 91,
        "x-envoy-upstream-service-time": None,
        "upstream_host": None,
        "upstream_cluster": cluster,
    }
    other = one | {"response_code": "200", "upstream_host": "10.0.0.1:80", "x-envoy-upstream-service-time": "7"}
    lines = [line(json.dumps(each).encode(), facts=ENVOY) for each in (one, other)]
    found = added(RuleSet().samples(batch_of(lines)))
    standing = (namespace, app, "", UNKNOWN, "")
    assert found["app_requests_without_upstream"] == {LabelSet(*standing, ("envoy", "503")): (1, 1)}
    assert found["app_tries"] == {LabelSet(*standing, ("envoy", "200"), "10.0.0.1:80"): (1, 1)}
    assert found["app_try_duration_seconds"] == {LabelSet(*standing, ("envoy",), "10.0.0.1:80"): (1, 0.007)}
    assert sum(total for _, total in found["app_request_duration_seconds"].values()) == pytest.approx(0.024)


APP_LINES = [
    (b'1.2.3.4 - - [24/Nov/2026:19:27:56 +0000] "GET / HTTP/1.1" 200 5', "GET", "200", None, 5),
    (b'::1 - joe [24/Nov/2026:19:27:56 +0000] "GET /\\" - 500 HTTP/1.1" 404 - "-" "a\\" b"', "GET", "404", None, None),
    (b'- - - [24/Nov/2026:19:27:56 +0000] "PUT /x HTTP/2.0" 201 7 "-" "-" 0.25', "PUT", "201", 0.25, 7),
    (b'- - - [24/Nov/2026:19:27:56 +0000] "PUT /x HTTP/2.0" 201 7 "-" "-" "12.5ms"', "PUT", "201", 0.0125, 7),
    (b'{"method":"GET","status":200,"duration_ms":12.5,"bytes":9}', "GET", "200", 0.0125, 9),
    (b'{"req":{"method":"POST"},"res":{"statusCode":500},"responseTime":3}', "POST", "500", 0.003, None),
    (b'{"request_method":"GET","status":"304","request_time":"0.5"}', "GET", "304", 0.5, None),
    (b'{"method":"GET","status":200,"latency":3000,"latency_human":"3us","bytes_out":4}', "GET", "200", 3e-06, 4),
    (b'{"method":"GET","status":200,"duration":3}', "GET", "200", None, None),
]
NO_ACCESS_LINES = [
    b'{"method":"GET","status":"open"}',
    b'{"method":"pay","status":200}',
    b'{"method":7,"status":200}',
    b'{"status":200}',
    b'{"method":"GET","status":200',
    b'{"method":"GET","status":true}',
    b"GET / HTTP/1.1",
    b'1.2.3.4 - - [24/Nov/2026:19:27:56 +0000] "PING / HTTP/1.1" 200 5',
]


@pytest.mark.parametrize(("content", "method", "code", "seconds", "size"), APP_LINES)
def test_an_app_tells_of_its_own_requests(
    *, batch_of: Any, line: Any, added: Any, content: bytes, method: str, code: str, seconds: Any, size: Any
) -> None:
    found = added(RuleSet().samples(batch_of([line(content)])))
    web = ("shop", "shop", "web", "v3", "shop-web-1")
    assert found["app_requests"] == {LabelSet(*web, ("app", method, code)): (1, 1)}
    times = [total for _, total in found.get("app_request_duration_seconds", {}).values()]
    assert times == ([] if seconds is None else [pytest.approx(seconds)])
    assert [total for _, total in found.get("app_response_bytes", {}).values()] == ([] if size is None else [size])
    assert not {"app_tries", "app_rule_misses"} & found.keys()


@pytest.mark.parametrize("content", NO_ACCESS_LINES)
def test_what_may_mean_something_else_is_no_request(batch_of: Any, line: Any, added: Any, content: bytes) -> None:
    found = added(RuleSet().samples(batch_of([line(content)])))
    assert found.keys() == {"app_lines", "app_line_bytes"}


def test_the_last_trace_of_a_label_set_is_its_exemplar(batch_of: Any, line: Any, web: Any) -> None:
    access = '{"method":"GET","status":200,"duration_ms":1,"trace_id":"%s"}'
    lines = [line((access % (digit * 32)).encode()) for digit in "ab"]
    lines += [line(b'{"method":"GET","status":200,"duration_ms":1}'), line(b"trace_id=" + b"c" * 32)]
    lines += [line((access % ("d" * 16)).encode(), facts=replace(web, pod="p2"))]
    lines += [line((access % ("0" * 32)).encode()), line((access % "short").encode())]
    made = RuleSet().samples(batch_of([line(b'trace_id="' + b"e" * 32 + b'"'), *lines]))
    (histogram,) = (each for each in made if each.metric.edges)
    assert {(one.trace_id, int(histogram.row[one.sample])) for one in histogram.exemplars} == {
        ("b" * 32, 2),
        ("d" * 16, 5),
    }


def test_requests_are_of_the_namespace_whose_router_wrote_them(batch_of: Any, line: Any) -> None:
    rules = RuleSet(b"sources: [{format: ingress-nginx, namespaces: [one, two]}]")
    content = (
        b'1.1.1.1 - - [24/Nov/2026:19:27:56 +0000] "GET / HTTP/1.1" 200 5 "-" "x" 421 0.010 [a-b-80] [] - - - - id'
    )
    lines = [line(content, facts=replace(INGRESS, namespace=name)) for name in ("one", "two")]
    asked = [each for each in rules.samples(batch_of(lines)) if each.metric.name == "app_requests"]
    assert [labels.namespace for each in asked for labels in each.sets] == ["one", "two"]


def test_a_request_without_a_size_leaves_those_of_others(batch_of: Any, line: Any, added: Any) -> None:
    found = added(RuleSet().samples(batch_of([line(APP_LINES[0][0]), line(APP_LINES[1][0])])))
    assert list(found["app_response_bytes"].values()) == [(1, 5)]
