"""Whose log a file is: app, process and release of a pod, from its name or from a file of labels.

Names come from directory names, which anybody who can make a pod or a folder chooses. What is no Kubernetes name gets a
safe form (see `safe_name`) and goes on: a strange name is no reason to lose a line.
"""

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

import msgspec
import structlog
from prometheus_client import CollectorRegistry, Counter

from fluentd.pods.podrules import NO_RULES, PodRules
from pipeline.chunk import Origin
from pipeline.limits import MIB, NAME_BYTES

log = structlog.get_logger()

LABELS_FILE_BYTES: Final = 16 * MIB
"""A longer file of labels is not read."""

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_UNSAFE_CHARACTER = re.compile(r"[^A-Za-z0-9._-]")
_MARK_LENGTH = 9  # a dash and 8 hex digits

# Kubernetes makes suffixes of letters and digits that form no words: no vowels, no 0, 1 and 3.
# Source: k8s.io/apimachinery, util/rand; the hash of a pod template has up to 10 of them.
_SUFFIX = "[bcdfghjklmnpqrstvwxz2456789]"
_OWNERS: Final = (
    re.compile(rf"(.+)-{_SUFFIX}{{1,10}}-{_SUFFIX}{{5}}"),  # Deployment
    re.compile(r"(.+)-(?=[a-z]*\d)[a-z0-9]{4,10}-[a-z0-9]{5}"),  # Deployment named by something else, CronJob
    re.compile(r"(.+)-\d{1,9}"),  # StatefulSet
    re.compile(rf"(.+)-{_SUFFIX}{{5}}"),  # a pod of its own, or of a Job or DaemonSet
)
_ONE_OFF = re.compile(r"run-[a-z0-9]{5}")

_APP_LABELS: Final = ("app", "app.kubernetes.io/name")
_PROCESS_LABELS: Final = ("type", "app.kubernetes.io/component")
_RELEASE_LABELS: Final = ("version", "app.kubernetes.io/version")


class PodMetadata(Protocol):
    """Tells whose log a file is. Cheap enough for each look at a run: answers may change when labels do."""

    def origin(self, *, namespace: str, pod: str, uid: str, container: str, restart: int) -> Origin:
        """Origin of the lines of one run of a container, from the names that its path states. Never fails."""

    def spread(self, app: str) -> int:
        """Over how many partitions the runs of `app` are spread; at least 1."""

    def rules(self, *, namespace: str, pod: str, uid: str) -> PodRules:
        """What the pod's annotations ask for; `NO_RULES` of a pod that nothing is known of."""


class NameRules:
    """Names alone: the namespace is the app, and the pod is `<app>-<process>-<what its owner added>`.

    Knows no release. `run` is the process of one-off pods, `<app>-run-<5 characters>`.
    """

    def __init__(self, node: str) -> None:
        self._node = safe_name(node)

    def origin(self, *, namespace: str, pod: str, uid: str, container: str, restart: int) -> Origin:
        """See `PodMetadata`."""
        app = safe_name(namespace)
        return Origin(
            node=self._node,
            namespace=app,
            pod=safe_name(pod),
            uid=safe_name(uid),
            container=safe_name(container),
            restart=restart,
            app=app,
            process=process_of(safe_name(pod), app=app, node=self._node),
        )

    def spread(self, app: str) -> int:  # noqa: ARG002 - every app is small until something says otherwise
        """See `PodMetadata`."""
        return 1

    def rules(self, *, namespace: str, pod: str, uid: str) -> PodRules:  # noqa: ARG002 - names ask for nothing
        """See `PodMetadata`."""
        return NO_RULES


class LabelsFile:
    """Labels of pods from a JSON file, `{"<namespace>/<pod>": {"<label>": "<value>"}}`; names where it says nothing.

    Reads Deis's labels `app`, `type`, `version`, and `app.kubernetes.io/name`, `component`, `version`. The file is read
    again when it has changed. While it cannot be read, what it said last holds; that is counted, and logged once.
    """

    def __init__(self, path: Path, fallback: PodMetadata, *, registry: CollectorRegistry | None = None) -> None:
        self._path = path
        self._fallback = fallback
        self._labels: Mapping[str, Mapping[str, str]] = {}
        self._stamp: tuple[int, int, int] | None = None
        self._errors = Counter(
            "fluentd_pod_labels_errors", "Versions of the file of pod labels that could not be read.", registry=registry
        )

    def origin(self, *, namespace: str, pod: str, uid: str, container: str, restart: int) -> Origin:
        """See `PodMetadata`."""
        self._refresh()
        origin = self._fallback.origin(namespace=namespace, pod=pod, uid=uid, container=container, restart=restart)
        labels = self._labels.get(f"{namespace}/{pod}", {})
        return msgspec.structs.replace(
            origin,
            app=_label(labels, _APP_LABELS, origin.app),
            process=_label(labels, _PROCESS_LABELS, origin.process),
            release=_label(labels, _RELEASE_LABELS, origin.release),
        )

    def spread(self, app: str) -> int:
        """See `PodMetadata`."""
        return self._fallback.spread(app)

    def rules(self, *, namespace: str, pod: str, uid: str) -> PodRules:
        """See `PodMetadata`."""
        return self._fallback.rules(namespace=namespace, pod=pod, uid=uid)

    def _refresh(self) -> None:
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._labels = read_labels(self._path)
        except (OSError, ValueError, RecursionError) as error:
            self._errors.inc()
            log.warning("cannot read pod labels, the last ones hold", path=str(self._path), error=str(error))


def read_labels(path: Path) -> dict[str, dict[str, str]]:
    """Read a file of labels.

    Raises:
        OSError: It cannot be read.
        ValueError: It is too long, or no JSON of the form that `LabelsFile` states.
    """
    with path.open("rb") as file:
        text = file.read(LABELS_FILE_BYTES + 1)
    if len(text) > LABELS_FILE_BYTES:
        raise ValueError(f"over {LABELS_FILE_BYTES} bytes")
    return msgspec.json.decode(text, type=dict[str, dict[str, str]])


def process_of(pod: str, *, app: str, node: str) -> str:
    """Process type that a pod's name states, empty when it states none.

    Args:
        pod: Name of the pod. It need not begin with the app's name.
        app: The app; tells where the process begins, since both may contain dashes.
        node: Name of the node, which static pods have as their suffix.
    """
    name = pod.removeprefix(f"{app}-")
    if name != pod and _ONE_OFF.fullmatch(name):
        return "run"
    if name.endswith(f"-{node}"):
        return name.removesuffix(f"-{node}")
    for owner in _OWNERS:
        match = owner.fullmatch(name)
        if match:
            return match[1]
    return ""


def safe_name(name: str) -> str:
    """Return `name` if it is plain and short; else a form that is, still another one for another name."""
    if len(name) <= NAME_BYTES and _SAFE.fullmatch(name):
        return name
    mark = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    plain = _UNSAFE_CHARACTER.sub("_", name[: NAME_BYTES - _MARK_LENGTH]).lstrip("._-") or "unnamed"
    return f"{plain}-{mark}"


def _label(labels: Mapping[str, str], names: tuple[str, ...], otherwise: str) -> str:
    for name in names:
        if labels.get(name):
            return safe_name(labels[name])
    return otherwise


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - once for each look at a run: half the cost of `Path.stat`
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
