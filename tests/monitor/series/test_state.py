"""States that an older monitor wrote are gone on from; the same records still make the same series."""

import base64
import zlib
from typing import Any

import msgspec
import pytest

from monitor.series.state import book_of
from monitor.shards import shardstate
from monitor.shards.shardstate import State
from pipeline.errors import FormatError

SECOND = 1_000_000_000
NOW = 1_790_000_000 * SECOND

VERSION_1 = (
    "c-mu}f8+(@H0JXX*Q49sn^Z7>7%j6krZ6-u$}^k-=K;Zz)RgqpDR6~AFlqWsprS>2#S06TmS(2t7A#C=SW=vkU$D45HEB_qA;hrw-ctxh!-0"
    "v@jtD$hpqAj}{KSrzx$;QFmRV8^X%h~?t(ra)Y!k@XBCxSVKx3B`<(HPE79ktltsu4r!GIX7>n9&@VAkBKJI_tyzW=>c#ZZA{FvFBapmX8ei"
    "PM2Rh`Xl(Ekkzr!h(q_3=Q-^&~O4+gYsvfe<v_ZM+qm?0Gl`&W(vcU>8(rh5_40Rrlb~>WGu<f%u89Co>-cmx+Ehtr(n4YNVHgQSx#b7YEJR"
    "QCFS`=DN8|qE}n2`(xmBVj#)5qVd4Tz!9__)3yvr-RG7SPi@q+wFhyf_3y40|8;?v+IU>Ns00E3p`iKC8eqaxwSsadl#LzTix&s&}SR4Wr1-"
    "rz60nM5NL94ltX>>4g(mAfxK?kNB;b4O5BF<q`K=D?LnjRJw0iCuQ7GqWx21i)HKILFoBc{*|)C6QfjfTd|lH%0VJaEJ;PtGsR0~!U6nq@wj"
    "d8q>zGhjFnArFRRh3o-%fM!;uVhK>E$`V9?PJoByM2ujYumBj>urPy%5eG9YY@jj7<p2(&iI|}QG(ds@EeJ5Y%)*Re7Itq>ASpSmDap^zjxS"
    "D4&d*CJ28Y7RjLhPa{Pd#4TyQw7aw#oJEXmBz!<x7zpSIsQ69i_RwtoOI`n3HA2!s0R4xZ6oATpW*ETotiNCSwpOTToB%>xSf91lt36qX!Q8"
    "$jR?^I673hQ{S(sYS)W=wxg_sv-|9&d*DoLT&*=Mn0l>;v=^jYXAV3K?yq"
)
"""Of the records of `told`, compressed by zlib, in base 85."""


def old_state() -> bytes:
    return zlib.decompress(base64.b85decode(VERSION_1))


def told(feed: Any, make: Any) -> None:
    """Lines with all kinds of metrics, a sample that waits, a pod's address, and a record that is none."""
    pod, router = make.pod("p"), make.pod("r", app="router", node="edge")
    pod.write(NOW, "a", 0.25)
    pod.write(NOW + SECOND, "bb", 2.5, trace="t")
    router.write(NOW + SECOND, "a", 0.5, "10.0.0.1:80")
    router.write(NOW + 30 * SECOND, "a", 0.5, "10.0.0.1:80")
    feed.send(pod.chunk(), heartbeat_ns=NOW + 2 * SECOND, pods=[pod.stated("10.0.0.1", from_ns=NOW)])
    feed.send(router.chunk(), node="edge", heartbeat_ns=NOW + 12 * SECOND)
    feed.take([feed.raw(b"no pack")])


def test_the_same_records_make_the_series_that_they_always_made(feed: Any, make: Any) -> None:
    told(feed, make)
    old, new = shardstate.decode(old_state()), shardstate.decode(feed.shard.state())
    assert new.book.tables == old.book.tables
    assert new.lines == old.lines


def test_a_state_of_version_1_is_gone_on_from(feed: Any, make: Any) -> None:
    told(feed, make)
    shard = feed.fresh(old_state())
    assert shard.next_offset == 3
    assert shard.counted() == feed.shard.counted()
    assert [totals.sets for totals in shard.totals()] == [totals.sets for totals in feed.shard.totals()]
    later = feed.record(
        make.pod("r", app="router", node="edge").chunk(0, 0), heartbeat_ns=NOW + 40 * SECOND, pods_ns=NOW + 40 * SECOND
    )
    last = feed.record(node="edge", heartbeat_ns=NOW + 40 * SECOND)
    make.take(shard, [later, last])
    assert {
        labels.labels[0]: int(n) for t in shard.totals()[1:2] for labels, n in zip(t.sets, t.count, strict=True)
    } == {
        "a": 3,
        "bb": 1,
    }


@pytest.mark.parametrize("field", ["sums", "windows", "totals"])
def test_a_state_that_contradicts_itself_is_refused(field: str, feed: Any, make: Any) -> None:
    state = shardstate.decode(old_state())
    first, *others = state.book.tables
    part = getattr(first, field)
    name = "count" if field == "sums" else "facts"
    broken = msgspec.structs.replace(first, **{field: msgspec.structs.replace(part, **{name: b"\0" * 8})})
    book = msgspec.structs.replace(state.book, tables=(broken, *others))
    with pytest.raises(FormatError, match="contradicts itself"):
        feed.fresh(shardstate.encode(msgspec.structs.replace(state, book=book)))


def test_a_state_from_before_a_field_was_added_is_read(make: Any) -> None:
    state = shardstate.decode(old_state())
    assert isinstance(state, State)
    fields = msgspec.to_builtins(state.book)[:-1]
    assert book_of(msgspec.convert(fields, type(state.book)), make.limits(), ()).tables == {}
