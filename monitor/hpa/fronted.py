"""How the API server shows that it is the one that calls, and for whom. Pure.

Source: Kubernetes, "Configure the aggregation layer", and the ConfigMap `extension-apiserver-authentication`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

import msgspec
from multidict import CIMultiDictProxy

from monitor.hpa.cluster import Caller

AUTHENTICATED: Final = "system:authenticated"
"""The group of everybody whose name is known."""

_NAMES: Final = msgspec.json.Decoder(tuple[str, ...])
_CHARACTERS: Final = 1024
_GROUPS: Final = 1000
_KEY: Final = re.compile(r"[a-z0-9!#$&'*+\-.^_`|~%/]{1,253}")


@dataclass(frozen=True, slots=True)
class FrontProxy:
    """What the cluster says of its API server.

    Attributes:
        authority: PEM of who signs its certificate.
        names: Common names that it may have; all that the authority signs when empty.
        user_headers: The first that is there names the user.
        uid_headers: His uid.
        group_headers: All name groups.
        extra_prefixes: Of headers that say what else is known.
    """

    authority: str
    names: frozenset[str]
    user_headers: tuple[str, ...]
    uid_headers: tuple[str, ...]
    group_headers: tuple[str, ...]
    extra_prefixes: tuple[str, ...]

    def trusts(self, certificate: Mapping[str, Any] | None) -> bool:
        """Whether a certificate, which `authority` has signed, is the API server's."""
        if not certificate:
            return False
        return not self.names or any(
            part == "commonName" and value in self.names
            for names in certificate.get("subject", ())
            for part, value in names
        )

    def caller(self, headers: CIMultiDictProxy[str]) -> Caller | None:
        """For whom the API server calls; `None` when it does not say."""
        name = _first(headers, self.user_headers)
        groups = [value for header in self.group_headers for value in headers.getall(header, ())]
        if not name or len(name) > _CHARACTERS or len(groups) > _GROUPS:
            return None
        return Caller(name, known_groups(groups), _first(headers, self.uid_headers), self._extra(headers))

    def _extra(self, headers: CIMultiDictProxy[str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
        found: dict[str, tuple[str, ...]] = {}
        for header, value in headers.items():
            for prefix in self.extra_prefixes:
                key = header.lower().removeprefix(prefix.lower())
                if key != header.lower() and _KEY.fullmatch(key):
                    key = unquote(key)
                    found[key] = (*found.get(key, ()), value)
                    break
        return tuple(sorted(found.items()))


def known_groups(groups: list[str] | tuple[str, ...]) -> tuple[str, ...]:
    """Groups of somebody whose name is known."""
    return tuple(dict.fromkeys((*groups, AUTHENTICATED)))


def front_proxy_of(data: Mapping[str, str]) -> FrontProxy:
    """Read the ConfigMap.

    Raises:
        ValueError: It lacks something, or makes no sense.
    """
    authority = data.get("requestheader-client-ca-file", "")
    user_headers = _listed(data, "requestheader-username-headers")
    if "BEGIN CERTIFICATE" not in authority or not user_headers:
        raise ValueError("the API server names no front-proxy authority: it has no aggregation layer")
    return FrontProxy(
        authority,
        frozenset(_listed(data, "requestheader-allowed-names")),
        user_headers,
        _listed(data, "requestheader-uid-headers"),
        _listed(data, "requestheader-group-headers"),
        _listed(data, "requestheader-extra-headers-prefix"),
    )


def _listed(data: Mapping[str, str], name: str) -> tuple[str, ...]:
    try:
        return _NAMES.decode(data.get(name) or "[]")
    except msgspec.DecodeError as error:
        raise ValueError(f"{name}: {error}") from error


def _first(headers: CIMultiDictProxy[str], names: tuple[str, ...]) -> str:
    return next((headers[name] for name in names if headers.get(name)), "")
