"""Secrets of every kind are found in many surroundings and however they are cut; ordinary lines are left alone."""

import base64
import json
import random
import string
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.corpus import make_pods, stored_lines
from fluentd.pods.podrules import RateLimit, Unit
from fluentd.rules.compiled import RunRules
from fluentd.rules.judge import Input
from fluentd.rules.linerules import LineRule
from fluentd.rules.redact import Redactor, UserPattern, hide
from fluentd.rules.rulesfile import compile_user_pattern
from fluentd.rules.secrets import PACKS, compile_pattern, is_card, luhn
from fluentd.rules.state import Verdict

DEFAULT: Final = Redactor(PACKS["default"], keys=True)
LETTERS, UPPER, HEX = string.ascii_letters + string.digits, string.ascii_uppercase + string.digits, "0123456789abcdef"
BASE64, URL64 = LETTERS + "+/", LETTERS + "-_"


def some(rng: random.Random, alphabet: str, size: int) -> str:
    return "".join(rng.choices(alphabet, k=size))


def jwt(rng: random.Random) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    claims = {"sub": some(rng, LETTERS, rng.randrange(1, 40)), "iat": rng.getrandbits(31), "admin": True}
    return f"{part({'alg': rng.choice(['HS256', 'RS256']), 'typ': 'JWT'})}.{part(claims)}.{some(rng, URL64, 43)}"


def encrypted_jwt(rng: random.Random) -> str:
    head = base64.urlsafe_b64encode(b'{"alg":"dir","enc":"A256GCM"}').decode().rstrip("=")
    return f"{head}..{some(rng, URL64, 16)}.{some(rng, URL64, 60)}.{some(rng, URL64, 22)}"


def card(rng: random.Random) -> str:
    prefix, size = rng.choice(
        [("4", 16), ("51", 16), ("55", 16), ("2221", 16), ("34", 15), ("37", 15), ("6011", 16), ("65", 16),
         ("3528", 16), ("36", 14), ("62", 16), ("4", 19)]
    )  # fmt: skip
    digits = prefix + some(rng, string.digits, size - len(prefix) - 1)
    number = next(digits + last for last in string.digits if luhn((digits + last).encode()))
    mark = rng.choice(["", "", " ", "-"])
    if not mark or size in (14, 19):
        return number
    groups = (4, 6, 5) if size == 15 else (4, 4, 4, 4)
    return mark.join(number[sum(groups[:index]) : sum(groups[: index + 1])] for index in range(len(groups)))


def key_lines(rng: random.Random) -> list[str]:
    kind = rng.choice(["RSA ", "EC ", "", "OPENSSH ", "ENCRYPTED ", "DSA "])
    body = [some(rng, BASE64, 64) for _ in range(rng.randrange(3, 30))] + [
        some(rng, BASE64, rng.randrange(4, 60)) + "="
    ]
    return [f"-----BEGIN {kind}PRIVATE KEY-----", *body, f"-----END {kind}PRIVATE KEY-----"]


