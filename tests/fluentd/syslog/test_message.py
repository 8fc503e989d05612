"""One message: both formats in the forms that are seen, and whatever else comes."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluentd.syslog.message import Message, Time, parse_message
from fluentd.syslog.times import rfc3339_ns, stamp_ns, zone_of

NOW = 1_795_478_400_000_000_000
"""2026-11-24T00:00:00Z."""


def _ns(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 10**9


def _parse(message: bytes) -> Message | None:
    return parse_message(message, now_ns=NOW, zone=UTC)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            b"<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \xef\xbb\xbf'su root' failed",
            (4, 2, _ns("2003-10-11T22:14:15Z") + 3_000_000, Time.STATED, b"mymachine.example.com", b"su", b"", b"ID47",
             b"", b"'su root' failed"),
        ),
        (
            b"<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time.",
            (20, 5, _ns("2003-08-24T12:14:15Z") + 3_000, Time.STATED, b"192.0.2.1", b"myproc", b"8710", b"", b"",
             b"%% It's time."),
        ),
        (
            b'<165>1 - - - - - [a@1 x="1" y="q\\"]\\]"][b@2] BOMAn event',
            (20, 5, NOW, Time.ARRIVAL, b"", b"", b"", b"", b'[a@1 x="1" y="q\\"]\\]"][b@2]', b"BOMAn event"),
        ),
        (b"<0>1 - h a p m -", (0, 0, NOW, Time.ARRIVAL, b"h", b"a", b"p", b"m", b"", b"")),
        (
            b"<13>1 2026-13-45T00:00:00Z h a p m - x",
            (1, 5, NOW, Time.WRONG, b"h", b"a", b"p", b"m", b"", b"x"),
        ),
        (
            b"<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick",
            (4, 2, _ns("2026-10-11T22:14:15Z"), Time.STATED, b"mymachine", b"su", b"", b"", b"",
             b"'su root' failed for lonvick"),
        ),
        (
            b"<30>Nov  4 01:02:03 node-1 kubelet[123]: I1104 text: more",
            (3, 6, _ns("2026-11-04T01:02:03Z"), Time.STATED, b"node-1", b"kubelet", b"123", b"", b"",
             b"I1104 text: more"),
        ),
        (
            b"<13>Nov 24 00:00:00 user: of a local logger",
            (1, 5, NOW, Time.STATED, b"", b"user", b"", b"", b"", b"of a local logger"),
        ),
        (
            b"<14>2026-11-24T01:00:00+01:00 host go[7]: of Go's log/syslog",
            (1, 6, NOW, Time.STATED, b"host", b"go", b"7", b"", b"", b"of Go's log/syslog"),
        ),
        (b"<14>of Python's handler", (1, 6, NOW, Time.ARRIVAL, b"", b"", b"", b"", b"", b"of Python's handler")),
        (b"<14>ident: x", (1, 6, NOW, Time.ARRIVAL, b"", b"ident", b"", b"", b"", b"x")),
        (
            b"<13>Feb 30 00:00:00 h t: no such day",
            (1, 5, NOW, Time.WRONG, b"h", b"t", b"", b"", b"", b"no such day"),
        ),
        (
            b"<13>Nov 24 00:00:00 fe80::1 t: x",
            (1, 5, NOW, Time.STATED, b"fe80::1", b"t", b"", b"", b"", b"x"),
        ),
        (
            b"<13>Nov 24 00:00:00 h no tag here",
            (1, 5, NOW, Time.STATED, b"h", b"", b"", b"", b"", b"no tag here"),
        ),
    ],
)  # fmt: skip
def test_a_message_is_read(message: bytes, expected: tuple[object, ...]) -> None:
    assert _parse(message) == expected


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"plain text",
        b"<>x",
        b"<192>x",
        b"<012>x",
        b"<1000>x",
        b"<-1>x",
        b"13 x",
        b'<13>1 - h a p m [x y="1" x',
        b"<13>1 - h a p m [x]y",
        b"<13>1 - h a p m x",
    ],
)
def test_what_is_no_message_is_told(message: bytes) -> None:
    assert _parse(message) is None


@pytest.mark.parametrize(
    ("now", "stamp", "expected"),
    [
        ("2027-01-01T00:00:01Z", b"Dec 31 23:59:59", "2026-12-31T23:59:59Z"),
        ("2026-12-31T23:59:59Z", b"Jan  1 00:00:01", "2027-01-01T00:00:01Z"),
        ("2028-03-01T00:00:00Z", b"Feb 29 12:00:00", "2028-02-29T12:00:00Z"),
        ("2028-12-31T00:00:00Z", b"Dec 31 23:00:00", "2028-12-31T23:00:00Z"),
        ("2026-11-24T00:00:00Z", b"May 24 00:00:00", "2026-05-24T00:00:00Z"),
    ],
)
def test_a_time_without_a_year_is_in_the_newest_year_that_it_can_be(now: str, stamp: bytes, expected: str) -> None:
    assert stamp_ns(stamp, now_ns=_ns(now), zone=UTC) == _ns(expected)


def test_a_time_without_a_zone_is_in_the_zone_of_the_setting() -> None:
    assert stamp_ns(b"Jul  1 12:00:00", now_ns=NOW, zone=ZoneInfo("Europe/Berlin")) == _ns("2026-07-01T10:00:00Z")
    assert zone_of("UTC") is UTC
    for name in ("Nowhere/Else", "../etc/passwd", "", "\0"):
        with pytest.raises(ValueError, match="no time zone"):
            zone_of(name)


def test_a_time_with_text_behind_it_is_none() -> None:
    assert rfc3339_ns(b"2026-11-24T00:00:00Z") == NOW
    assert rfc3339_ns(b"2026-11-24T00:00:00Z stdout F x") is None
    assert stamp_ns(b"Foo 11 00:00:00", now_ns=NOW, zone=UTC) is None
    assert stamp_ns(b"Feb 29 00:00:00", now_ns=NOW, zone=UTC) is None


_NAME = st.text("abcXYZ019.-/_", min_size=1, max_size=20).map(str.encode).filter(lambda name: name != b"-")
_VALUE = st.text(st.characters(blacklist_categories=["Cs"]), max_size=20)
_DATA = st.lists(st.tuples(_NAME, st.lists(st.tuples(_NAME, _VALUE), max_size=2)), max_size=3)


@given(
    priority=st.integers(0, 191), names=st.tuples(_NAME, _NAME, _NAME, _NAME), data=_DATA, text=st.binary(max_size=60)
)
def test_every_field_of_a_well_formed_message_is_as_it_was_written(
    priority: int, names: tuple[bytes, ...], data: list[tuple[bytes, list[tuple[bytes, str]]]], text: bytes
) -> None:
    told = b"".join(
        b"[%s%s]" % (name, b"".join(b' %s="%s"' % (key, _escaped(value)) for key, value in params))
        for name, params in data
    )
    message = _parse(b"<%d>1 - %s %s %s" % (priority, b" ".join(names), told or b"-", text))
    assert message is not None
    assert (message.facility * 8 + message.severity, message.data) == (priority, told)
    assert (message.host, message.name, message.process, message.kind) == names
    assert message.text == text.removeprefix(b"\xef\xbb\xbf")


def _escaped(value: str) -> bytes:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]").encode()


def test_a_message_of_brackets_and_quotes_takes_time_in_its_length() -> None:
    """Structured data without an end is the usual trap for patterns that go back."""
    for text in (b'[a b="' + b"\\" * 60_000, b'[a b="x"' * 8_000, b'[a b="' + b"x" * 60_000, b"[a]" * 20_000 + b"["):
        assert _parse(b"<13>1 - h a p m " + text) is None
