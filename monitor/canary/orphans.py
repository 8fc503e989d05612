"""Deployments that a canary prepared for a surge and that it left behind: they get their own settings back."""

import json
from collections.abc import Iterable
from typing import Any

from monitor.canary.change import with_own_settings, without_note
from monitor.canary.kube import ConflictError, Kube
from monitor.canary.resource.names import SETTINGS
from monitor.canary.world import Json


def orphans(deployments: Iterable[Json], canaries: Iterable[Json]) -> list[tuple[str, str]]:
    """Namespace and name of those that no canary is about.

    Args:
        deployments: At least their metadata.
        canaries: All there were after the Deployments were listed; one that makes no sense counts, too.
    """
    wanted = {(one["metadata"]["namespace"], name) for one in canaries for name in _targets(one.get("spec") or {})}
    found = [
        (each["metadata"]["namespace"], each["metadata"]["name"])
        for each in deployments
        if SETTINGS in (each["metadata"].get("annotations") or {})
    ]
    return [one for one in found if one not in wanted]


def _targets(spec: Json) -> list[Any]:
    return [(spec.get("targetRef") or {}).get("name"), (spec.get("arms") or {}).get("stable")]


def restored(deployment: Json) -> Json:
    """The Deployment with its own settings, at the version that was read."""
    body: Json = json.loads(json.dumps(deployment))
    body.pop("status", None)
    with_own_settings(body)
    without_note(body)
    return body


async def restore(kube: Kube, deployments: Iterable[Json]) -> None:
    """Give orphans their own settings back.

    Raises:
        KubernetesUnavailableError: The API server does not answer.
        RefusedError: It does not let us.
    """
    for namespace, name in orphans(deployments, await kube.canaries()):
        there = await kube.deployment(namespace, name)
        if there is None or SETTINGS not in (there["metadata"].get("annotations") or {}):
            continue
        try:
            await kube.change_deployment(namespace, name, "PUT", restored(there))
        except ConflictError:
            continue  # somebody changes it just now: at the next look
