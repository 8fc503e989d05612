"""A change to the world as one request: built by pure functions, carried out elsewhere.

Every change of a Deployment is one update of the whole object at the version that was read, and notes on it which
intent it carried out. So it happens as a whole or not at all, and afterwards can be told from not having happened.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from monitor.canary.resource.names import ARM, BEFORE, INTENT, OWNER, SETTINGS
from monitor.canary.resource.status import Action, Intent
from monitor.canary.world import Deployment, Json, OldTemplate

Edit = Callable[[Json], None]

MINUTE: Final = 60
_HELD: Final = 24 * 3600
"""A surge is held this long beyond its analysis: Kubernetes goes on by itself then."""

_MOST_SECONDS: Final = 2**31 - 1
_SURGE: Final = ("strategy", "minReadySeconds", "progressDeadlineSeconds")


@dataclass(frozen=True, slots=True)
class Change:
    """One request, and the intent that it carries out.

    Attributes:
        intent: See there.
        method: `PUT`, `POST` or `DELETE` at the API server; `DEIS` asks the Deis controller for a rollback.
        name: The Deployment, or the app.
        body: What is sent.
    """

    intent: Intent
    method: str
    name: str
    body: Json


def update(deployment: Deployment, intent: Intent, edit: Edit) -> Change:
    """Change a Deployment if nobody else has since it was read.

    Args:
        deployment: As it was read.
        intent: Without the version.
        edit: Changes a copy of the object.
    """
    body = json.loads(json.dumps(deployment.raw))
    body.pop("status", None)
    body["metadata"].pop("managedFields", None)
    edit(body)
    body["metadata"].setdefault("annotations", {})[INTENT] = intent.id
    intent = msgspec.structs.replace(intent, resource_version=deployment.resource_version)
    return Change(intent, "PUT", deployment.name, body)


def scaled_to(pods: int) -> Edit:
    """Give a Deployment so many pods."""

    def edit(body: Json) -> None:
        body["spec"]["replicas"] = pods

    return edit


def with_template(template: Mapping[str, Any], *, keep: Mapping[str, Any] | None = None) -> Edit:
    """Give a Deployment another template.

    Args:
        template: The new one.
        keep: The old one, noted for the way back; `None` forgets what was noted.
    """

    def edit(body: Json) -> None:
        body["spec"]["template"] = json.loads(json.dumps(template))
        notes = body["metadata"].setdefault("annotations", {})
        notes.pop(BEFORE, None)
        if keep is not None:
            notes[BEFORE] = json.dumps(keep, separators=(",", ":"))

    return edit


def without_note(body: Json) -> None:
    """Forget the template to go back to."""
    body["metadata"].get("annotations", {}).pop(BEFORE, None)


def prepared_for_surge(*, pods: int, seconds: float) -> Edit:
    """Let the next rollout start `pods` new pods and hold there; note the settings and the template of before.

    Args:
        pods: Of the canary.
        seconds: How long the analysis may take.
    """

    def edit(body: Json) -> None:
        spec, notes = body["spec"], body["metadata"].setdefault("annotations", {})
        notes.setdefault(SETTINGS, json.dumps({name: spec.get(name) for name in _SURGE}, separators=(",", ":")))
        notes[BEFORE] = json.dumps(spec["template"], separators=(",", ":"))
        held = min(int(seconds) + _HELD, _MOST_SECONDS - MINUTE)
        spec["strategy"] = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": pods}}
        spec["minReadySeconds"] = held
        spec["progressDeadlineSeconds"] = held + MINUTE

    return edit


def surging(pods: int) -> Edit:
    """Let the rollout have so many new pods."""

    def edit(body: Json) -> None:
        body["spec"]["strategy"] = {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxUnavailable": 0, "maxSurge": pods},
        }

    return edit


def with_own_settings(body: Json) -> None:
    """Put a Deployment's own rollout settings back, so that the rollout goes on."""
    noted = json.loads(body["metadata"].get("annotations", {}).pop(SETTINGS, "{}"))
    for name in _SURGE:
        body["spec"].pop(name, None)
        if noted.get(name) is not None:
            body["spec"][name] = noted[name]


def baseline(deployment: Deployment, old: OldTemplate, intent: Intent, *, name: str, pods: int, owner: Json) -> Change:
    """Make a Deployment with the release of before, beside the one that has the new release.

    Its pods have the app's labels, so the app's Service sends them requests; its selector has a label of ours, so the
    two do not take each other's pods.

    Args:
        deployment: The one with the new release.
        old: What it had before.
        intent: See there.
        name: Of the new Deployment.
        pods: How many.
        owner: Reference to the canary: with it goes the baseline.
    """
    template = json.loads(json.dumps(old.template))
    labels = template["metadata"].setdefault("labels", {})
    labels[ARM] = "baseline"
    selector = {key: labels[key] for key in deployment.selector if key in labels}
    namespace = deployment.raw["metadata"]["namespace"]
    body: Json = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {ARM: "baseline", "app.kubernetes.io/managed-by": OWNER},
            "annotations": {INTENT: intent.id},
            "ownerReferences": [owner],
        },
        "spec": {
            "replicas": pods,
            "selector": {"matchLabels": {**selector, ARM: "baseline"}},
            "template": template,
            "revisionHistoryLimit": 0,
        },
    }
    return Change(intent, "POST", name, body)


def removal(deployment: Deployment, intent: Intent) -> Change:
    """Take a Deployment of ours away, if it is as it was read."""
    version = deployment.resource_version
    body = {"preconditions": {"uid": deployment.raw["metadata"]["uid"], "resourceVersion": version}}
    return Change(msgspec.structs.replace(intent, resource_version=version), "DELETE", deployment.name, body)


def deis_rollback(app: str, *, to: str, intent: Intent) -> Change:
    """Ask the Deis controller for the release of before, by its number: its own choice may be another."""
    return Change(intent, "DEIS", app, {"version": int(to.removeprefix("v"))})


def noted_template(deployment: Deployment) -> Mapping[str, Any] | None:
    """The template to go back to; `None` when none is noted, or what is noted makes no sense."""
    try:
        found = json.loads(deployment.annotations.get(BEFORE, ""))
    except ValueError:
        return None
    return found if isinstance(found, dict) and isinstance(found.get("spec"), dict) else None


def is_prepared(deployment: Deployment) -> bool:
    """Whether its next rollout will be held."""
    return SETTINGS in deployment.annotations


def intent_for(key: str, action: Action, *, name: str, before: str = "", after: str = "", suffix: str = "") -> Intent:
    """An intent of an analysis: the same for whoever thinks of it."""
    return Intent(id=f"{key}/{suffix or action}", action=action, name=name, before=before, after=after)
