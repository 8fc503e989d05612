"""Packs come back as they were made, and no bytes whatever make the decoder do worse than refuse them."""

import random
import struct

import msgspec
import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.chunk import Chunk, Flag, Origin
from pipeline.errors import FormatError
from pipeline.limits import NAME_BYTES, PACK_BYTES, PACK_DECODED_BYTES, POD_RULES_BYTES
from pipeline.names import PACK_MAGIC
from pipeline.pack import Header, PackBody, chunks_of, decode_pack, encode_pack, encoded_size, pack_is_full
from pipeline.podstatement import MOST_STATEMENTS, PodNews, PodStatement

COMPRESSOR = zstandard.ZstdCompressor(level=1)
DECOMPRESSOR = zstandard.ZstdDecompressor()
POD = PodStatement("ns", "pod", "uid", "app", "web", "v3", ("10.0.0.1", "fd00::1"), (80,), 5, 9, "rules: []")
ORIGIN = Origin("node", "demo", "demo-web-1", "uid", "web", 0, "demo", "web", "v3")

names = st.text(max_size=NAME_BYTES)
origins = st.builds(Origin, names, names, names, names, names, st.integers(0, 2**31 - 1), names, names, names)


@st.composite
def chunks(draw: st.DrawFn) -> Chunk:
    """A chunk of file bytes, or one whose lines were changed and say where they were."""
    prev_end, gap = draw(st.integers(0, 2**40)), draw(st.integers(0, 100))
    lines = draw(st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"")), max_size=5))
    data = b"".join(line + b"\n" for line in lines)
    changed = draw(st.booleans()) and bool(lines)
    offsets = (
        sorted(draw(st.sets(st.integers(0, 2**32 - 2), min_size=len(lines), max_size=len(lines)))) if changed else []
    )
    return Chunk(
        draw(origins),
        draw(st.binary(min_size=16, max_size=16)),
        draw(st.integers(0, 2**31 - 1)),
        prev_end + gap,
        prev_end + gap + (offsets[-1] + 1 if changed else len(data)),
        prev_end,
        data,
        Flag(draw(st.integers(0, 7))),
        struct.pack(f"<{len(offsets)}I", *offsets),
    )


def frame(body: object) -> bytes:
    return PACK_MAGIC + COMPRESSOR.compress(msgspec.msgpack.encode(body))


def decode(record: bytes) -> PackBody:
    return decode_pack(record, decompressor=DECOMPRESSOR)


@settings(max_examples=100, deadline=None)
@given(st.lists(chunks(), max_size=6), names, st.integers(0, 2**63 - 1))
def test_a_pack_comes_back_as_it_was_made(made: list[Chunk], node: str, heartbeat_ns: int) -> None:
    body = decode(encode_pack(made, node=node, heartbeat_ns=heartbeat_ns, compressor=COMPRESSOR))
    assert (body.node, body.heartbeat_ns, list(chunks_of(body))) == (node, heartbeat_ns, made)


def test_chunks_of_one_origin_share_it() -> None:
    made = [Chunk(ORIGIN, b"s" * 16, 0, number, number + 1, number, b"\n") for number in range(9)]
    body = decode(encode_pack(made, node="node", compressor=COMPRESSOR))
    assert body.origins == [ORIGIN]


VERSION_1 = bytes.fromhex(
    "0128b52ffd20647d0200640495a16e059199a16ea26e73a3706f64a3756964a16302a3617070a3776562a27633929900c410"
    "73010a0c090204c4009900c4107400001e000200c40405000000c404610a620a0200a0fbefc013"
)


def test_the_bytes_of_version_1_are_still_understood() -> None:
    origin = Origin("n", "ns", "pod", "uid", "c", 2, "app", "web", "v3")
    body = decode(VERSION_1)
    assert (body.node, body.heartbeat_ns) == ("n", 5)
    assert list(chunks_of(body)) == [
        Chunk(origin, b"s" * 16, 1, 10, 12, 9, b"a\n", Flag.DECLARED_LOSS),
        Chunk(origin, b"t" * 16, 0, 0, 30, 0, b"b\n", Flag.NONE, b"\5\0\0\0"),
    ]


