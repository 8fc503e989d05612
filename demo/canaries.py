"""Canaries of the demo, as files that the monitor judges: a good release and a bad one of `checkout`."""

from pathlib import Path
from typing import Final

from demo.apps import BAD, CHECKOUT, GOOD, STABLE

_FILE: Final = """\
# Judged by what both releases' pods write themselves, and nothing is done about it: `deis-telemetry canary list`.
apiVersion: canary.deis.io/v1alpha1
kind: Canary
metadata:
  name: {app}-{release}
  namespace: {app}
  annotations:
    canary.deis.io/stable-release: {stable}
    canary.deis.io/canary-release: {release}
spec:
  policy: dryRun
  targetRef: {{name: {app}}}
  arms: {{attribution: podLines}}
  steps: [{{minTime: {minutes}m}}]
  metrics:
    - {{name: errors, source: errors, warmUp: 1m}}
    - {{name: latency, source: latency, warmUp: 1m, limitSeconds: 0.1, weight: 0.5}}
"""

STEP_MINUTES: Final = 7
"""For people who look on; a real analysis takes its time."""


def write_canaries(folder: Path, *, minutes: int = STEP_MINUTES) -> None:
    """Write the files, each as a whole; one that says the same as before goes on as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    for release in (GOOD, BAD):
        text = _FILE.format(app=CHECKOUT, stable=STABLE, release=release, minutes=minutes)
        temporary = folder / f"{release}.tmp"
        temporary.write_text(text)
        temporary.rename(folder / f"{CHECKOUT}-{release}.yaml")
