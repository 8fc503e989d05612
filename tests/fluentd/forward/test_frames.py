"""Frames of every mode become the lines that they hold; what is unusual is kept, and what is no frame is refused."""

import base64
import gzip
import json
import struct
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluentd.forward.batch import portions
from fluentd.forward.errors import RefusedError
from fluentd.forward.frame import entry_ends, parse_frame
from fluentd.forward.naming import Naming

T = 1_700_000_000
EVENT_TIME = msgpack.ExtType(0, struct.pack(">II", T, 123_456_789))
ENTRIES = [[EVENT_TIME, {"log": "one"}], [T, {"log": "two", "n": 2}]]


def packed(entries: list[Any]) -> bytes:
    return b"".join(map(msgpack.packb, entries))


MODES = {
    "message": packed([["shop.web", *ENTRIES[0]], ["shop.web", *ENTRIES[1], {"chunk": "c"}]]),
    "forward": msgpack.packb(["shop.web", ENTRIES]),
    "forward with nil for the option": msgpack.packb(["shop.web", ENTRIES, None]),
    "packed": msgpack.packb(["shop.web", packed(ENTRIES), {"size": 2}]),
    "packed as str": msgpack.packb(["shop.web", packed(ENTRIES)], use_bin_type=False),
    "packed, called text": msgpack.packb(["shop.web", packed(ENTRIES), {"compressed": "text"}]),
    "compressed": msgpack.packb(["shop.web", gzip.compress(packed(ENTRIES)), {"compressed": "gzip"}]),
    "compressed, two members": msgpack.packb(
        ["shop.web", b"".join(gzip.compress(msgpack.packb(one)) for one in ENTRIES), {"compressed": "gzip", "size": 2}]
    ),
    "compressed, an entry over two members": msgpack.packb(
        [
            "shop.web",
            gzip.compress(packed(ENTRIES)[:7]) + gzip.compress(b"") + gzip.compress(packed(ENTRIES)[7:]),
            {"compressed": "gzip"},
        ]
    ),
    "tag as bin": msgpack.packb([b"shop.web", ENTRIES]),
    "array headers of 16 and 32 bits": b"\xdc\x00\x02"
    + msgpack.packb("shop.web")
    + b"\xdd\x00\x00\x00\x02"
    + b"\xdc\x00\x02"
    + packed(ENTRIES[0])
    + b"\xdd\x00\x00\x00\x02"
    + packed(ENTRIES[1]),
    "times with metadata": msgpack.packb(["shop.web", [[[time, {"m": 1}], record] for time, record in ENTRIES]]),
}


@pytest.mark.parametrize("data", MODES.values(), ids=MODES)
def test_every_mode_carries_the_same_lines(data: bytes, decode: Any) -> None:
    decoded = decode(data)
    assert [(one.app, one.process, one.time_ns, one.message) for one in decoded.lines] == [
        ("shop", "web", T * 10**9 + 123_456_789, b"one"),
        ("shop", "web", T * 10**9, b'{"log":"two","n":2}'),
    ]
    assert decoded.odd == {}


