"""Whether a caller may have what he asks for: the API server decides, as for its own resources."""

from collections.abc import Mapping
from typing import Final

from monitor.hpa.cached import Cached
from monitor.hpa.cluster import Caller, Cluster
from monitor.hpa.paths import Asked, attributes_of
from monitor.hpa.refusal import RefusalError

_ANSWERS: Final = 4000
_SECONDS: Final = 10.0  # as the API server's own delegated authorisation remembers them

_Key = tuple[Caller, tuple[tuple[str, str], ...]]


class Rights:
    """See the module.

    Args:
        cluster: Is asked.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._known: Cached[_Key, bool] = Cached(entries=_ANSWERS, seconds=_SECONDS)

    async def check_metric(self, caller: Caller, asked: Asked) -> None:
        """Let a caller have a metric.

        Raises:
            RefusalError: He may not.
            KubernetesUnavailableError: The API server does not say.
        """
        attributes = attributes_of(asked)
        where = f' in the namespace "{asked.namespace}"' if asked.namespace else " at the cluster scope"
        what = f'{attributes["verb"]} resource "{attributes["resource"]}" in API group "{asked.group}"{where}'
        await self._check(caller, "resourceAttributes", attributes, what)

    async def check_path(self, caller: Caller, path: str) -> None:
        """Let a caller have a path that is no resource; raises as `check_metric`."""
        await self._check(caller, "nonResourceAttributes", {"verb": "get", "path": path}, f'get path "{path}"')

    async def _check(self, caller: Caller, kind: str, attributes: Mapping[str, str], what: str) -> None:
        key = (caller, tuple(sorted(attributes.items())))
        allowed = self._known.get(key)
        if allowed is None:
            allowed = await self._cluster.allows(caller, {kind: dict(attributes)})
            self._known.put(key, allowed)
        if not allowed:
            raise RefusalError(403, "Forbidden", f'User "{caller.name}" cannot {what}', cause="forbidden")