# Put together here, so that no scanner takes them for real ones. The second part is what must not be seen.
MAKERS: Final[dict[str, Callable[[random.Random], tuple[str, str]]]] = {
    "aws-access-key-id": lambda rng: ("", rng.choice(["AKIA", "ASIA"]) + some(rng, UPPER, 16)),
    "aws-secret-key": lambda rng: (
        rng.choice(
            ["aws_secret_access_key = ", "AWS_SECRET_ACCESS_KEY=", '"SecretAccessKey": "', "secretKey: "]
        ),
        some(rng, BASE64, 40),
    ),
    "aws-session-token": lambda rng: ("AWS_SESSION_TOKEN=", some(rng, BASE64, rng.randrange(200, 400)) + "=="),
    "gcp-api-key": lambda rng: ("", "AI" + "za" + some(rng, URL64, 35)),
    "gcp-oauth": lambda rng: (
        "",
        rng.choice(["ya" + "29." + some(rng, URL64, 60), "GOC" + "SPX-" + some(rng, URL64, 28)]),
    ),
    "azure-key": lambda rng: rng.choice(
        [
            ("DefaultEndpointsProtocol=https;AccountName=x;AccountKey=", some(rng, BASE64, 86) + "=="),
            ("Endpoint=sb://x.net/;SharedAccessKeyName=root;SharedAccessKey=", some(rng, BASE64, 43) + "="),
            (
                "https://x.blob.core.windows.net/c?sv=2024&sig=",
                some(rng, LETTERS, 40) + "%2B" + some(rng, LETTERS, 3) + "%3D",
            ),
            ("", some(rng, LETTERS, 3) + "8Q~" + some(rng, LETTERS, 34)),
        ]
    ),
    "github-token": lambda rng: (
        "",
        rng.choice(["ghp", "gho", "ghu", "ghs", "ghr"]) + "_" + some(rng, LETTERS, 36)
        if rng.random() < 0.7
        else "github_pat_" + some(rng, LETTERS, 22) + "_" + some(rng, LETTERS, 59),
    ),
    "gitlab-token": lambda rng: ("", "gl" + "pat-" + some(rng, URL64, 20)),
    "slack-token": lambda rng: rng.choice(
        [
            ("", "xo" + rng.choice(["xb-", "xp-", "xa-"]) + some(rng, UPPER, 12) + "-" + some(rng, LETTERS, 24)),
            (
                "https://hooks.slack.com/services/",
                "T" + some(rng, UPPER, 8) + "/B" + some(rng, UPPER, 8) + "/" + some(rng, LETTERS, 24),
            ),
        ]
    ),
    "stripe-key": lambda rng: (
        "",
        rng.choice(["sk", "rk"]) + rng.choice(["_live_", "_test_"]) + some(rng, LETTERS, 24),
    ),
    "sendgrid-key": lambda rng: ("", "S" + "G." + some(rng, URL64, 22) + "." + some(rng, URL64, 43)),
    "package-token": lambda rng: ("", "np" + "m_" + some(rng, LETTERS, 36)),
    "cloud-token": lambda rng: ("", "dop" + "_v1_" + some(rng, HEX, 64)),
    "jwt": lambda rng: ("", jwt(rng) if rng.random() < 0.8 else encrypted_jwt(rng)),
    "url-password": lambda rng: (
        rng.choice(["postgres", "redis", "https", "amqp", "mongodb+srv"])
        + "://"
        + rng.choice(["user", "", "app-1"])
        + ":",
        some(rng, LETTERS + "!$&*+,;=%~._-@", rng.randrange(6, 30)) + "@db.example.com:5432/x",
    ),
    "card": lambda rng: ("", card(rng)),
    "private-key": lambda rng: ("", "\\n".join(key_lines(rng))),
}  # fmt: skip

SURROUNDINGS: Final = (
    "{}", "key={}", "key: {}", '{{"token": "{}"}}', "'{}'", "Authorization: Bearer {}", "curl -H 'X: {}' https://x/",
    "?access={}&x=1", "[{}]", "({})", "<{}>", "a {} b", "env TOKEN={}; run", "\x1b[31m{}\x1b[0m", '\\"{}\\"',
    "{},next", "é {} ü",
    'level=info msg="got {}"', "`{}`", "|{}|", "\t{}", "%20{}", "2026-11-24 12:00:00.123 INFO 1234 {}",
)  # fmt: skip


def hidden_part(kind: str, secret: str) -> str:
    """What must not be in the log any more."""
    if kind == "url-password":
        return secret.rpartition("@")[0]
    if kind == "private-key":
        return secret.split("\\n")[1]
    return secret


def corpus(kind: str, count: int, seed: int) -> Iterator[tuple[str, str]]:
    rng = random.Random(f"{kind}{seed}")
    for number in range(count):
        before, secret = MAKERS[kind](rng)
        surroundings = SURROUNDINGS[number % len(SURROUNDINGS)]
        if kind == "card" and surroundings == "%20{}":
            continue  # digits behind digits are no card
        yield surroundings.format(before + secret), hidden_part(kind, secret)