@pytest.mark.parametrize(
    ("option", "chunk"),
    [
        ({"chunk": "abc"}, "abc"),
        ({"chunk": b"abc"}, b"abc"),
        ({"chunk": ""}, None),
        ({"chunk": 7}, None),
        ({"size": -1}, None),
        ({1: 2, "chunk": "x"}, "x"),
        ({"chunk": msgpack.ExtType(0, b"x"), "size": [[]]}, None),
        (["chunk"], None),
        ("chunk", None),
        (None, None),
        ({"chunk": "x" * 10_000}, None),
    ],
)
def test_options_of_any_kind_do_no_harm(option: Any, chunk: str | bytes | None, decode: Any) -> None:
    for data in (["shop", T, {"log": "a"}, option], ["shop", ENTRIES, option], ["shop", packed(ENTRIES), option]):
        decoded = decode(msgpack.packb(data))
        assert decoded.chunks == [chunk]
        assert decoded.lines


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"log": "text"}, b"text"),
        ({"message": "text"}, b"text"),
        ({"message": b"text"}, b"text"),
        ({"log": "", "app": "shop", "type": "web"}, b""),
        ({"log": b"\xff\xfe"}, b"\xff\xfe"),
        ({"log": "a", "message": "b"}, b'{"log":"a","message":"b"}'),
        ({"log": {"a": 1}}, b'{"log":{"a":1}}'),
        ({"log": 1}, b'{"log":1}'),
        ({}, b"{}"),
        ({"app": "shop"}, b'{"app":"shop"}'),
        ({"a": b"text", "b": [1, None, True, 1.5, {"c": b"d"}]}, b'{"a":"text","b":[1,null,true,1.5,{"c":"d"}]}'),
        ({"a": b'\xff"\n'}, b'{"a":"\xff\\"\\n"}'),
        ({"a": "line\nline"}, b'{"a":"line\\nline"}'),
        ({(1, "x"): "a"}, b'{"[1,\\"x\\"]":"a"}'),
        ({1: "a", 2.5: "b"}, b'{"1":"a","2.5":"b"}'),
        ({"big": 2**64 - 1, "small": -(2**63)}, b'{"big":18446744073709551615,"small":-9223372036854775808}'),
        ({"a": msgpack.ExtType(5, b"x")}, b'{"a":{"ext":5,"data":"eA=="}}'),
        ({"a": [EVENT_TIME]}, b'{"a":[1700000000.1234567]}'),
        ({"a": [float("nan")]}, b'{"a":["nan"]}'),
        ("just text", b"just text"),
        (b"\xff", b"\xff"),
        ([1, 2], b"[1,2]"),
        (None, b"null"),
        (msgpack.Timestamp(T, 0), b'"2023-11-14T22:13:20+00:00"'),
    ],
)
def test_a_record_becomes_its_text_or_json(record: Any, message: bytes, decode: Any) -> None:
    decoded = decode(msgpack.packb(["shop", T, record]))
    assert [one.message for one in decoded.lines] == [message]
    assert decoded.odd == ({} if isinstance(record, dict) else {"record": 1})


def test_text_that_is_no_utf_8_stays_as_it_is(decode: Any) -> None:
    raw = msgpack.packb(["shop", T, {"app": "blog", "log": b"caf\xe9"}], use_bin_type=False)
    assert [(one.app, one.message) for one in decode(raw).lines] == [("blog", b"caf\xe9")]
    raw = msgpack.packb(["shop", T, {"a": b"caf\xe9", b"\xff": [b"\xfe"]}], use_bin_type=False)
    assert [one.message for one in decode(raw).lines] == [b'{"a":"caf\xe9","\xff":["\xfe"]}']


def test_a_message_of_several_lines_is_several_lines_of_the_log(decode: Any) -> None:
    decoded = decode(msgpack.packb(["shop", T, {"log": "Traceback\n  at x\n"}]))
    assert [one.message for one in decoded.lines] == [b"Traceback", b"  at x"]
    assert {one.time_ns for one in decoded.lines} == {T * 10**9}


NO_TIMES = [
    -1,
    1_700_000_000_000,
    2**63 // 10**9,
    msgpack.Timestamp(2**34 - 1, 0),
    2**63,
    True,
    {},
    float("inf"),
    msgpack.ExtType(0, b"xx"),
    msgpack.ExtType(9, b"x" * 8),
]


@pytest.mark.parametrize("time", [None, 0, *NO_TIMES], ids=repr)
def test_an_entry_without_a_time_has_that_of_its_arrival(time: Any, decode: Any, now_ns: int) -> None:
    decoded = decode(msgpack.packb(["shop", time, {"log": "a"}]))
    assert [one.time_ns for one in decoded.lines] == [now_ns]
    assert decoded.odd == ({"time": 1} if time is not None and time is not False and time != 0 else {})


