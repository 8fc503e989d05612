"""What a queue's URL says."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from pipeline.errors import SettingsError

DEFAULT_PORT: Final = 9092

_DAY: Final = 86_400
_NUMBERS: Final = {
    "create": (0, 1),
    "partitions": (1, 10_000),
    "replication": (1, 16),
    "min_insync": (1, 16),
    "retention_seconds": (60, 3650 * _DAY),
    "retention_bytes": (1, 2**60),
    "send_seconds": (1, 600),
    "tls": (0, 1),
}
_FILES: Final = ("ca_file", "cert_file", "key_file", "password_file")
_MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_KNOWN: Final = (*_NUMBERS, *_FILES, "sasl", "user")
_SERVER: Final = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)(?::(\d{1,5}))?")
_TOPIC: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaOptions:
    """A topic, how to reach it, and what it must be like. Holds no secret, only where one is.

    Attributes:
        servers: `host:port` of some brokers; the others are learnt from them.
        topic: The topic that is the queue.
        create: Make the topic if it is not there.
        partitions: How many; `None` takes the topic's number, or 12 for a new one.
        replication: Fewest replicas of a partition.
        min_insync: Fewest replicas that must have a record before it is acknowledged.
        retention_seconds: Shortest time that records are kept (the outage budget): 3 days for a new topic, unless
            stated; an existing topic is checked if stated.
        retention_bytes: The same in bytes **of one partition**, which is how Kafka counts: no bound for a new topic,
            unless stated.
        send_seconds: A send that is not acknowledged after this long has failed. Must be well over the 12 s that the
            loss of a broker takes.
        tls: Encrypt, and check the brokers' certificates and host names.
        ca_file: Certificates to trust, PEM; the system's if `None`.
        cert_file: Client certificate, PEM, for brokers that ask for one.
        key_file: Its key.
        sasl: SASL mechanism, empty for none.
        user: SASL user; `None` takes `QUEUE_USER`.
        password_file: Where the password is; `None` takes `QUEUE_PASSWORD_FILE`, else `QUEUE_PASSWORD`.
    """

    servers: tuple[str, ...]
    topic: str
    create: bool = False
    partitions: int | None = None
    replication: int = 3
    min_insync: int = 2
    retention_seconds: int | None = None
    retention_bytes: int | None = None
    send_seconds: int = 30
    tls: bool = False
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    sasl: str = ""
    user: str | None = None
    password_file: Path | None = None

    def __str__(self) -> str:
        """Name the queue for errors and logs."""
        return f"kafka://{','.join(self.servers)}/{self.topic}"


def parse_url(url: str) -> KafkaOptions:
    """Read a queue's URL: `kafka://host:port,host2:port/TOPIC?option=value`.

    Raises:
        SettingsError: Not such a URL, or an option is unknown, given twice, or out of its range. The message does not
            repeat what might be a secret in the wrong place.
    """
    try:
        parts = urlsplit(url)
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError as error:
        raise SettingsError("QUEUE_URL: not kafka://host:port,host2:port/TOPIC?option=value") from error
    texts = dict(pairs)
    if len(texts) != len(pairs):
        raise SettingsError("QUEUE_URL: an option is given twice")
    unknown = [name for name in texts if name not in _KNOWN]
    if unknown:
        raise SettingsError(f"QUEUE_URL: unknown option {unknown[0][:40]!r}; known are {', '.join(_KNOWN)}")
    options = KafkaOptions(servers=_servers(parts), topic=_topic(parts), **_numbers(texts), **_texts(texts))  # type: ignore[arg-type] # kinds follow from the names
    _check(options)
    return options


def _servers(parts: SplitResult) -> tuple[str, ...]:
    if "@" in parts.netloc:
        raise SettingsError("QUEUE_URL: no user or password here; set the options user and password_file")
    servers = []
    for text in parts.netloc.split(","):
        match = _SERVER.fullmatch(text)
        port = int(match[2] or DEFAULT_PORT) if match else 0
        if match is None or not 0 < port < 2**16:
            raise SettingsError(f"QUEUE_URL: {text!r} is not host:port")
        servers.append(f"{match[1]}:{port}")
    return tuple(servers)


def _topic(parts: SplitResult) -> str:
    topic = unquote(parts.path.removeprefix("/"))
    if not _TOPIC.fullmatch(topic) or topic in {".", ".."} or parts.fragment:
        raise SettingsError(f"QUEUE_URL: {topic!r} is no topic: 1 to 249 letters, digits, dots, dashes, underscores")
    return topic


def _numbers(texts: dict[str, str]) -> dict[str, int | bool]:
    numbers: dict[str, int | bool] = {}
    for name, (low, high) in _NUMBERS.items():
        if name in texts:
            number = int(texts[name]) if re.fullmatch(r"[0-9]{1,19}", texts[name]) else -1
            if not low <= number <= high:
                raise SettingsError(
                    f"QUEUE_URL: {name}={texts[name][:40]!r} is not a whole number from {low} to {high}"
                )
            numbers[name] = bool(number) if name in {"create", "tls"} else number
    return numbers


def _texts(texts: dict[str, str]) -> dict[str, str | Path]:
    values: dict[str, str | Path] = {name: Path(texts[name]) for name in _FILES if name in texts}
    values |= {name: texts[name] for name in ("sasl", "user") if name in texts}
    empty = [name for name in values if not texts[name] or "\0" in texts[name]]
    if empty:
        raise SettingsError(f"QUEUE_URL: {empty[0]} is empty")
    return values


def _check(options: KafkaOptions) -> None:
    if options.sasl and options.sasl not in _MECHANISMS:
        raise SettingsError(f"QUEUE_URL: sasl must be one of {', '.join(_MECHANISMS)}")
    if not options.sasl and (options.user is not None or options.password_file is not None):
        raise SettingsError(f"QUEUE_URL: user and password_file need sasl={'|'.join(_MECHANISMS)}")
    if not options.tls and (options.ca_file or options.cert_file or options.key_file):
        raise SettingsError("QUEUE_URL: ca_file, cert_file and key_file need tls=1")
    if bool(options.cert_file) != bool(options.key_file):
        raise SettingsError("QUEUE_URL: cert_file and key_file go together")
    if options.min_insync > options.replication:
        raise SettingsError("QUEUE_URL: min_insync is over replication: nothing could be sent")
