"""Seeded generators of realistic log lines: access lines of the router, JSON, Java stack traces, plain text.

What varies in real logs varies here line by line (times, request ids, addresses, durations), since lines out of a
small pool would compress far better than any real log. The same seed gives the same bytes on every machine.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from demo.containers import Container

START_NS: Final = int(datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()) * 1_000_000_000
"""Time of a corpus's first line: a corpus does not depend on when it is made."""

APPS: Final = 20
PODS_PER_APP: Final = 3
MIB: Final = 1024 * 1024
_NS: Final = 1_000_000_000

LineMaker = Callable[[random.Random, str, str], list[str]]
"""Makes what an app writes at once (one line, or the lines of a stack trace), given its name and the second it is."""

_METHODS: Final = ("GET", "GET", "GET", "GET", "GET", "POST", "POST", "PUT", "DELETE")
_STATUSES: Final = (200, 200, 200, 200, 200, 200, 201, 204, 302, 304, 400, 401, 404, 404, 499, 500, 502, 503)
_RESOURCES: Final = ("orders", "users", "carts", "products", "sessions", "payments", "invoices", "search", "images")
_AGENTS: Final = tuple(
    f"Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.{version * 37}.{version} Safari"
    for system in ("X11; Linux x86_64", "Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10_15_7")
    for version in range(110, 130)
)
_LEVELS: Final = ("INFO", "INFO", "INFO", "INFO", "INFO", "DEBUG", "DEBUG", "WARN", "ERROR")
_EVENTS: Final = (
    "request finished", "cache miss", "cache refreshed", "job enqueued", "job finished", "retrying upstream",
    "connection opened", "connection closed", "payment authorised", "inventory reserved", "token renewed",
)  # fmt: skip
_PACKAGES: Final = ("com.example.shop", "org.springframework.web", "org.hibernate.engine", "io.netty.channel")
_CLASSES: Final = ("OrderService", "CartController", "PaymentGateway", "SessionFilter", "EntityLoader", "Dispatcher")
_CALLS: Final = ("handle", "process", "invoke", "doFilter", "load", "reserve", "submit", "lambda$run$0")
_FAILED: Final = 500
"""Statuses from here on are the server's fault."""

_ERRORS: Final = ("IllegalStateException", "TimeoutException", "NullPointerException", "SQLTransientException")


def router_lines(rng: random.Random, app: str, second: str) -> list[str]:
    """One access line in the format of the Deis router's nginx."""
    status = rng.choice(_STATUSES)
    took = rng.lognormvariate(-3.5, 1.0)
    resource = rng.choice(_RESOURCES)
    request = f"{rng.choice(_METHODS)} /{resource}/{rng.getrandbits(20)}?page={rng.getrandbits(4)} HTTP/1.1"
    host = f"{app}.example.com"
    address = f"10.{rng.getrandbits(2)}.{rng.getrandbits(8)}.{rng.getrandbits(8)}"
    return [
        (
            f"[{second}+00:00] - {app} - {address} - - - {status} - "
            f'"{request}" - {rng.getrandbits(15)} - "https://{host}/{resource}" - "{rng.choice(_AGENTS)}" - '
            f'"~^{app}\\x5C.(?<domain>.+)$" - 10.4.{rng.getrandbits(4)}.{rng.getrandbits(8)}:5000 - {host} - '
            f"{took:.3f} - {took + 0.001:.3f}"
        )
    ]


def json_lines(rng: random.Random, app: str, second: str) -> list[str]:
    """One structured line."""
    return [
        (
            f'{{"time":"{second}.{rng.randrange(1000):03d}Z","level":"{rng.choice(_LEVELS).lower()}","event":"{rng.choice(_EVENTS)}","app":"{app}",'
            f'"request_id":"{rng.getrandbits(64):016x}","user_id":{rng.getrandbits(22)},'
            f'"path":"/{rng.choice(_RESOURCES)}/{rng.getrandbits(18)}","duration_ms":{rng.lognormvariate(3, 1):.2f},'
            f'"attempt":{rng.getrandbits(2)},"bytes":{rng.getrandbits(14)}}}'
        )
    ]


def plain_lines(rng: random.Random, app: str, second: str) -> list[str]:
    """One line of plain text."""
    return [
        (
            f"{second} {rng.choice(_LEVELS)} [{app}-worker-{rng.getrandbits(4)}] {rng.choice(_EVENTS)}: "
            f"{rng.choice(_RESOURCES)}={rng.getrandbits(24)} took {rng.lognormvariate(2, 1):.1f} ms, "
            f"{rng.getrandbits(10)} rows, queue depth {rng.getrandbits(6)}"
        )
    ]


