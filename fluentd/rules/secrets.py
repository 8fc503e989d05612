"""What secrets look like: kinds, each with literal hints, a pattern and, where a pattern is not enough, a check.

All patterns are RE2: linear in whatever is written into a log. A kind is tried only on content that has one of its
hints, and all hints together are one automaton over a whole chunk (see `redact`).

Sources: the formats as their issuers publish them: AWS IAM identifiers, GCP API keys, Azure storage and SAS keys,
GitHub token formats, Slack and Stripe token prefixes, RFC 7519 (JWT), RFC 7468 (PEM), RFC 3986 (user information),
ISO/IEC 7812 (card numbers, the Luhn check digit).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import re2

from pipeline.limits import MIB

Check = Callable[[bytes, int, int], bool]
"""Whether `content[start:stop]`, which a pattern found, is a secret after all."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of secret.

    Attributes:
        name: As it stands in the log in the secret's place, and in counters.
        hints: RE2, few and literal: content without a match holds none of this kind.
        pattern: What is a secret: its group 1 where it has one, else all of it.
        check: See `Check`.
    """

    name: str
    hints: bytes
    pattern: Any
    check: Check | None = None


_WORD: Final = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_")


def compile_pattern(pattern: bytes, *, utf8: bool = False) -> Any:
    """Compile for RE2, over bytes, or over text that is UTF-8.

    Raises:
        re2.error: It is no pattern, or too large a one.
    """
    options = re2.Options()
    options.log_errors = False
    options.encoding = re2.Options.Encoding.UTF8 if utf8 else re2.Options.Encoding.LATIN1
    options.max_mem = 8 * MIB
    return re2.compile(pattern, options)  # type: ignore[no-untyped-call]


_ESCAPE: Final = re.compile(rb"(?:%[0-9A-Fa-f]{2}|\\[a-z]|\x1b\[[0-9;]{0,9}m)\Z")
_ESCAPE_BYTES: Final = 12


def _free_before(content: bytes, start: int) -> bool:
    r"""No letter or digit before it, but for the end of an escape: `%20`, `\n`, a colour of a terminal."""
    if not start or content[start - 1] not in _WORD or content[start - 1 : start] == b"_":
        return True
    return _ESCAPE.search(content, max(0, start - _ESCAPE_BYTES), start) is not None


def _alone(content: bytes, start: int, stop: int) -> bool:
    """No letter or digit beside it, so that it is no part of a longer name or of encoded data."""
    return _free_before(content, start) and (stop == len(content) or content[stop] not in _WORD)


def _not_inside_a_word(content: bytes, start: int, stop: int) -> bool:  # noqa: ARG001 - a `Check`
    """No letter or digit before it."""
    return _free_before(content, start)


def _kind(name: str, hints: bytes, pattern: bytes, check: Check | None = _not_inside_a_word) -> Kind:
    return Kind(name, hints, compile_pattern(pattern), check)


_ASSIGNED: Final = rb"\\?[\"']?\s{0,8}(?:=>|[:=])\s{0,8}\\?[\"']?"
_SECRET: Final = rb"(?i:secret_?-?(?:access_?-?)?key|secretaccesskey)" + _ASSIGNED
_SESSION: Final = rb"(?i:session_?token|security-token)" + _ASSIGNED

CLOUD: Final = (
    _kind("aws-access-key-id", rb"A(?:KIA|SIA|BIA|CCA)[A-Z0-9]{16}", rb"A(?:KIA|SIA|BIA|CCA)[A-Z0-9]{16}", _alone),
    _kind("aws-secret-key", _SECRET, _SECRET + rb"([A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+=]|$)", None),
    _kind("aws-session-token", _SESSION, _SESSION + rb"([A-Za-z0-9/+=%]{100,})", None),
    _kind("gcp-api-key", rb"AIza[0-9A-Za-z_-]{35}", rb"AIza[0-9A-Za-z_-]{35}"),
    _kind("gcp-oauth", rb"ya29\.|GOCSPX-", rb"ya29\.[0-9A-Za-z_-]{20,}|GOCSPX-[0-9A-Za-z_-]{28}"),
    _kind(
        "azure-key",
        rb"(?i:accountkey=|sharedaccesskey=)|[?&]sig=|[78]Q~",
        rb"(?i:accountkey=)([A-Za-z0-9+/]{86}==)|(?i:sharedaccesskey=)([A-Za-z0-9+/]{43}=)"
        rb"|[?&]sig=([A-Za-z0-9%+/]{43,}={0,2})|([A-Za-z0-9_~.-]{3}[78]Q~[A-Za-z0-9_~.-]{31,34})",
        None,
    ),
    _kind("github-token", rb"gh[pousr]_|github_pat_", rb"gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,}"),
    _kind("gitlab-token", rb"gl(?:pat|dt|rt|cbt|ptt)-", rb"gl(?:pat|dt|rt|cbt|ptt)-[A-Za-z0-9_-]{20,}"),
    _kind(
        "slack-token",
        rb"xox[abeoprs]-|xapp-\d|hooks\.slack\.com/",
        rb"xox[abeoprs]-[A-Za-z0-9-]{10,}|xapp-\d-[A-Za-z0-9-]{10,}"
        rb"|hooks\.slack\.com/(?:services|workflows)/([A-Za-z0-9/_-]{20,})",
    ),
    _kind(
        "stripe-key",
        rb"[sr]k_(?:live|test)_|whsec_",
        rb"[sr]k_(?:live|test)_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9+/=]{32,}",
    ),
    _kind("sendgrid-key", rb"SG\.[A-Za-z0-9_-]{22}\.", rb"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}"),
    _kind("package-token", rb"npm_[A-Za-z0-9]{36}|pypi-AgE", rb"npm_[A-Za-z0-9]{36}|pypi-AgE[A-Za-z0-9_-]{50,}"),
    _kind(
        "cloud-token",
        rb"dop_v1_|hf_[A-Za-z]{34}|sk-(?:proj|ant|svcacct)-",
        rb"dop_v1_[0-9a-f]{64}|hf_[A-Za-z]{34}|sk-(?:proj|ant|svcacct)-[A-Za-z0-9_-]{20,}",
    ),
)

JWT: Final = (
    _kind(
        "jwt",
        rb"eyJ[A-Za-z0-9_-]{8,}\.",
        # Signed: header, claims, signature. Encrypted: header, key, vector, text, tag.
        rb"eyJ[A-Za-z0-9_-]{8,}\.(?:eyJ[A-Za-z0-9_-]{2,}\.[A-Za-z0-9_-]*"
        rb"|[A-Za-z0-9_-]*\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{16,})",
    ),
)


URL: Final = (
    _kind(
        "url-password",
        rb"://[^\s/?#\"'<>:@]{0,256}:[^\s/?#\"'<>]{1,512}@",
        rb"://[^\s/?#\"'<>:@]{0,256}:([^\s/?#\"'<>]{1,512})@",
        None,
    ),
)


def is_card(content: bytes, start: int, stop: int) -> bool:
    """Whether digits are a card number: an issuer's prefix, its length, the check digit, and nothing beside them."""
    if not _stands_alone(content, start, stop):
        return False
    digits = content[start:stop].replace(b" ", b"").replace(b"-", b"")
    return _is_issued(digits) and luhn(digits) and len(set(digits)) > 1