@pytest.mark.parametrize(
    ("time", "time_ns"),
    [
        (T + 0.5, T * 10**9 + 500_000_000),
        (msgpack.Timestamp(T, 5000), T * 10**9 + 5000),
        (msgpack.ExtType(0, struct.pack(">II", T, 2**32 - 1)), T * 10**9 + 999_999_999),
        (1, 10**9),
        ([T, {}], T * 10**9),
    ],
)
def test_times_of_every_form_are_read(time: Any, time_ns: int, decode: Any) -> None:
    data = msgpack.packb(["shop", [[time, {"log": "a"}]]])
    assert [one.time_ns for one in decode(data).lines] == [time_ns]


@pytest.mark.parametrize(
    ("tag", "record", "naming", "whose"),
    [
        ("shop.web", {}, Naming(), ("shop", "web")),
        ("shop.web.stdout", {}, Naming(), ("shop", "web")),
        ("shop", {}, Naming(), ("shop", "")),
        ("shop.web", {}, Naming(tag_parts=False), ("shop.web", "")),
        ("shop.web", {"app": "blog"}, Naming(), ("blog", "")),
        ("shop.web", {"app": b"blog", "type": "worker"}, Naming(), ("blog", "worker")),
        ("shop.web", {"app": 7, "type": "worker"}, Naming(), ("shop", "web")),
        ("shop.web", {"app": "", "type": "worker"}, Naming(), ("shop", "web")),
        ("shop.web", {"app": "blog"}, Naming(app_field=()), ("shop", "web")),
        (
            "kube.var.log",
            {"kubernetes": {"labels": {"app": "blog", "type": "cmd"}}},
            Naming.of(app_field="kubernetes.labels.app", process_field="kubernetes.labels.type", tag="app"),
            ("blog", "cmd"),
        ),
        (
            "a.b",
            {"kubernetes": "x"},
            Naming.of(app_field="kubernetes.labels.app", process_field="", tag="app"),
            ("a.b", ""),
        ),
    ],
)
def test_tag_and_fields_name_app_and_process(
    tag: str, record: Any, naming: Naming, whose: tuple[str, str], decode: Any
) -> None:
    decoded = decode(msgpack.packb([tag, T, record]), naming=naming)
    assert [(one.app, one.process) for one in decoded.lines] == [whose]


@pytest.mark.parametrize("name", ["", "../../etc", "a b", "ü", "x" * 300, "@controller", "a\n[b]"])
def test_names_that_are_none_are_made_safe_and_stay_apart(name: str, decode: Any) -> None:
    for data in ([name, T, {"log": "a"}], ["shop", T, {"log": "a", "app": name or "?", "type": name or "?"}]):
        (line,) = decode(msgpack.packb(data)).lines
        assert line.app.replace("-", "").replace("_", "").replace(".", "").isalnum()
        assert len(line.app) <= 253
        assert "@" not in line.process
    assert decode(msgpack.packb(["a b", T, {}])).lines[0].app != decode(msgpack.packb(["a?b", T, {}])).lines[0].app


def test_what_no_decoder_takes_is_kept_in_base64(decode: Any, now_ns: int) -> None:
    nested: Any = "x"
    for _ in range(1000):
        nested = [nested]
    entries = [
        msgpack.packb([T, {"a": nested}]),
        b"\x92\x01\x81\x80\x02",  # a map as a key
        msgpack.packb([T, {"a": [0] * 70_000}]),  # too many values
    ]
    decoded = decode(msgpack.packb(["shop", b"".join(entries)]))
    assert decoded.odd == {"undecodable": 3}
    assert [base64.b64decode(json.loads(one.message)["msgpack"]) for one in decoded.lines] == entries
    assert {one.time_ns for one in decoded.lines} == {now_ns}


def test_a_large_record_with_few_values_is_decoded(decode: Any) -> None:
    record = {"a": "x" * 100_000, "b": b"y" * 100_000, "c": [1.5, 2**40, -5, msgpack.ExtType(1, b"z" * 70_000)] * 2}
    decoded = decode(msgpack.packb(["shop", T, record]))
    assert decoded.odd == {}
    assert json.loads(decoded.lines[0].message)["b"] == "y" * 100_000


