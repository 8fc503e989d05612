"""What a Kafka queue's URL may say, and what its errors must not repeat. No broker is needed."""

from pathlib import Path

import pytest

from pipeline.errors import FatalError, QueueUnavailableError, SettingsError
from pipeline.queue import open_consumer, open_group_consumer, open_producer, queue_collector
from pipeline.queue.kafka import parse_url
from pipeline.queue.kafka.failures import translate
from pipeline.queue.kafka.login import read_login
from pipeline.queue.kafka.options import KafkaOptions
from pipeline.queue.kafka.topic import Topic, _compare


def test_servers_and_topic_are_read_with_the_defaults_of_a_safe_topic() -> None:
    assert parse_url("kafka://one:9093,two,[::1]:9094/logs.v1") == KafkaOptions(
        servers=("one:9093", "two:9092", "[::1]:9094"), topic="logs.v1", replication=3, min_insync=2
    )


def test_every_option_is_read() -> None:
    options = parse_url(
        "kafka://b:1/t?create=1&partitions=8&replication=2&min_insync=1&retention_seconds=3600&retention_bytes=1000"
        "&send_seconds=60&tls=1&ca_file=/ca&cert_file=/c&key_file=/k&sasl=SCRAM-SHA-512&user=u&password_file=/p"
    )
    assert options == KafkaOptions(
        servers=("b:1",),
        topic="t",
        create=True,
        partitions=8,
        replication=2,
        min_insync=1,
        retention_seconds=3600,
        retention_bytes=1000,
        send_seconds=60,
        tls=True,
        ca_file=Path("/ca"),
        cert_file=Path("/c"),
        key_file=Path("/k"),
        sasl="SCRAM-SHA-512",
        user="u",
        password_file=Path("/p"),
    )


@pytest.mark.parametrize(
    "url",
    [
        "kafka://",
        "kafka://b:1",
        "kafka://b:1/",
        "kafka:///t",
        "kafka://b:0/t",
        "kafka://b:99999/t",
        "kafka://b:x/t",
        "kafka://b:1,/t",
        "kafka://b:1/t/u",
        "kafka://b:1/..",
        "kafka://b:1/t#u",
        "kafka://b:1/t%00",
        "kafka://[::1/t",
        "kafka://b:1/t?partitions=0",
        "kafka://b:1/t?partitions=-1",
        "kafka://b:1/t?partitions=1&partitions=2",
        "kafka://b:1/t?partitions=\N{SUPERSCRIPT TWO}",
        "kafka://b:1/t?tls=yes",
        "kafka://b:1/t?sasl=OAUTHBEARER",
        "kafka://b:1/t?user=u",
        "kafka://b:1/t?ca_file=/ca",
        "kafka://b:1/t?tls=1&cert_file=/c",
        "kafka://b:1/t?tls=1&ca_file=",
        "kafka://b:1/t?replication=1",
        "kafka://b:1/t?nonsense",
    ],
)
def test_a_url_that_says_nothing_sensible_names_the_setting(url: str) -> None:
    with pytest.raises(SettingsError, match="QUEUE_URL"):
        parse_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "kafka://user:hunter2@b:1/t",
        "kafka://b:1/t?password=hunter2",
        "rediss://user:hunter2@host/",
    ],
)
async def test_a_password_in_the_wrong_place_is_not_repeated(url: str) -> None:
    for opening in (open_producer(url), open_consumer(url, group="g"), open_group_consumer(url, group="g")):
        with pytest.raises(SettingsError, match="QUEUE_URL") as caught:
            await opening
        assert "hunter2" not in str(caught.value)


def test_the_name_of_a_queue_in_logs_has_no_options() -> None:
    assert str(parse_url("kafka://b:1/t?tls=1&sasl=PLAIN&user=u&password_file=/p")) == "kafka://b:1/t"


