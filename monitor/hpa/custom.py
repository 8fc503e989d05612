"""Custom metrics: values of pods, of objects that stand for an app or a process, and of a namespace."""

from collections.abc import Iterable, Iterator

from monitor.hpa.cluster import Cluster, ReadyPod
from monitor.hpa.naming import KINDS, Kind, scope_of
from monitor.hpa.paths import EVERY, NAMESPACE_METRICS, Asked
from monitor.hpa.refusal import UnknownError, no_value
from monitor.hpa.selector import Selector
from monitor.hpa.shapes import Described, Item
from monitor.hpa.source import Source
from monitor.values import POD, PROCESS, Values


class CustomMetrics:
    """See the module.

    Args:
        source: Of values.
        cluster: Says which pods and objects there are.
    """

    def __init__(self, source: Source, cluster: Cluster) -> None:
        self._source, self._cluster = source, cluster

    async def items(self, asked: Asked, *, labels: str, selector: Selector) -> list[Item]:
        """What answers a request.

        Args:
            asked: What for.
            labels: Selector of the objects, as it came; it counts when all are asked for.
            selector: Of the metric's own labels.

        Raises:
            UnknownError: There is no such metric of such objects here.
            RefusalError: There is no such object, or no value of it.
            IncompleteError: What its value is made of is not all known, or stale.
            KubernetesUnavailableError: The API server does not say which objects there are.
        """
        if not asked.namespace:
            if asked.resource != "namespaces" or asked.name == EVERY:
                raise UnknownError(f"no metrics of {asked.resource} at the cluster scope")
            return [await self._of_namespace(asked.name, asked.metric, selector)]
        if asked.resource == NAMESPACE_METRICS:
            return [await self._of_namespace(asked.namespace, asked.metric, selector)]
        if asked.resource == "pods":
            return await self._of_pods(asked, labels, selector)
        kind = KINDS.get(asked.resource)
        if kind is None or asked.name == EVERY:
            raise UnknownError(f"no metrics of {asked.name} {asked.resource}")
        return [await self._of_object(asked, kind, selector)]

    async def _of_namespace(self, namespace: str, metric: str, selector: Selector) -> Item:
        values = await self._source.values(metric, namespace=namespace, selector=selector)
        value = values.groups.get(())
        if value is None:
            value = await self._source.nothing(values, namespace)
        return Item(value, values.stop_ns, values.seconds, Described("Namespace", namespace))

    async def _of_object(self, asked: Asked, kind: Kind, selector: Selector) -> Item:
        thing = await self._cluster.thing(kind.root, asked.namespace, kind.resource, asked.name)
        if thing is None:
            raise no_value(f'{asked.resource} "{asked.name}" not found')
        scope = scope_of(thing)
        selector = selector.and_in("app", {scope.app})
        if scope.process is not None:
            selector = selector.and_in(PROCESS, {scope.process})
        values = await self._source.values(asked.metric, namespace=asked.namespace, selector=selector)
        value = values.groups.get(())
        if value is None:
            value = await self._source.nothing(values, asked.namespace, scope.app)
        described = Described(kind.kind, asked.name, asked.namespace, kind.api_version)
        return Item(value, values.stop_ns, values.seconds, described)

    async def _of_pods(self, asked: Asked, labels: str, selector: Selector) -> list[Item]:
        pods = await self._pods(asked, labels)
        selector = selector.and_in(POD, {pod.name for pod in pods})
        values = await self._source.values(asked.metric, namespace=asked.namespace, selector=selector, by=(POD,))
        if pods and not values.groups:
            await self._source.nothing(values, asked.namespace)
        items = list(items_of(pods, values, asked.namespace))
        if asked.name != EVERY and not items:
            raise no_value(f'no value of pod "{asked.name}" yet')
        return items

    async def _pods(self, asked: Asked, labels: str) -> list[ReadyPod]:
        if asked.name == EVERY:
            return await self._cluster.ready_pods(asked.namespace, selector=labels)
        pod = await self._cluster.ready_pod(asked.namespace, asked.name)
        if pod is None:
            raise no_value(f'no ready pod "{asked.name}"')
        return [pod]


def items_of(pods: Iterable[ReadyPod], values: Values, namespace: str) -> Iterator[Item]:
    """A value for each pod that was ready in the window.

    One that became so within it has what it served, and no more is made of it: then the values of all pods add up to
    what was served, however the requests moved among them, and so does the average that the autoscaler goes by.
    """
    for pod in pods:
        value = values.groups.get((pod.name,), values.meaning.counts_nothing_as)
        if value is not None and pod.since_ns < values.stop_ns:
            yield Item(value, values.stop_ns, values.seconds, Described("Pod", pod.name, namespace))
