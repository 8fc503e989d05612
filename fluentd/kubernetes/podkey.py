"""What names a pod on its node."""

from typing import NamedTuple

from fluentd.kubernetes.facts import MIRROR, PodMeta


class PodKey(NamedTuple):
    """A pod as the path of its logs names it."""

    namespace: str
    name: str
    uid: str

    @classmethod
    def of(cls, pod: PodMeta) -> "PodKey":
        """The key of a pod. A static pod's folder has a uid that an annotation of its image at the server states."""
        return cls(pod.namespace, pod.name, pod.annotations.get(MIRROR, pod.uid))
