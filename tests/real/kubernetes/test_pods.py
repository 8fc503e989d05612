"""Whose lines a pod writes, and whether it is read: what a real API server says counts, and goes on counting."""

from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.real]


def test_lines_belong_to_the_app_process_and_release_of_the_labels(node: Any) -> None:
    app = node.pods.namespace()
    pod = node.pods.deis(app, f"{app}-web-7d9f-x2v4k", version="v7")
    node.pods.log(pod).write(b"hello")
    node.start()
    (line,) = node.wait_for(app, "hello")
    assert (line["process"], line["release"], line["pod"]) == ("web", "v7", pod.pod)
    later = node.pods.deis(app, f"{app}-worker-5c4f-ab2cd", process="worker", version="v8")
    node.pods.log(later).write(b"from another")
    line = node.wait_for(app, "hello", "from another")[1]
    assert (line["process"], line["release"]) == ("worker", "v8")
    assert node.metric("fluentd_unknown_pods_total") == 0


def test_a_pod_that_is_relabelled_has_its_new_names_from_then_on(node: Any) -> None:
    app = node.pods.namespace()
    pod = node.pods.deis(app, "web-1", version="v1")
    node.pods.log(pod).write(b"one")
    node.start()
    node.wait_for(app, "one")
    node.pods.patch(pod, labels={"version": "v2"})
    written = 0

    def writes_until_v2() -> bool:
        nonlocal written
        written += 1
        node.pods.log(pod).write(b"line %d" % written)
        return node.lines(app)[-1]["release"] == "v2"

    node.wait_true(writes_until_v2, "the new release")
    releases = [line["release"] for line in node.wait_for(app, "one", *(f"line {n + 1}" for n in range(written)))]
    assert releases == sorted(releases), "once new, never old again"
    assert releases[0] == "v1"


def test_what_is_not_selected_is_not_read_until_its_labels_say_so(node: Any) -> None:
    namespace = node.pods.namespace()
    other = node.pods.create(namespace, "other", labels={"app": "other"})
    node.pods.log(other).write(b"quiet")
    ours = node.pods.deis(namespace, "ours")
    node.pods.log(ours).write(b"ours")
    node.start()
    node.wait_for(namespace, "ours")
    node.wait_metric('fluentd_pods{state="not_selected"}', lambda value: value >= 1)
    assert node.metric("fluentd_open_files") == 1
    assert [line["pod"] for line in node.lines(namespace)] == ["ours"]
    node.pods.patch(other, labels={"heritage": "deis"})
    node.wait_for(namespace, "quiet", "ours")


def test_a_label_that_goes_away_costs_no_line(node: Any) -> None:
    app = node.pods.namespace()
    pod = node.pods.deis(app, "web-1")
    node.pods.log(pod).write(b"before")
    node.start()
    node.wait_for(app, "before")
    seen = node.metric("fluentd_kubernetes_events_total")
    node.pods.patch(pod, labels={"heritage": None})
    node.wait_metric("fluentd_kubernetes_events_total", lambda value: value > seen)
    node.pods.log(pod).write(b"after")
    node.wait_for(app, "before", "after")


def test_components_of_the_platform_are_read_under_their_own_names(node: Any) -> None:
    platform = node.pods.namespace()
    router = node.pods.create(platform, "deis-router-6c8d-zz2xk", labels={"app": "deis-router"})
    node.pods.log(router).write(b"routed")
    node.start(AGENT_PLATFORM_NAMESPACE=platform)
    node.wait_for("deis-router", "routed")


def test_no_label_makes_a_deis_app_another_app(node: Any) -> None:
    app = node.pods.namespace()
    labels = {"heritage": "deis", "app": "victim", "app.kubernetes.io/name": "victim"}
    thief = node.pods.create(app, "thief", labels=labels)
    node.pods.log(thief).write(b"mine")
    node.start()
    node.wait_for(app, "mine")
    assert node.lines("victim") == []


def test_a_deleted_pod_is_remembered_while_its_files_are_there(node: Any) -> None:
    app = node.pods.namespace()
    pod = node.pods.deis(app, "web-1", process="worker", version="v9")
    log = node.pods.log(pod)
    log.write(b"alive")
    node.start()
    node.wait_for(app, "alive")
    seen = node.metric("fluentd_kubernetes_events_total")
    node.pods.delete(pod)
    node.wait_metric("fluentd_kubernetes_events_total", lambda value: value > seen)
    log.write(b"last words")
    line = node.wait_for(app, "alive", "last words")[1]
    assert (line["process"], line["release"]) == ("worker", "v9")


def test_annotations_leave_a_pod_or_a_container_out(node: Any) -> None:
    app = node.pods.namespace()
    hidden = node.pods.deis(app, "hidden", annotations={"logs.deis.io/exclude": "true"})
    node.pods.log(hidden).write(b"secret")
    half = node.pods.deis(
        app, "half", containers=("web", "proxy"), annotations={"logs.deis.io/exclude-containers": "proxy"}
    )
    node.pods.log(half).write(b"shown")
    node.pods.log(type(half)(app, "half", half.uid, "proxy")).write(b"not shown")
    bad = node.pods.deis(app, "bad", annotations={"logs.deis.io/spread": "no number"})
    node.start()
    node.wait_for(app, "shown")
    node.pods.log(bad).write(b"bad annotations")
    node.wait_for(app, "shown", "bad annotations")
    assert node.metric("fluentd_bad_annotations_total") == 1
    assert node.metric('fluentd_skipped_pods_total{reason="excluded"}') == 1
    node.pods.patch(hidden, annotations={"logs.deis.io/exclude": None})
    node.wait_for(app, "secret", "shown", "bad annotations")


def test_a_pod_that_the_server_does_not_know_is_read_by_its_path_after_a_while(node: Any) -> None:
    app = node.pods.namespace()
    pod = type(node.pods.deis(app, "known"))(app, f"{app}-web-7d9f-x2v4k", "no-such-uid", "web")
    node.pods.log(pod).write(b"whose")
    node.start(AGENT_LABEL_WAIT_SECONDS="0.5")
    (line,) = node.wait_for(app, "whose")
    assert (line["process"], line["release"]) == ("web", "")
    assert node.metric("fluentd_unknown_pods_total") == 1


def test_a_service_account_that_may_only_watch_pods_is_enough(node: Any) -> None:
    app = node.pods.namespace()
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}]
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    node.pods.call("POST", f"{rbac}/clusterroles", {"metadata": {"name": app}, "rules": rules})
    account = {"kind": "ServiceAccount", "name": "agent", "namespace": app}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": app}
    binding = {"metadata": {"name": app}, "roleRef": role, "subjects": [account]}
    node.pods.call("POST", f"{rbac}/clusterrolebindings", binding)
    accounts = f"/api/v1/namespaces/{app}/serviceaccounts"
    node.pods.call("POST", accounts, {"metadata": {"name": "agent"}})
    made = node.pods.call("POST", f"{accounts}/agent/token", {"spec": {}})
    config = node.pods.plane.kubeconfig_of(f"agent-{app}", secret=made["status"]["token"])
    pod = node.pods.deis(app, "web-1", version="v3")
    node.pods.log(pod).write(b"allowed")
    node.start(AGENT_KUBERNETES=str(config))
    (line,) = node.wait_for(app, "allowed")
    assert line["release"] == "v3"
