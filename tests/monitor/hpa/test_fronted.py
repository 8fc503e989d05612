"""Whom the API server is believed to call for, and when it is believed."""

import asyncio

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from monitor.hpa.callers import Callers
from monitor.hpa.cluster import Caller
from monitor.hpa.fronted import AUTHENTICATED, FrontProxy, front_proxy_of
from monitor.hpa.refusal import RefusalError

DATA = {
    "requestheader-client-ca-file": "-----BEGIN CERTIFICATE-----\n...",
    "requestheader-allowed-names": '["front-proxy-client","aggregator"]',
    "requestheader-username-headers": '["X-Remote-User"]',
    "requestheader-uid-headers": '["X-Remote-Uid"]',
    "requestheader-group-headers": '["X-Remote-Group"]',
    "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
}


def certificate(*names: str) -> dict[str, object]:
    return {"subject": tuple((("commonName", name),) for name in names)}


def headers(*pairs: tuple[str, str]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict(pairs))


@pytest.fixture
def front_proxy() -> FrontProxy:
    return front_proxy_of(DATA)


def test_a_certificate_counts_by_its_common_name(front_proxy: FrontProxy) -> None:
    assert front_proxy.trusts(certificate("front-proxy-client"))
    assert front_proxy.trusts(certificate("aggregator"))
    assert not front_proxy.trusts(certificate("somebody"))
    assert not front_proxy.trusts({"subject": ((("organizationName", "front-proxy-client"),),)})
    assert not front_proxy.trusts({})
    assert not front_proxy.trusts(None)


def test_without_names_every_certificate_of_the_authority_counts_and_no_certificate_does_not() -> None:
    front_proxy = front_proxy_of({**DATA, "requestheader-allowed-names": "[]"})
    assert front_proxy.trusts(certificate("somebody"))
    assert not front_proxy.trusts(None)
    assert not front_proxy.trusts({}), "what Python says of a certificate that was not checked"


def test_the_caller_is_who_the_headers_name(front_proxy: FrontProxy) -> None:
    told = headers(
        ("x-remote-user", "system:serviceaccount:kube-system:horizontal-pod-autoscaler"),
        ("X-Remote-Group", "system:serviceaccounts"),
        ("X-Remote-Group", "team"),
        ("X-Remote-Uid", "17"),
        ("X-Remote-Extra-Example.org%2fScope", "a"),
        ("X-Remote-Extra-example.org%2fscope", "b"),
    )
    assert front_proxy.caller(told) == Caller(
        "system:serviceaccount:kube-system:horizontal-pod-autoscaler",
        ("system:serviceaccounts", "team", AUTHENTICATED),
        "17",
        (("example.org/scope", ("a", "b")),),
    )


@pytest.mark.parametrize("told", [headers(), headers(("X-Remote-User", "")), headers(("X-Remote-User", "x" * 2000))])
def test_who_is_not_named_is_nobody(front_proxy: FrontProxy, told: CIMultiDictProxy[str]) -> None:
    assert front_proxy.caller(told) is None


WITHOUT = {
    "no authority": {**DATA, "requestheader-client-ca-file": ""},
    "no header": {**DATA, "requestheader-username-headers": "[]"},
    "no list": {**DATA, "requestheader-allowed-names": "front-proxy-client"},
    "nothing": {},
}


@pytest.mark.parametrize("data", WITHOUT.values(), ids=list(WITHOUT))
def test_a_cluster_without_aggregation_is_refused(data: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"requestheader|aggregation"):
        front_proxy_of(data)


class Tokens:
    """The API server's part in this, counted."""

    def __init__(self) -> None:
        self.asked = 0

    async def who_has(self, token: str) -> Caller | None:
        self.asked += 1
        return Caller("somebody", ("team",)) if token.startswith("good") else None


FORGED = ("X-Remote-User", "system:admin")


@pytest.mark.parametrize("peer", [None, certificate("somebody")], ids=["no certificate", "a wrong name"])
async def test_a_forged_user_is_refused(front_proxy: FrontProxy, peer: dict[str, object] | None) -> None:
    callers = Callers(Tokens())
    callers.front_proxy = front_proxy
    with pytest.raises(RefusalError) as refused:
        await callers.identify(peer, headers(FORGED, ("X-Remote-Group", "system:masters")))
    assert refused.value.code == 401
    with pytest.raises(RefusalError):
        await callers.identify(peer, headers(FORGED, ("Authorization", "Bearer bad")))
    assert await callers.identify(peer, headers(FORGED, ("Authorization", "Bearer good"))) == Caller(
        "somebody", ("team", AUTHENTICATED)
    )


async def test_the_api_server_is_asked_once_for_a_token_good_or_bad(front_proxy: FrontProxy) -> None:
    tokens = Tokens()
    callers = Callers(tokens)
    callers.front_proxy = front_proxy
    for _ in range(3):
        await callers.identify(None, headers(("Authorization", "bearer good")))
        with pytest.raises(RefusalError):
            await callers.identify(None, headers(("Authorization", "Bearer bad")))
    assert tokens.asked == 2


async def test_tokens_that_nobody_knows_do_not_pile_up_at_the_api_server(front_proxy: FrontProxy) -> None:
    class Slow(Tokens):
        async def who_has(self, token: str) -> Caller | None:
            self.asked += 1
            await asyncio.Event().wait()
            return None

    tokens = Slow()
    callers = Callers(tokens)
    refused = []

    async def call(number: int) -> None:
        try:
            await callers.identify(None, headers(("Authorization", f"Bearer {number}")))
        except RefusalError as error:
            refused.append(error.code)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(call(number)) for number in range(100)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
    assert refused == [429] * 92
    assert tokens.asked == 8
    assert callers._reviewing == 0


async def test_nobody_is_believed_before_the_api_server_has_said_how_it_calls() -> None:
    with pytest.raises(RefusalError):
        await Callers(Tokens()).identify(certificate("front-proxy-client"), headers(FORGED))
