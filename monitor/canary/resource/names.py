"""Names by which the canary's resource, labels and annotations go."""

from typing import Final

GROUP: Final = "canary.deis.io"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
KIND: Final = "Canary"
PLURAL: Final = "canaries"

JUDGE: Final = f"{GROUP}/judge"
"""Annotation of a Deployment that starts a Canary with defaults: `true`, or a mode of `spec.arms`."""

APPROVE: Final = f"{GROUP}/approve"
"""Annotation of a Canary: `<status.key>:promote` or `<status.key>:rollback` lets what is pending happen."""

ABORT: Final = f"{GROUP}/abort"
"""Annotation of a Canary: `<status.key>` rolls this analysis' release back."""

RELEASE: Final = f"{GROUP}/release"
"""Annotation of a Canary: the release that a deploy hook told of."""

INTENT: Final = f"{GROUP}/intent"
"""Annotation of a Deployment: the last intent that was carried out on it."""

BEFORE: Final = f"{GROUP}/before"
"""Annotation of a Deployment: the pod template to go back to, as JSON."""

SETTINGS: Final = f"{GROUP}/settings"
"""Annotation of a Deployment: what its rollout settings were before they were set for a surge, as JSON."""

ARM: Final = f"{GROUP}/arm"
"""Label of the pods of a baseline, and of its Deployment."""

TEMPLATE_HASH: Final = "pod-template-hash"
"""Label that the Deployment controller sets; it is no part of what a person wrote."""

OWNER: Final = "deis-telemetry"
"""Who writes: the field manager of every change, and the reporting component of every Event."""