@pytest.mark.parametrize("kind", MAKERS)
def test_secrets_are_found_in_any_surroundings(kind: str) -> None:
    found = total = 0
    for line, secret in corpus(kind, 400, seed=1):
        content = line.encode()
        secrets, _ = DEFAULT.find(content)
        shown = hide(content, secrets)
        total += 1
        found += secret.encode() not in shown and any(one.kind == kind for one in secrets)
        assert hide(shown, DEFAULT.find(shown)[0]) == shown, "what is hidden is not looked at again"
    assert total >= 380
    assert found >= 0.99 * total, f"{found} of {total}"


@pytest.mark.parametrize("kind", MAKERS)
def test_a_secret_split_over_pieces_at_any_byte_is_found(kind: str) -> None:
    rules = RunRules(redactor=DEFAULT)
    for line, secret in list(corpus(kind, 40, seed=2))[:3]:
        content = line.encode()
        step = max(1, len(content) // 300)
        for cut in range(0, len(content) + 1, step):
            data = b"".join(
                (
                    b"2026-11-24T12:00:00.1Z stdout P " + content[:cut] + b"\n",
                    b"2026-11-24T12:00:00.2Z stderr F between\n",
                    b"2026-11-24T12:00:00.3Z stdout F " + content[cut:] + b"\n",
                )
            )
            judged = rules.apply(Input(data, len(data)), None)
            assert judged is not None
            one, _, two = (text.split(b" ", 3)[3] for text in judged.data.splitlines())
            assert secret.encode() not in one + two
            assert judged.data.count(b"\n") == 3


_LIMITED: Final = {
    "rate limit": {"limit": RateLimit(Unit.LINES, 2, 2)},
    "drop": {"lines": [LineRule(Verdict.DROP, None, compile_user_pattern("", "", "BEGIN").pattern, floating=True)]},
}


@pytest.mark.parametrize("dropped", _LIMITED)
def test_a_key_whose_first_line_is_dropped_is_hidden_in_those_that_stay(dropped: str, make_stream: type[Any]) -> None:
    rng = random.Random(dropped)
    for _ in range(20):
        key = key_lines(rng)
        seconds = [0, 0, 0, *(1 + number // 3 for number in range(len(key)))]
        data = b"".join(
            b"2026-11-24T12:00:%02d.%09dZ stdout F %s\n" % (second, number, line.encode())
            for number, (second, line) in enumerate(zip(seconds, ["one", "two", *key, "after"], strict=True))
        )
        stream = make_stream(RunRules(redactor=DEFAULT, **_LIMITED[dropped]), data)
        while stream.send(data.index(b"\n", min(stream.position + rng.randrange(1, 900), len(data) - 1)) + 1):
            pass
        sent = [line.split(b" ", 3)[3].decode() for _, line in sorted(stream.finish().items())]
        assert not any("BEGIN" in text for text in sent)
        assert "[redacted:private-key]" in sent
        assert not any(line in text for text in sent for line in key[1:-1])


@pytest.mark.parametrize("prefix", ["", "2026-11-24 12:00:00 INFO  main: ", '  "', "stdout | "])
def test_a_private_key_over_many_lines_is_hidden_and_what_follows_is_not(prefix: str, make_stream: type[Any]) -> None:
    rng = random.Random(prefix)
    for _ in range(20):
        key = key_lines(rng)
        lines = [prefix + line for line in ["before", *key, "after the key", "and more"]]
        data = b"".join(b"2026-11-24T12:00:00.%09dZ stdout F %s\n" % (n, line.encode()) for n, line in enumerate(lines))
        stream = make_stream(RunRules(redactor=DEFAULT), data)
        while stream.send(data.index(b"\n", min(stream.position + rng.randrange(1, 2000), len(data) - 1)) + 1):
            pass
        sent = [line.split(b" ", 3)[3].decode() for _, line in sorted(stream.finish().items())]
        assert not any(line in text for text in sent for line in key[1:-1])
        assert [sent[0], *sent[-2:]] == [lines[0], *lines[-2:]]
        assert len(sent) == len(lines)


def test_a_key_that_never_ends_hides_no_more_than_a_few_lines_after_it(make_stream: type[Any]) -> None:
    texts = ["-----BEGIN RSA PRIVATE KEY-----", *(["x" * 64] * 3), *(f"ordinary line {n} of text" for n in range(9))]
    data = b"".join(b"2026-11-24T12:00:00Z stdout F %s\n" % text.encode() for text in texts)
    sent = [
        line.split(b" ", 3)[3].decode()
        for _, line in sorted(make_stream(RunRules(redactor=DEFAULT), data).finish().items())
    ]
    assert sent[1:4] == ["[redacted:private-key]"] * 3
    assert sent[8:] == texts[8:]


def ordinary(rng: random.Random) -> Iterator[str]:
    """Lines that look a little like secrets."""
    yield f"id={uuid.UUID(int=rng.getrandbits(128))} sha256:{some(rng, HEX, 64)} commit {some(rng, HEX, 40)}"
    yield f"ts={rng.randrange(1_600_000_000, 1_900_000_000) * 1000} ns={rng.randrange(16 * 10**17, 19 * 10**17)}"
    yield f"snowflake {rng.randrange(10**18, 2 * 10**18)} order {rng.randrange(10**11)}"
    yield f"us={rng.randrange(16 * 10**14, 19 * 10**14)} at {rng.getrandbits(rng.choice([32, 40, 48, 53, 63]))}"
    yield f"took {rng.random()} s, score {rng.random() * 100}, at {rng.random()},{rng.random()}"
    yield f'<img src="data:image/png;base64,{base64.b64encode(rng.randbytes(rng.randrange(100, 2000))).decode()}">'
    yield f"GET http://host-{rng.randrange(9)}:8080/mail?to=bob@example.com&n={rng.getrandbits(60)} 200"
    yield f"from 10.{rng.randrange(256)}.{rng.randrange(256)}.1:{rng.randrange(65536)} +49 30 {rng.randrange(10**7)}"
    yield f'etag "{some(rng, HEX, 32)}" cursor={some(rng, URL64, 60)} trace 00-{some(rng, HEX, 32)}-01'
    yield f"ssh-ed25519 {some(rng, BASE64, 68)} -----BEGIN CERTIFICATE----- {some(rng, BASE64, 64)}"
    yield f"secret key rotated; token expires in 3600; password changed for user {rng.randrange(10**6)}"
    yield f"isbn 978-3-16-148410-{rng.randrange(10)} {rng.randrange(1000, 9999)} {rng.randrange(1000, 9999)}"
    yield f"{rng.randrange(10**4):04d} {rng.randrange(10**4):04d} {rng.randrange(10**4):04d} memory dump row"
    yield f"task_{some(rng, LETTERS, 12)} sk_count=3 eyJust.a.word AKIAB short ya29 gh_x xoxo hf_hub://models/x"


def test_ordinary_lines_are_left_alone() -> None:
    rng = random.Random(5)
    lines = [line.encode() for _ in range(1500) for line in ordinary(rng)]
    for number, pod in enumerate(make_pods(seed=3, apps=8, pods_per_app=1)):
        stored = stored_lines(random.Random(number), pod)
        lines += [next(stored).split(b" ", 3)[3].rstrip(b"\n") for _ in range(2500)]
    wrong: list[bytes] = []
    for start in range(0, len(lines), 200):
        stored = [b"2026-11-24T12:00:00Z stdout F " + line for line in lines[start : start + 200]]
        data = b"\n".join([*stored, b""])
        judged = RunRules(redactor=DEFAULT).apply(Input(data, len(data)), None)
        if judged is not None:
            wrong += set(stored) - set(judged.data.splitlines())
    assert len(lines) > 35_000
    assert 0 < len(wrong) < 0.001 * len(lines), wrong[:10]


@pytest.mark.parametrize(
    "text",
    [
        b"4111111111111112",  # wrong check digit
        b"411111111111111",  # too short
        b"a4111111111111111",
        b"4111111111111111b",
        b"0.4111111111111111",
        b"41111111-1111-1111-4111-111111111111",
        b"4111 1111-1111 1111",
        b"0000000000000000",
        b"1234567812345670",  # nobody's
    ],
)
def test_what_is_no_card_is_left_alone(text: bytes) -> None:
    assert DEFAULT.find(text)[0] == []


_CARDS: Final = ("4111111111111111", "378282246310005", "30569309025904", "2223003122003222", "4111-1111-1111-1111")
_AROUND: Final = (
    *_CARDS,
    "%20",
    "\\n",
    "\\",
    "\x1b[0;31m",
    "m",
    "_",
    "a",
    "1",
    " ",
    ",",
    "-",
    ".",
    "/",
    "\n",
    '"',
    "é",
)


@given(st.lists(st.sampled_from(_AROUND), max_size=6))
def test_the_cards_hint_misses_nothing_that_is_a_card(parts: list[str]) -> None:
    (card,) = PACKS["cards"]
    content = "".join(parts).encode()
    found = [one for one in card.pattern.finditer(content) if is_card(content, *one.span())]
    assert not found or compile_pattern(card.hints).search(content) is not None
    assert not found or Redactor([card], keys=False).hits(b"x F " + content + b"\n")


def test_what_a_users_pattern_matches_is_hidden() -> None:
    patterns = [UserPattern.of("employee", "E[0-9]{6}"), UserPattern.of("pin", "pin=([0-9]+)")]
    redactor = Redactor((), keys=False, patterns=patterns)
    content = "für E123456 pin=99 é".encode()
    assert hide(content, redactor.find(content)[0]).decode() == "für [redacted:employee] pin=[redacted:pin] é"


HOSTILE: Final = {
    "jwt heads": b"eyJhbGciOiJIUzI1NiJ9." * 12_000,
    "one long jwt head": b"eyJ" + b"a" * 250_000,
    "eyJ": b"eyJ" * 80_000,
    "urls": b"://a:" * 50_000,
    "one long url": b"://" + b"a:" * 120_000,
    "digits": b"4" * 250_000,
    "digits apart": b"4111 1111 1111 111 " * 13_000,
    "key begins": b"-----BEGIN RSA PRIVATE KEY-----" * 8_000,
    "key begins and words": b"-----BEGIN PRIVATE KEY----- x \\" * 8_000,
    "backslashes": b"secret_key" + b"\\" * 250_000,
    "secret names": b"secret_access_key = " * 12_000,
    "keys": b"AKIAIOSFODNN7EXAMPLE " * 12_000,
    "sig": b"?sig=" * 50_000,
    "dashes": b"-" * 250_000,
    "base64": b"A" * 250_000,
    "prefixes": b"ghp_github_pat_xoxb-AIzaya29.SG." * 8_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_lines_cost_in_proportion_to_their_length(name: str) -> None:
    def cost(text: bytes, times: int) -> float:
        lines = [b"2026-11-24T12:00:00.%09dZ stdout F %s\n" % (number, text) for number in range(times)]
        data = b"".join(lines)
        begin = time.process_time()
        RunRules(redactor=DEFAULT).apply(Input(data, len(data)), None)
        return time.process_time() - begin

    whole = HOSTILE[name]
    piece = whole[: len(whole) // 16]
    many = min(cost(piece, 16) for _ in range(3))
    one = min(cost(whole, 1) for _ in range(3))
    assert one < 8 * many + 0.2, (one, many)  # quadratic would be 16 times, and seconds