def java_lines(rng: random.Random, app: str, second: str) -> list[str]:
    """A line of a Java program, one in eight with a stack trace after it."""
    thread = f"http-nio-8080-exec-{rng.getrandbits(5)}"
    place = f"{rng.choice(_PACKAGES)}.{rng.choice(_CLASSES)}"
    head = f"{second}.{rng.randrange(1000):03d} {rng.choice(_LEVELS)} 17 --- [{thread}] {place}"
    if rng.random() > 1 / 8:
        return [f"{head} : {rng.choice(_EVENTS)} id={rng.getrandbits(32):08x} in {rng.lognormvariate(2, 1):.1f} ms"]
    trace = [f"{head} : request {rng.getrandbits(48):012x} of {app} failed"]
    trace.append(f"java.lang.{rng.choice(_ERRORS)}: order {rng.getrandbits(24)} is gone")
    for _ in range(rng.randrange(8, 30)):
        name = rng.choice(_CLASSES)
        frame = f"{rng.choice(_PACKAGES)}.{name}.{rng.choice(_CALLS)}({name}.java:{rng.randrange(20, 900)})"
        trace.append(f"\tat {frame}")
    trace.append(f"\t... {rng.randrange(10, 90)} more")
    return trace


def access_lines(rng: random.Random, app: str, second: str, *, error_ratio: float) -> list[str]:
    """One request as an app writes it itself; `error_ratio` of them failed."""
    status = rng.choice((500, 502, 503)) if rng.random() < error_ratio else rng.choice((200, 200, 200, 201, 302, 404))
    return [
        (
            f'{{"time":"{second}.{rng.randrange(1000):03d}Z","level":"{"error" if status >= _FAILED else "info"}",'
            f'"event":"request","app":"{app}","method":"{rng.choice(_METHODS)}",'
            f'"path":"/{rng.choice(_RESOURCES)}/{rng.getrandbits(18)}","status":{status},'
            f'"bytes_sent":{rng.getrandbits(14)},"duration_ms":{rng.lognormvariate(3.2, 0.8):.2f}}}'
        )
    ]


MAKERS: Final[tuple[LineMaker, ...]] = (router_lines, json_lines, java_lines, plain_lines)


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod of a corpus, with one container.

    Attributes:
        app: The app that it belongs to.
        container: Its container.
        maker: What it writes.
    """

    app: str
    container: Container
    maker: LineMaker


def make_pods(*, seed: int, apps: int = APPS, pods_per_app: int = PODS_PER_APP) -> list[Pod]:
    """The pods of a corpus, named as Deis names them: namespace = app, pod `<app>-<process>-<set>-<suffix>`."""
    rng = random.Random(seed)
    pods: list[Pod] = []
    for number in range(apps):
        app = f"app-{number:05d}"
        for replica in range(pods_per_app):
            process = "worker" if replica == pods_per_app - 1 and replica else "web"
            pods.append(Pod(app, make_container(rng, app=app, process=process), MAKERS[number % len(MAKERS)]))
    return pods


def make_container(rng: random.Random, *, app: str, process: str) -> Container:
    """A container with names as Kubernetes gives them to the pods of a Deployment `<app>-<process>`."""
    letters = "bcdfghjklmnpqrstvwxz2456789"
    replica_set = "".join(rng.choices(letters, k=10))
    suffix = "".join(rng.choices(letters, k=5))
    digits = f"{rng.getrandbits(128):032x}"
    uid = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    return Container(app, f"{app}-{process}-{replica_set}-{suffix}", uid, f"{app}-{process}")


def stored_lines(rng: random.Random, pod: Pod, *, start_ns: int = START_NS) -> Iterator[bytes]:
    """Endless lines of a pod in the runtime's format, newlines included, about 1 ms apart."""
    time_ns = start_ns + rng.getrandbits(24)
    while True:
        stream = "stderr" if rng.random() < 0.1 else "stdout"  # noqa: PLR2004 - one line in ten
        for line in pod.maker(rng, pod.app, _whole_second(time_ns // _NS)):
            time_ns += rng.getrandbits(21)
            yield f"{_stored_time(time_ns)} {stream} F {line}\n".encode()


def _stored_time(time_ns: int) -> str:
    seconds, fraction = divmod(time_ns, _NS)
    whole = _whole_second(seconds)
    return f"{whole}.{fraction:09d}".rstrip("0") + "Z" if fraction else f"{whole}Z"


_seconds: dict[int, str] = {}


def _whole_second(seconds: int) -> str:
    if seconds not in _seconds:
        _seconds.clear()
        _seconds[seconds] = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"
    return _seconds[seconds]


def write_corpus(root: Path, *, total_bytes: int, seed: int, apps: int = APPS, pods_per_app: int = PODS_PER_APP) -> int:
    """Write a corpus as live log files below `root`, as the runtime stores them; returns its size in bytes."""
    pods = make_pods(seed=seed, apps=apps, pods_per_app=pods_per_app)
    written = 0
    for number, pod in enumerate(pods):
        folder = pod.container.folder(root)
        folder.mkdir(parents=True)
        # Pods differ in how much they write, by a factor of four.
        share = total_bytes * (1 + number % 4) / sum(1 + other % 4 for other in range(len(pods)))
        written += _write_lines(folder / "0.log", stored_lines(random.Random(seed * 1000 + number), pod), int(share))
    return written


def _write_lines(path: Path, lines: Iterator[bytes], at_least_bytes: int) -> int:
    size = 0
    with path.open("wb", buffering=MIB) as file:
        while size < at_least_bytes:
            size += file.write(next(lines))
    return size