def _stands_alone(content: bytes, start: int, stop: int) -> bool:
    """No letter, digit or decimal point beside it; nor a dash or slash with a letter or digit behind, as in a UUID."""
    before, after = content[max(0, start - 2) : start], content[stop : stop + 2]
    if not _free_before(content, start) or before[-1:].isdigit() or before[-1:] == b"_":
        return False
    if (after and after[0] in _WORD) or (len(after) > 1 and after[0] in b".-/" and after[1] in _WORD):
        return False
    joined = len(before) > 1 and before[0] in _WORD
    return not joined or not (before[1] in b".-/+" or (before[1:] == b"," and before[:1].isdigit()))


def _is_issued(digits: bytes) -> bool:
    """Whether a number begins and is as long as those of a card company."""
    size, two, three, four = len(digits), int(digits[:2]), int(digits[:3]), int(digits[:4])
    if two in (34, 37):
        return size == 15  # noqa: PLR2004 - American Express
    if two in (36, 38, 39) or 300 <= three <= 305:  # noqa: PLR2004 - Diners Club
        return size == 14  # noqa: PLR2004 - the same
    if size not in (16, 19):
        return False
    mastercard = 51 <= two <= 55 or 2221 <= four <= 2720  # noqa: PLR2004 - its two ranges
    if mastercard:
        return size == 16  # noqa: PLR2004 - the same
    discover = four == 6011 or 644 <= three <= 659  # noqa: PLR2004 - its ranges
    return digits[:1] == b"4" or discover or 3528 <= four <= 3589 or two == 62  # noqa: PLR2004 - Visa, JCB, UnionPay


_DOUBLED: Final = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def luhn(digits: bytes) -> bool:
    """Whether the last of `digits` is the check digit of the others (ISO/IEC 7812)."""
    values = [digit - ord("0") for digit in reversed(digits)]
    return (sum(values[0::2]) + sum(_DOUBLED[value] for value in values[1::2])) % 10 == 0


_GROUPED: Final = (
    rb"\d{4} \d{4} \d{4} \d{4}(?: \d{3})?|\d{4}-\d{4}-\d{4}-\d{4}(?:-\d{3})?"
    rb"|3\d{3} \d{6} \d{4,5}|3\d{3}-\d{6}-\d{4,5}"
)

# Times in micro- and nanoseconds begin with 1, and hexadecimal ids go on with letters: neither is worth a look.
_ALONE: Final = (
    rb"(?:^|[^0-9A-Za-z_]|%[0-9A-Fa-f]{2}|\\[a-z]|m)(?:2[2-7]|3|4|5[1-5]|6[0245])[0-9]{12,18}(?:[^0-9A-Za-z_]|$)"
)

CARDS: Final = (_kind("card", _ALONE + rb"|" + _GROUPED, _GROUPED + rb"|\d{14,}", is_card),)

PRIVATE_KEY: Final = "private-key"
"""The kind of what `fluentd.rules.keyblock` finds."""

PACKS: Final[Mapping[str, tuple[Kind, ...]]] = {
    "default": (*CLOUD, *JWT, *URL, *CARDS),
    "cloud": CLOUD,
    "jwt": JWT,
    "urls": URL,
    "cards": CARDS,
    "private-keys": (),
}
PRIVATE_KEYS: Final = frozenset({"default", "private-keys"})
"""Packs with private keys, which are no `Kind`."""
