"""Rules that an app states of its own lines, in the annotation `metrics.deis.io/rules` of its pods."""

from dataclasses import dataclass
from typing import Final

from monitor.metric import Metric

OWN_BYTES: Final = 4096
"""A longer annotation is refused."""


@dataclass(frozen=True, slots=True)
class AppRules:
    """What an app's annotation says.

    Attributes:
        namespace: Of the app.
        app: Whose lines the rules read, and no others.
        metrics: What the rules make; each name begins with `own_<app>__`, and those of no other app or rule do.
        problems: What makes no sense in the annotation, one sentence each; such rules are left out.
    """

    namespace: str
    app: str
    metrics: tuple[Metric, ...] = ()
    problems: tuple[str, ...] = ()


def read_own(text: str, *, namespace: str, app: str) -> AppRules:
    """Read an annotation; never fails: what makes no sense is left out and named in `problems`."""
    if len(text.encode()) > OWN_BYTES:
        return AppRules(namespace, app, problems=(f"over {OWN_BYTES} bytes",))
    return AppRules(namespace, app)
