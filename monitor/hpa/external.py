"""External metrics: values of the apps of a namespace, by labels of the metric.

The autoscaler adds up what an answer lists, and cannot see what is missing in it: so it lists all label sets, or none.
"""

from monitor.hpa.paths import Asked
from monitor.hpa.selector import Selector
from monitor.hpa.shapes import Item
from monitor.hpa.source import Source
from monitor.values import Values


class ExternalMetrics:
    """See the module.

    Args:
        source: Of values.
    """

    def __init__(self, source: Source) -> None:
        self._source = source

    async def items(self, asked: Asked, *, selector: Selector) -> list[Item]:
        """What answers a request: one value for each app.

        Args:
            asked: What for.
            selector: Of labels: `app`, `process`, `release`, and the metric's own.

        Raises:
            UnknownError: There is no such metric here.
            RefusalError: There is no value: the answer is an empty list, for this reason.
            IncompleteError: What values are made of is not all known, or stale.
        """
        values = await self._source.values(asked.metric, namespace=asked.namespace, selector=selector, by=("app",))
        apps = selector.allowed("app")
        wanted = sorted(apps) if apps is not None else sorted(app for (app,) in values.groups) or [""]
        return [await self._item(values, asked.namespace, app, selector) for app in wanted]

    async def _item(self, values: Values, namespace: str, app: str, selector: Selector) -> Item:
        value = values.groups.get((app,))
        if value is None:
            value = await self._source.nothing(values, namespace, app or None)
        return Item(value, values.stop_ns, values.seconds, labels=_labels(app, selector))


def _labels(app: str, selector: Selector) -> dict[str, str]:
    """Those that the answer is about and that have one value."""
    found = {"app": app} if app else {}
    for label in selector.labels():
        allowed = selector.allowed(label) or frozenset()
        if label != "app" and len(allowed) == 1:
            found[label] = next(iter(allowed))
    return found
