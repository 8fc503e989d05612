"""What the tests of the audit share."""

import pytest
from prometheus_client import CollectorRegistry

from fluentd.audit.metrics import AuditMetrics


class Figures:
    """The audit's metrics, and what they say."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = AuditMetrics(self.registry)

    def value(self, name: str, way: str, **labels: str) -> float:
        """One figure, 0 while there is none."""
        return self.registry.get_sample_value(f"fluentd_audit_{name}", {"way": way, **labels}) or 0.0


@pytest.fixture
def figures() -> Figures:
    return Figures()