REFUSED = {
    "not an array": (msgpack.packb({"a": 1}), "format"),
    "a number": (b"\x07", "format"),
    "an empty array": (b"\x90", "format"),
    "a tag alone": (msgpack.packb(["tag"]), "format"),
    "five parts": (msgpack.packb(["tag", 1, {}, {}, {}]), "format"),
    "no record": (msgpack.packb(["tag", 1]), "format"),
    "no tag": (msgpack.packb([7, 1, {}]), "format"),
    "a long tag": (msgpack.packb(["x" * 2000, 1, {}]), "format"),
    "an entry that is no pair": (msgpack.packb(["tag", [[1, {}], [1]]]), "format"),
    "an entry that is nil": (msgpack.packb(["tag", b"\x92\x01\x80\xc0"]), "format"),
    "entries cut off": (msgpack.packb(["tag", packed(ENTRIES)[:-1]]), "format"),
    "entries that are no msgpack": (msgpack.packb(["tag", packed(ENTRIES) + b"\xc1"]), "format"),
    "entries nested deeply": (msgpack.packb(["tag", b"\x92\x01" + b"\x91" * 100_000]), "format"),
    "no msgpack": (b"\xc1", "format"),
    "nested deeply": (b"\x91" * 100_000, "nesting"),
    "no gzip": (msgpack.packb(["tag", b"abc", {"compressed": "gzip"}]), "gzip"),
    "gzip cut off": (msgpack.packb(["tag", gzip.compress(b"abc")[:-4], {"compressed": "gzip"}]), "gzip"),
    "gzip with a wrong sum": (
        msgpack.packb(["tag", gzip.compress(b"abc")[:-8] + b"\0" * 8, {"compressed": "gzip"}]),
        "gzip",
    ),
    "a compression that is no text": (
        msgpack.packb(["tag", b"", {"compressed": msgpack.ExtType(7, b"x")}]),
        "compression",
    ),
    "a compression that is not known": (msgpack.packb(["tag", b"", {"compressed": "zip"}]), "compression"),
    "too long": (msgpack.packb(["tag", T, {"log": "x" * (2**20)}]), "size"),
    "an extension of 4 GiB less 1": (b"\x92" + msgpack.packb("tag") + b"\xc9\xff\xff\xff\xff\x00\x01\x80", "format"),
}


@pytest.mark.parametrize(("data", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_frame_is_refused_with_a_reason(data: bytes, reason: str, decode: Any) -> None:
    with pytest.raises(RefusedError) as refused:
        decode(data)
    assert refused.value.reason == reason


def test_nil_keeps_a_connection_and_says_nothing(decode: Any) -> None:
    assert [one.message for one in decode(b"\xc0" + msgpack.packb(["shop", T, {"log": "a"}]) + b"\xc0").lines] == [b"a"]


def test_empty_frames_hold_no_lines(decode: Any) -> None:
    for body in ([], b"", gzip.compress(b"")):
        assert decode(msgpack.packb(["shop", body, {"compressed": "gzip"}])).lines == []


def test_many_entries_come_in_portions_and_in_order() -> None:
    entries = [[T, {"log": f"{number} " + "x" * 500}] for number in range(1000)]
    frame = parse_frame(msgpack.packb(["shop", packed(entries)]))
    assert frame is not None
    found = list(portions(frame, entry_ends(frame), naming=Naming(), now_ns=0))
    assert len(found) > 5
    numbers = [int(line.split(b" F ")[1].split()[0]) for one in found for line in one.lines[0].data.splitlines()]
    assert numbers == list(range(1000))


values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), values, max_size=5))
def test_json_tells_a_record_as_it_was(record: Any) -> None:
    frame = parse_frame(msgpack.packb(["t", T, record]))
    assert frame is not None
    (portion,) = portions(frame, entry_ends(frame), naming=Naming(app_field=()), now_ns=0)
    _, _, message = portion.lines[0].data[:-1].partition(b" stdout F ")
    if set(record) & {"log", "message"} and len(record) == 1:
        return
    told = json.loads(message.decode(errors="surrogateescape"))
    assert told == _told(record)


def _told(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _told(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_told(one) for one in value]
    if isinstance(value, float) and abs(value) == float("inf"):
        return str(value)
    return value.decode(errors="surrogateescape") if isinstance(value, bytes) else value
