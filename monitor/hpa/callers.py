"""Who asks: whom the API server names when its certificate shows that it calls, or who has a bearer token."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from multidict import CIMultiDictProxy

from monitor.hpa.cached import Cached
from monitor.hpa.cluster import Caller, Cluster
from monitor.hpa.fronted import FrontProxy, known_groups
from monitor.hpa.refusal import RefusalError

_TOKENS: Final = 1000
_TOKEN_SECONDS: Final = 10.0
_REVIEWS: Final = 8  # at once: who sends nonsense must not keep the autoscaler waiting
_BEARER: Final = re.compile(r"[Bb]earer +([A-Za-z0-9._~+/=-]{1,8192})")

NOBODY: Final = Caller("")
"""Stands in the memory for whose token is none."""


class Callers:
    """See the module.

    Args:
        cluster: Is asked for tokens.

    Attributes:
        front_proxy: How the API server calls; `None` until it has said so.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._tokens: Cached[bytes, Caller] = Cached(entries=_TOKENS, seconds=_TOKEN_SECONDS)
        self._reviewing = 0
        self.front_proxy: FrontProxy | None = None

    async def identify(self, certificate: Mapping[str, Any] | None, headers: CIMultiDictProxy[str]) -> Caller:
        """Who asks.

        Args:
            certificate: Of the connection, signed by the front proxy's authority; `None` without one.
            headers: Of the request. Those that name a user count only when the certificate is the API server's.

        Raises:
            RefusalError: That is not shown.
            KubernetesUnavailableError: The API server does not say whose token it is.
        """
        if self.front_proxy is not None and self.front_proxy.trusts(certificate):
            caller = self.front_proxy.caller(headers)
            if caller is not None:
                return caller
        match = _BEARER.fullmatch(headers.get("Authorization", ""))
        if match is None:
            cause = "wrong-certificate" if certificate else "no-credentials"
            raise RefusalError(401, "Unauthorized", "Unauthorized", cause=cause)
        return await self._of_token(match[1])

    async def _of_token(self, token: str) -> Caller:
        digest = hashlib.sha256(token.encode()).digest()
        caller = self._tokens.get(digest)
        if caller is None:
            found = await self._reviewed(token)
            caller = NOBODY if found is None else replace(found, groups=known_groups(found.groups))
            self._tokens.put(digest, caller)
        if caller is NOBODY:
            raise RefusalError(401, "Unauthorized", "Unauthorized", cause="bad-token")
        return caller

    async def _reviewed(self, token: str) -> Caller | None:
        if self._reviewing >= _REVIEWS:
            raise RefusalError(429, "TooManyRequests", "too many unknown tokens at once", cause="too-many-tokens")
        self._reviewing += 1
        try:
            return await self._cluster.who_has(token)
        finally:
            self._reviewing -= 1
