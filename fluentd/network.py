"""Which network inputs the settings ask for. What is not asked for is not imported: the agent's memory is counted."""

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from fluentd.inputs.group import Input, Inputs
from fluentd.lanes.sender import Sender
from fluentd.settings import AgentSettings

if TYPE_CHECKING:
    from fluentd.forward.copies import Copies
    from fluentd.inputs.ruling import InputRules


def open_copies(settings: AgentSettings, *, registry: CollectorRegistry) -> "Copies | None":
    """What copies all lines to a Fluentd; `None` when nothing does."""
    if settings.forward_out is None:
        return None
    from fluentd.forward.copies import Copies  # noqa: PLC0415

    return Copies(
        settings.forward_out,
        tag=settings.forward_out_tag,
        limit_bytes=settings.forward_out_bytes,
        registry=registry,
    )


def open_inputs(
    settings: AgentSettings,
    *,
    sender: Sender,
    partitions: int,
    registry: CollectorRegistry,
    rules: "InputRules | None" = None,
    besides: tuple[Input, ...] = (),
) -> Inputs:
    """Make the inputs; they listen when `Inputs.start` is called.

    Args:
        settings: Of the agent.
        sender: Takes the chunks.
        partitions: Of the queue.
        registry: For the metrics.
        rules: On the lines; `None` for none.
        besides: What is run and stopped with them, after them.

    Raises:
        SettingsError: A file that a setting names cannot be read, or does not hold what it should.
    """
    syslog = settings.syslog_listen is not None or settings.syslog_udp_listen is not None
    if settings.forward_listen is None and not syslog:
        return Inputs(None, besides)
    from fluentd.inputs.intake import Intake  # noqa: PLC0415
    from fluentd.inputs.metrics import InputMetrics  # noqa: PLC0415
    from fluentd.pods.names import safe_name  # noqa: PLC0415

    node, counts = safe_name(settings.node), InputMetrics(registry)
    intake = Intake(
        node=node,
        partitions=partitions,
        put=sender.put,
        limit_bytes=settings.inflight_bytes // 2,  # so that files are read on, however loud the network is
        metrics=counts,
        rules=rules,
    )
    inputs: list[Input] = []
    if settings.forward_listen is not None:
        from fluentd.forward.server import open_forward  # noqa: PLC0415

        inputs.append(open_forward(settings, node=node, intake=intake, counts=counts, registry=registry))
    if syslog:
        from fluentd.syslog.server import open_syslog  # noqa: PLC0415

        inputs.append(open_syslog(settings, intake=intake, counts=counts, registry=registry))
    return Inputs(intake, (*inputs, *besides))