VERSION_1_WITH_PODS = bytes.fromhex(
    "0128b52ffd207c1d0300740598a16e059199a16ea26e73a3706f64a3756964a16302a3617070a3776562a27633919900c4107301"
    "0a0c090204c400c402610a919b92a831302e302e302e31a7666430303a3a3191500509a972756c65733a205b5dc30b03005c19e0"
    "2b43bd034f"
)


def test_the_bytes_of_version_1_with_statements_about_pods_are_still_understood() -> None:
    body = decode(VERSION_1_WITH_PODS)
    assert (body.pods, body.pods_complete, body.pods_ns) == ((POD,), True, 11)
    assert [chunk.data for chunk in chunks_of(body)] == [b"a\n"]


def test_statements_about_pods_come_back_as_they_were_made() -> None:
    record = encode_pack([], node="n", news=PodNews((POD, POD), complete=True, known_ns=11), compressor=COMPRESSOR)
    body = decode(record)
    assert (body.pods, body.pods_complete, body.pods_ns) == ((POD, POD), True, 11)


def test_a_pack_without_statements_says_nothing_of_pods() -> None:
    body = decode(VERSION_1)
    assert (body.pods, body.pods_complete, body.pods_ns) == ((), False, 0)


class OldBody(msgspec.Struct, frozen=True, array_like=True):
    """`PackBody` as it was before packs spoke of pods."""

    node: str
    heartbeat_ns: int
    origins: list[Origin]
    headers: list[Header]
    data: bytes


def test_a_reader_that_knows_nothing_of_pods_passes_over_what_is_said_of_them() -> None:
    plain = DECOMPRESSOR.decompress(VERSION_1_WITH_PODS[1:])
    assert msgspec.msgpack.decode(plain, type=OldBody).data == b"a\n"


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
@example(b"")
@example(PACK_MAGIC)
@example(PACK_MAGIC + b"\x28\xb5\x2f\xfd")
@example(PACK_MAGIC + b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd")  # a skippable frame
def test_random_bytes_are_refused(record: bytes) -> None:
    for candidate in (record, PACK_MAGIC + record, PACK_MAGIC + COMPRESSOR.compress(record)):
        with pytest.raises(FormatError):
            decode(candidate)


_RECORD = encode_pack(
    [
        Chunk(ORIGIN, b"s" * 16, 0, 0, 300, 0, bytes(range(256)) + b"x" * 44),
        Chunk(ORIGIN, b"t" * 16, 0, 4, 6, 4, b"a\n"),
    ],
    node="node",
    heartbeat_ns=2**60,
    compressor=COMPRESSOR,
)
_PLAIN = DECOMPRESSOR.decompress(_RECORD[1:])


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(_PLAIN) - 1), st.integers(0, 255), st.integers(0, len(_PLAIN)))
def test_changed_and_cut_packs_are_refused_or_valid(place: int, byte: int, length: int) -> None:
    changed = _PLAIN[:place] + bytes([byte]) + _PLAIN[place + 1 :]
    for plain in (changed, changed[:length]):
        try:
            body = decode(PACK_MAGIC + COMPRESSOR.compress(plain))
        except FormatError:
            continue
        assert b"".join(chunk.data for chunk in chunks_of(body)) == body.data


@pytest.mark.parametrize("length", range(0, len(_RECORD), 7))
def test_a_torn_record_is_refused(length: int) -> None:
    with pytest.raises(FormatError):
        decode(_RECORD[:length])


def body(**changes: object) -> PackBody:
    header = Header(0, b"s" * 16, 0, 10, 12, 9, 2, 0)
    return msgspec.structs.replace(PackBody("n", 0, [ORIGIN], [header], b"a\n"), **changes)


def header(**changes: object) -> PackBody:
    return body(headers=[msgspec.structs.replace(body().headers[0], **changes)])


def origin(**changes: object) -> PackBody:
    return body(origins=[msgspec.structs.replace(ORIGIN, **changes)])


def pod(**changes: object) -> PackBody:
    return body(pods=(msgspec.structs.replace(POD, **changes),), pods_ns=11)


def test_the_statement_that_the_table_below_changes_is_valid() -> None:
    assert decode(frame(pod())) == pod()
    assert decode(frame(pod(to_ns=0, rules=None, ports=()))).pods[0].to_ns == 0


