"""Whose app and process an object is."""

import pytest

from monitor.hpa.naming import Facts, Scope, Spec, Template, Thing, scope_of


def thing(name: str, **more: object) -> Thing:
    template = more.get("pods")
    spec = Spec(Template(Facts(labels=template)) if template is not None else None, more.get("selector"))
    return Thing(Facts(name, more.get("namespace", "shop"), more.get("labels"), more.get("annotations")), spec)


DEIS = {"heritage": "deis", "app": "shop"}
CASES = {
    "a Deis Deployment": (thing("shop-worker", pods={**DEIS, "type": "worker"}), Scope("shop", "worker")),
    "one that Deis's router serves": (
        thing("shop-web", pods={**DEIS, "type": "web"}),
        Scope("shop", "web"),
    ),
    "a Deis app that calls itself another": (
        thing("shop", labels=DEIS, selector={"app": "bank"}),
        Scope("shop"),
    ),
    "a Deployment with a component": (
        thing("x", pods={"app.kubernetes.io/name": "crm", "app.kubernetes.io/component": "ui"}),
        Scope("crm", "ui"),
    ),
    "a Deployment with a name alone": (
        thing("crm-ui", pods={"app.kubernetes.io/name": "crm"}),
        Scope("crm", "ui"),
    ),
    "a Deployment named after its app": (
        thing("crm", pods={"app.kubernetes.io/name": "crm"}),
        Scope("crm", ""),
    ),
    "a Deployment without labels": (thing("cart", pods={}), Scope("shop", "cart")),
    "a Service": (thing("front", selector={"app.kubernetes.io/name": "crm"}), Scope("crm")),
    "a Service of a component": (
        thing("front", selector={"app.kubernetes.io/name": "crm", "app.kubernetes.io/component": "ui"}),
        Scope("crm", "ui"),
    ),
    "a Service without a selector": (thing("front"), Scope("shop")),
    "annotations": (
        thing("cart", pods={}, annotations={"metrics.deis.io/app": "crm", "metrics.deis.io/process": "ui"}),
        Scope("crm", "ui"),
    ),
    "an annotation for all processes": (
        thing("cart", pods={}, annotations={"metrics.deis.io/process": "*"}),
        Scope("shop"),
    ),
    "a workload's own form of selector": (
        thing("cart", selector={"matchLabels": {"app.kubernetes.io/name": "crm"}}),
        Scope("shop"),
    ),
}


@pytest.mark.parametrize(("given", "scope"), CASES.values(), ids=list(CASES))
def test_an_object_stands_for_an_app_and_processes(given: Thing, scope: Scope) -> None:
    assert scope_of(given) == scope
