"""TLS, SASL and access rules, against a real broker that has them."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
import real_tls

from pipeline.errors import FatalError
from pipeline.queue import open_consumer, open_producer

pytestmark = [pytest.mark.real, pytest.mark.slow]


@dataclass
class Secured:
    """A broker with access rules: both users may use the topic `logs`, and only see `seen`."""

    server: str
    folder: Path

    def url(self, topic: str, sasl: str, user: str, *, options: str = "", password: str | None = None) -> str:
        """A queue's URL, with the password in a file."""
        secret = self.folder / f"password-{user}"
        secret.write_text(f"{password or real_tls.PASSWORD % user}\n")
        return (
            f"kafka://{self.server}/{topic}?replication=1&min_insync=1&tls=1&ca_file={quote(str(self.ca))}"
            f"&sasl={sasl}&user={user}&password_file={quote(str(secret))}{options}"
        )

    @property
    def ca(self) -> Path:
        """Certificate that signed the broker's."""
        return self.folder / "tls" / "ca.pem"


@pytest.fixture(scope="module")
def secured(kafka_tools: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    if shutil.which("openssl") is None:
        pytest.skip("real Kafka with TLS: no openssl on this machine")
    folder = tmp_path_factory.mktemp("secured")
    broker = real_tls.secured_broker(folder)
    try:
        broker.start()
        broker.wait()
        real_tls.allow(folder, broker, "--producer", "--consumer", "--group", "logger", "--topic", "logs")
        real_tls.allow(folder, broker, "--operation", "Describe", "--topic", "seen")
        yield Secured(broker.server, folder)
    finally:
        broker.remove()


@pytest.fixture
async def topics(secured: Secured) -> None:
    """The topics, made by the administrator."""
    for topic in ("logs", "seen", "hidden"):
        await (await open_producer(secured.url(topic, "PLAIN", "admin", options="&create=1&partitions=2"))).close()


async def send_one(url: str) -> None:
    producer = await open_producer(url)
    try:
        await producer.send(0, [b"line"])
    finally:
        await producer.close()


@pytest.mark.parametrize(
    ("sasl", "user"), [("PLAIN", "agent"), ("SCRAM-SHA-256", "indexer"), ("SCRAM-SHA-512", "indexer")]
)
async def test_a_user_who_may_sends_and_reads(secured: Secured, topics: None, sasl: str, user: str) -> None:
    url = secured.url("logs", sasl, user)
    producer, consumer = await open_producer(url), await open_consumer(url, group="logger")
    try:
        offset = await producer.send(1, [b"line"])
        records = await consumer.fetch({1: offset}, max_bytes=1000, wait_seconds=10)
        await consumer.commit({1: offset + 1})
        assert [record.value for record in records] == [b"line"]
        assert (await consumer.committed())[1] == offset + 1
    finally:
        await producer.close()
        await consumer.close()


async def test_user_and_password_come_from_the_environment(
    secured: Secured, topics: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUEUE_USER", "agent")
    monkeypatch.setenv("QUEUE_PASSWORD", real_tls.PASSWORD % "agent")
    url = secured.url("logs", "PLAIN", "agent").partition("&user=")[0]
    producer = await open_producer(url)
    assert await producer.send(0, [b"line"]) >= 0
    await producer.close()


@pytest.mark.parametrize(("sasl", "user"), [("PLAIN", "agent"), ("SCRAM-SHA-512", "indexer")])
async def test_a_wrong_password_is_fatal_and_not_repeated(secured: Secured, topics: None, sasl: str, user: str) -> None:
    url = secured.url("logs", sasl, user, password="mistyped")  # noqa: S106 - wrong on purpose
    for opening in (open_producer(url), open_consumer(url, group="logger")):
        with pytest.raises(FatalError, match="refuse the login") as caught:
            await opening
        assert "mistyped" not in str(caught.value)


async def test_a_certificate_signed_by_somebody_else_is_fatal(secured: Secured, topics: None, tmp_path: Path) -> None:
    real_tls.make_certificates(tmp_path / "other")
    url = secured.url("logs", "PLAIN", "agent").replace(quote(str(secured.ca)), quote(str(tmp_path / "other/ca.pem")))
    with pytest.raises(FatalError, match=r"TLS: .*certificate"):
        await open_producer(url)


async def test_a_topic_that_the_user_may_not_see_is_fatal(secured: Secured, topics: None) -> None:
    for opening in (open_producer, lambda url: open_consumer(url, group="logger")):
        with pytest.raises(FatalError, match="access rules"):
            await opening(secured.url("hidden", "PLAIN", "agent"))


async def test_a_topic_that_the_user_may_not_write_is_fatal(secured: Secured, topics: None) -> None:
    # Which right is missed depends on the broker: to write to the topic, or to write exactly once at all.
    with pytest.raises(FatalError, match="access rules"):
        await send_one(secured.url("seen", "PLAIN", "agent"))


async def test_a_topic_that_the_user_may_not_read_is_fatal(secured: Secured, topics: None) -> None:
    consumer = await open_consumer(secured.url("seen", "PLAIN", "agent"), group="logger")
    admin = await open_producer(secured.url("seen", "PLAIN", "admin"))
    await admin.send(0, [b"line"])
    with pytest.raises(FatalError, match="access rules"):
        await consumer.fetch({0: 0}, max_bytes=1000, wait_seconds=10)
    await consumer.close()
    await admin.close()


async def test_a_group_that_the_user_may_not_join_is_fatal_at_commit(secured: Secured, topics: None) -> None:
    consumer = await open_consumer(secured.url("logs", "PLAIN", "agent"), group="somebody-else")
    with pytest.raises(FatalError, match="access rules"):
        await consumer.commit({0: 0})
    await consumer.close()