def test_a_password_file_wins_over_the_environment_and_loses_only_its_line_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUEUE_PASSWORD", "other")
    (tmp_path / "p").write_text(" pass word \n")
    login = read_login(parse_url(f"kafka://b:1/t?sasl=PLAIN&user=u&password_file={tmp_path}/p"))
    assert (login["sasl_plain_username"], login["sasl_plain_password"]) == ("u", " pass word ")
    assert login["security_protocol"] == "SASL_PLAINTEXT"


@pytest.mark.parametrize(
    "query",
    ["sasl=PLAIN", "sasl=PLAIN&user=u", "sasl=PLAIN&user=u&password_file=/nowhere/p", "tls=1&ca_file=/nowhere/ca"],
)
def test_a_missing_secret_or_certificate_names_the_setting(query: str) -> None:
    with pytest.raises(SettingsError, match="QUEUE_URL"):
        read_login(parse_url(f"kafka://b:1/t?{query}"))


def test_a_password_file_that_is_not_text_is_not_repeated(tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(b"hunter2\xff")
    with pytest.raises(SettingsError, match="not UTF-8") as caught:
        read_login(parse_url(f"kafka://b:1/t?sasl=PLAIN&user=u&password_file={tmp_path}/p"))
    assert "hunter2" not in repr(caught.value)


GOOD = {"min.insync.replicas": "2", "max.message.bytes": "1048588", "retention.ms": "3600000", "retention.bytes": "-1"}


@pytest.mark.parametrize(
    ("query", "replicas", "found", "named"),
    [
        ("partitions=8", 3, {}, "it has 4 partitions, partitions=8"),
        ("", 2, {}, "2 replicas, replication=3"),
        ("", 3, {"min.insync.replicas": "1"}, "min.insync.replicas is 1, min_insync=2"),
        ("retention_seconds=7200", 3, {}, "retention.ms is 3600000, retention_seconds=7200"),
        ("retention_bytes=9", 3, {"retention.bytes": "8"}, "retention.bytes is 8, retention_bytes=9"),
        ("", 3, {"max.message.bytes": "500000"}, "max.message.bytes is 500000"),
        ("", 3, {"cleanup.policy": "compact"}, "cleanup.policy is compact"),
        ("", 3, {"unclean.leader.election.enable": "true"}, "unclean.leader.election.enable is true"),
    ],
)
def test_a_topic_that_is_not_as_asked_for_is_told_what_is_wrong(
    query: str, replicas: int, found: dict[str, str], named: str
) -> None:
    options = parse_url(f"kafka://b:1/t?{query}" if query else "kafka://b:1/t")
    with pytest.raises(SettingsError, match=named):
        _compare(options, Topic("id", 4, replicas, led=True), GOOD | found)
    _compare(parse_url("kafka://b:1/t?partitions=4&retention_seconds=3600"), Topic("id", 4, 3, led=True), GOOD)


async def test_a_queue_that_is_not_there_is_unavailable() -> None:
    url = "kafka://127.0.0.1:9/t"
    for opening in (open_producer(url), open_consumer(url, group="g"), open_group_consumer(url, group="g")):
        with pytest.raises(QueueUnavailableError, match=r"kafka://127\.0\.0\.1:9/t"):
            await opening


async def test_a_queue_of_one_machine_gives_its_only_member_everything(tmp_path: Path) -> None:
    member = await open_group_consumer(f"sqlite:///{tmp_path}/q.db", group="loggers")
    assert await member.changed(0) == member.assignment
    assert member.assignment.partitions == frozenset(range(member.partitions))
    assert await member.fetch({0: 0}, max_bytes=1, wait_seconds=0) == []
    await member.close()


def test_a_kafka_queue_has_no_metrics_of_its_own() -> None:
    assert list(queue_collector("kafka://b:1/t").collect()) == []


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TimeoutError(), QueueUnavailableError),
        (ConnectionResetError("gone"), QueueUnavailableError),
        (SettingsError("as it is"), SettingsError),
    ],
)
def test_errors_keep_what_they_mean_to_a_caller(error: Exception, kind: type[Exception]) -> None:
    assert type(translate(error, "doing")) is kind
    assert not issubclass(QueueUnavailableError, FatalError)
