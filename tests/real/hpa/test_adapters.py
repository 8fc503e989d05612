"""Certificates that change under a running server, and another adapter behind it."""

import http.client
import socket
import ssl
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from real_aggregation import Adapter, eventually
from told_reader import ToldReader

from demo.controlplane import ControlPlane, token
from monitor.hpa import server
from monitor.metric import Kind, Metric

pytestmark = [pytest.mark.slow, pytest.mark.real]

EX = "/apis/external.metrics.k8s.io/v1beta1"
V2 = "/apis/custom.metrics.k8s.io/v1beta2"
ADMIN = f"Bearer {token('admin')}"


@pytest.fixture
def reader() -> ToldReader:
    """Knows an app of the namespace `default`."""
    reader = ToldReader()
    reader.complete_now()
    reader.tell("app_requests", 120, source="router", code="200", namespace="default", app="shop")
    return reader


def test_a_connection_is_kept_until_the_certificates_change(
    api_server: ControlPlane, tmp_path: Path, reader: ToldReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "LOOK_SECONDS", 0.2)
    adapter = Adapter(api_server, tmp_path / "adapter", reader)
    with adapter.running():
        context = ssl.create_default_context(cafile=str(adapter.authority.certificate))
        with closing(http.client.HTTPSConnection("127.0.0.1", adapter.port, context=context, timeout=30)) as connection:

            def ends() -> bool:
                connection.request("GET", "/healthz")
                answer = connection.getresponse()
                assert answer.read() == b"ok"
                return answer.getheader("Connection") == "close"

            assert not ends()
            first = connection.sock
            assert not ends()
            assert connection.sock is first
            adapter.new_authority()
            eventually(ends, "the connection is ended")


HOSTILE = {
    "no HTTP": b"\x00\x01\x02\r\n\r\n",
    "a long header": b"GET /apis HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
    "a long path": b"GET /apis/" + b"a/" * 50_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a whole URL": b"GET http://elsewhere/apis HTTP/1.1\r\nHost: x\r\n\r\n",
    "two lengths": b"POST /apis HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "a path upward": b"GET /apis/../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("request_bytes", HOSTILE.values(), ids=list(HOSTILE))
def test_what_is_no_request_of_anybody_is_refused(
    api_server: ControlPlane, tmp_path: Path, reader: ToldReader, request_bytes: bytes
) -> None:
    adapter = Adapter(api_server, tmp_path / "adapter", reader)
    with adapter.running():
        context = ssl.create_default_context(cafile=str(adapter.authority.certificate))
        with (
            closing(socket.create_connection(("127.0.0.1", adapter.port), timeout=30)) as plain,
            closing(context.wrap_socket(plain, server_hostname="127.0.0.1")) as connection,
        ):
            connection.sendall(request_bytes)
            assert connection.recv(12)[:10] in {b"HTTP/1.1 4", b"HTTP/1.0 4", b""}
        assert adapter.ask("/healthz").status == 200


def test_a_new_certificate_and_a_new_authority_count_without_a_restart(
    api_server: ControlPlane, tmp_path: Path, reader: ToldReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "LOOK_SECONDS", 0.2)
    adapter = Adapter(api_server, tmp_path / "adapter", reader)
    with adapter.running():
        assert adapter.ask(f"{EX}/namespaces/default/requests_per_second", Authorization=ADMIN).status == 200
        before = adapter.authority.certificate.read_bytes()
        adapter.new_authority()

        def is_new() -> bool:
            try:
                return adapter.ask("/healthz").status == 200
            except OSError:
                return False

        eventually(is_new, "the new certificate is used")
        assert adapter.authority.certificate.read_bytes() != before
        (adapter.folder / "tls.key").write_text("nonsense")
        eventually(lambda: adapter.metric("monitor_hpa_reload_failures_total") > 0, "the failure is counted")
        assert adapter.ask("/healthz").status == 200


@pytest.fixture
def other(api_server: ControlPlane, tmp_path: Path) -> Iterator[Adapter]:
    """Another adapter, which knows a metric of its own."""
    reader = ToldReader(metrics={"mails": Metric("mails", Kind.GAUGE, "Mails.")})
    reader.complete_now()
    reader.tell("mails", 7, namespace="default", app="post")
    adapter = Adapter(api_server, tmp_path / "other", reader)
    with adapter.running():
        yield adapter


def test_another_adapter_is_asked_for_what_is_not_known_here(
    api_server: ControlPlane, tmp_path: Path, reader: ToldReader, other: Adapter
) -> None:
    adapter = Adapter(
        api_server,
        tmp_path / "adapter",
        reader,
        {"fallback_apiservice": f"https://127.0.0.1:{other.port}", "fallback_ca": other.authority.certificate},
    )
    with adapter.running():
        known = adapter.ask(f"{EX}/namespaces/default/requests_per_second", Authorization=ADMIN)
        assert [item["value"] for item in known.items] == ["2"]
        passed = adapter.ask(f"{EX}/namespaces/default/mails?labelSelector=app%3Dpost", Authorization=ADMIN)
        assert [(item["value"], item["metricLabels"]) for item in passed.items] == [("7", {"app": "post"})]
        unknown = f"{V2}/namespaces/default/metrics/nothing"
        assert adapter.ask(unknown, Authorization=ADMIN).status == 404
        names = {one["name"] for one in adapter.ask(EX, Authorization=ADMIN).json["resources"]}
        assert {"mails", "requests_per_second"} <= names

        refused = adapter.ask(f"{EX}/namespaces/default/mails", Authorization=f"Bearer {token('nobody')}")
        assert refused.status == 403, "the caller's rights count, not the monitor's"


def test_adapters_that_pass_on_to_each_other_end_it(
    api_server: ControlPlane, tmp_path: Path, reader: ToldReader
) -> None:
    adapter = Adapter(api_server, tmp_path / "adapter", reader)
    itself = {"fallback_apiservice": f"https://127.0.0.1:{adapter.port}", "fallback_ca": adapter.authority.certificate}
    adapter.settings = itself
    with adapter.running():
        said = adapter.ask(f"{EX}/namespaces/default/nothing", Authorization=ADMIN)
        assert said.status == 508
        assert adapter.ask(EX, Authorization=ADMIN).status == 200


def test_another_adapter_that_is_away_is_an_error_and_takes_nothing_with_it(
    api_server: ControlPlane, tmp_path: Path, reader: ToldReader
) -> None:
    adapter = Adapter(api_server, tmp_path / "adapter", reader, {"fallback_apiservice": "https://127.0.0.1:9"})
    with adapter.running():
        assert adapter.ask(f"{EX}/namespaces/default/nothing", Authorization=ADMIN).status == 503
        assert adapter.ask(f"{EX}/namespaces/default/requests_per_second", Authorization=ADMIN).status == 200
        assert adapter.ask(V2, Authorization=ADMIN).status == 200
