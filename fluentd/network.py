"""Which network inputs the settings ask for. What is not asked for is not imported: the agent's memory is counted."""

from prometheus_client import CollectorRegistry

from fluentd.inputs.group import Input, Inputs
from fluentd.sender import Sender
from fluentd.settings import AgentSettings


def open_inputs(settings: AgentSettings, *, sender: Sender, partitions: int, registry: CollectorRegistry) -> Inputs:
    """Make the inputs; they listen when `Inputs.start` is called.

    Args:
        settings: Of the agent.
        sender: Takes the chunks.
        partitions: Of the queue.
        registry: For the metrics.

    Raises:
        SettingsError: A file that a setting names cannot be read, or does not hold what it should.
    """
    syslog = settings.syslog_listen is not None or settings.syslog_udp_listen is not None
    if settings.forward_listen is None and not syslog:
        return Inputs()
    from fluentd.inputs.intake import Intake  # noqa: PLC0415
    from fluentd.inputs.metrics import InputMetrics  # noqa: PLC0415
    from fluentd.pods import safe_name  # noqa: PLC0415

    node, counts = safe_name(settings.node), InputMetrics(registry)
    intake = Intake(
        node=node,
        partitions=partitions,
        put=sender.put,
        limit_bytes=settings.inflight_bytes // 2,  # so that files are read on, however loud the network is
        metrics=counts,
    )
    inputs: list[Input] = []
    if settings.forward_listen is not None:
        from fluentd.forward.server import open_forward  # noqa: PLC0415

        inputs.append(open_forward(settings, node=node, intake=intake, counts=counts, registry=registry))
    if syslog:
        from fluentd.syslog.server import open_syslog  # noqa: PLC0415

        inputs.append(open_syslog(settings, intake=intake, counts=counts, registry=registry))
    return Inputs(intake, tuple(inputs))
