"""Where the agent gets what it knows of pods, as the settings say: names, a file of labels, the API server."""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry

from fluentd.lanes.statements import Statements
from fluentd.pods.gate import Gate
from fluentd.pods.names import LabelsFile, NameRules, PodMetadata
from fluentd.pods.selection import LabelSelector, Selection, parse_label_names, parse_namespaces
from fluentd.settings import AgentSettings

OFF = "off"


@dataclass(frozen=True, slots=True)
class Metadata:
    """What is known of pods.

    Attributes:
        pods: Whose log a file is.
        gate: Which containers are read; `None` for all.
        tasks: What has to run for that, by name, until cancelled.
        statements: What is said of pods to whoever reads the queue; `None` for nothing.
    """

    pods: PodMetadata
    gate: Gate | None = None
    tasks: Mapping[str, Callable[[], Coroutine[None, None, None]]] = field(default_factory=dict)
    statements: Statements | None = None


def open_metadata(settings: AgentSettings, *, changed: Callable[[], None], registry: CollectorRegistry) -> Metadata:
    """Make what the settings ask for.

    Args:
        settings: Of the agent.
        changed: Called when an answer may have changed.
        registry: For the metrics.

    Raises:
        SettingsError: There is no way to the API server.
    """
    names = NameRules(settings.node)
    pods = names if settings.pod_labels is None else LabelsFile(settings.pod_labels, names, registry=registry)
    if settings.kubernetes == OFF:
        return Metadata(pods)
    return _from_api_server(settings, pods, changed=changed, registry=registry)


def _from_api_server(
    settings: AgentSettings, fallback: PodMetadata, *, changed: Callable[[], None], registry: CollectorRegistry
) -> Metadata:
    # Not above: 10 MB of client, which an agent without an API server does not need.
    from fluentd.kubernetes.feed import PodFeed  # noqa: PLC0415
    from fluentd.kubernetes.kept import PodMemory  # noqa: PLC0415
    from fluentd.kubernetes.naming import Naming  # noqa: PLC0415
    from fluentd.kubernetes.pods import KnownPods  # noqa: PLC0415
    from pipeline.apiserver import check_source, open_client  # noqa: PLC0415

    check_source(settings.kubernetes, variable="AGENT_KUBERNETES")
    statements = Statements(registry=registry)
    known = KnownPods(
        naming=Naming(
            node=settings.node,
            platform=settings.platform_namespace,
            app=parse_label_names(settings.app_labels),
            process=parse_label_names(settings.process_labels),
            release=parse_label_names(settings.release_labels),
        ),
        selection=Selection(
            LabelSelector(settings.pod_selector), parse_namespaces(settings.namespaces), settings.platform_namespace
        ),
        fallback=fallback,
        wait_seconds=settings.label_wait_seconds,
        statements=statements,
        changed=changed,
        registry=registry,
    )
    feed = PodFeed(
        open_client=lambda: open_client(settings.kubernetes), node=settings.node, known=known, registry=registry
    )
    statements.attend(feed.known_ns)
    memory = PodMemory(settings.state, known)
    return Metadata(known, known, {"pods": feed.run, "memory of pods": memory.run}, statements)