def test_the_body_that_the_table_below_changes_is_valid() -> None:
    assert decode(frame(body())) == body()


@pytest.mark.parametrize(
    "hostile",
    [
        body(data=b"a\nb"),
        body(data=b""),
        body(origins=[]),
        body(heartbeat_ns=-1),
        body(heartbeat_ns=2**63),
        body(node="n" * (NAME_BYTES + 1)),
        origin(app="a" * (NAME_BYTES + 1)),
        origin(release="a" * (NAME_BYTES + 1)),
        origin(restart=2**31),
        origin(restart=-1),
        body(pods_ns=-1),
        body(pods_ns=2**63),
        body(pods=(POD,)),
        body(pods_complete=True),
        body(pods=(POD,) * (MOST_STATEMENTS + 1), pods_ns=11),
        pod(pod="p" * (NAME_BYTES + 1)),
        pod(release="v" * (NAME_BYTES + 1)),
        pod(ips=()),
        pod(ips=("10.0.0.1",) * 9),
        pod(ips=("10.0.0.256",)),
        pod(ips=("FD00::1",)),
        pod(ips=("fe80::1%eth0",)),
        pod(ips=("web",)),
        pod(ports=(0,)),
        pod(ports=(2**16,)),
        pod(ports=tuple(range(1, 66))),
        pod(from_ns=-1),
        pod(from_ns=10, to_ns=9),
        pod(to_ns=2**63),
        pod(rules="ä" * (POD_RULES_BYTES // 2 + 1)),
        header(origin=1),
        header(origin=-1),
        header(length=3),
        header(length=-2),
        header(start=13),
        header(prev_end=11),
        header(prev_end=-1),
        header(start=2**64 - 3, end=2**64 - 1),
        header(ordinal=2**31),
        header(ordinal=-1),
        header(flags=-1),
        header(flags=2**40),
        header(source=b"s" * 65),
        header(line_offsets=b"\0"),
        header(line_offsets=b"\0" * 8),
        header(line_offsets=b"\2\0\0\0"),
        header(line_offsets=b"\0" * 4, length=0),
    ],
)
def test_a_body_that_contradicts_itself_is_refused(hostile: PackBody) -> None:
    with pytest.raises(FormatError):
        decode(frame(hostile))


def test_line_offsets_that_do_not_ascend_are_refused() -> None:
    lines = Header(0, b"s" * 16, 0, 0, 9, 0, 4, 0, struct.pack("<2I", 5, 5))
    with pytest.raises(FormatError, match="ascend"):
        decode(frame(PackBody("n", 0, [ORIGIN], [lines], b"a\nb\n")))


def test_a_bomb_is_refused_by_what_it_claims_and_by_what_it_is() -> None:
    honest = PACK_MAGIC + COMPRESSOR.compress(b"\0" * (PACK_DECODED_BYTES + 1))
    silent = zstandard.ZstdCompressor(level=1, write_content_size=False).compress(b"\0" * (PACK_DECODED_BYTES + 1))
    assert len(honest) < 10_000
    for bomb in (honest, PACK_MAGIC + silent):
        with pytest.raises(FormatError):
            decode(bomb)


def test_a_body_with_something_deep_behind_its_fields_is_refused() -> None:
    plain = msgspec.msgpack.encode(body())
    deep = bytes([plain[0] + 1]) + plain[1:] + b"\x91" * 100_000 + b"\xc0"
    with pytest.raises(FormatError):
        decode(PACK_MAGIC + COMPRESSOR.compress(deep))


def test_a_pack_over_the_limit_is_not_made() -> None:
    data = random.Random(0).randbytes(PACK_BYTES + 1)
    chunk = Chunk(ORIGIN, b"s" * 16, 0, 0, len(data), 0, data)
    with pytest.raises(FormatError, match="over the limit"):
        encode_pack([chunk], node="n", compressor=COMPRESSOR)


def test_a_pack_is_full_when_another_whole_chunk_might_not_fit() -> None:
    chunk = Chunk(ORIGIN, b"s" * 16, 0, 0, 256 * 1024, 0, b"x" * (256 * 1024))
    assert not pack_is_full(encoded_size(chunk))
    assert pack_is_full(2 * encoded_size(chunk))
