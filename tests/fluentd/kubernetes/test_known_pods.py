"""What is answered about pods while the API server says this and that."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from fluentd.files.discovery import Place
from fluentd.kubernetes import pods as known_pods
from fluentd.kubernetes.facts import MIRROR, Pod, PodMeta, PodStatus
from fluentd.kubernetes.naming import Naming
from fluentd.kubernetes.pods import KnownPods
from fluentd.lanes.statements import Statements
from fluentd.pods.gate import Standing
from fluentd.pods.names import NameRules
from fluentd.pods.podrules import NO_RULES
from fluentd.pods.selection import LabelSelector, Selection
from pipeline.chunk import Origin

DEIS = {"heritage": "deis", "app": "shop", "type": "web", "version": "v1"}
PLACE = Place("/pods/shop_shop-web-1_uid-1/web", "shop", "shop-web-1", "uid-1", "web")


class Trial:
    """Known pods, on a clock of the test's own."""

    def __init__(self, *, namespaces: frozenset[str] = frozenset()) -> None:
        self.now = 1000.0
        self.changes = 0
        self.registry = CollectorRegistry()
        self.statements = Statements(registry=self.registry)
        self.known = KnownPods(
            naming=Naming("node-1"),
            selection=Selection(LabelSelector("heritage=deis"), namespaces, "deis"),
            fallback=NameRules("node-1"),
            wait_seconds=3.0,
            statements=self.statements,
            changed=self._change,
            registry=self.registry,
        )

    def _change(self) -> None:
        self.changes += 1

    def standing(self, place: Place = PLACE) -> Standing:
        return self.known.standing(place)

    def origin(self, place: Place = PLACE) -> Origin:
        return self.known.origin(
            namespace=place.namespace, pod=place.pod, uid=place.uid, container=place.container, restart=0
        )

    def value(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


def pod(labels: dict[str, str] | None = None, annotations: dict[str, str] | None = None, **more: Any) -> Pod:
    values = {"name": "shop-web-1", "namespace": "shop", "uid": "uid-1", **more}
    return Pod(PodMeta(**values, labels=DEIS if labels is None else labels, annotations=annotations or {}))


@pytest.fixture
def trial(monkeypatch: pytest.MonkeyPatch) -> Trial:
    trial = Trial()
    monkeypatch.setattr(known_pods.time, "monotonic", lambda: trial.now)
    return trial


def test_a_container_waits_for_its_pod_and_then_its_path_speaks_for_it(trial: Trial) -> None:
    assert not trial.known.wanted.is_set()
    assert trial.standing() is Standing.WAIT
    assert trial.known.wanted.is_set()
    trial.now += 2.9
    assert trial.standing() is Standing.WAIT
    assert trial.known.waiting
    trial.now += 0.2
    assert trial.standing() is Standing.READ
    assert not trial.known.waiting
    assert trial.value("fluentd_unknown_pods_total") == 1
    assert (trial.origin().app, trial.origin().release) == ("shop", "")
    assert trial.standing(replace(PLACE, container="other")) is Standing.READ
    assert trial.value("fluentd_unknown_pods_total") == 1, "a pod is counted once"


def test_what_is_heard_ends_the_wait_and_is_told(trial: Trial) -> None:
    trial.standing()
    trial.known.apply(pod(), deleted=False)
    assert trial.changes == 1
    assert not trial.known.waiting
    assert trial.standing() is Standing.READ
    assert (trial.origin().app, trial.origin().process, trial.origin().release) == ("shop", "web", "v1")


def test_labels_that_come_too_late_still_count(trial: Trial) -> None:
    trial.standing()
    trial.now += 10
    assert trial.standing() is Standing.READ
    trial.known.apply(pod({}), deleted=False)
    assert trial.standing() is Standing.SKIP, "it was read for want of an answer: it was never selected"
    assert trial.value("fluentd_skipped_pods_total", reason="not_selected") == 1


def test_a_pod_once_selected_stays_so(trial: Trial) -> None:
    trial.known.apply(pod(), deleted=False)
    trial.known.apply(pod({"app": "shop"}), deleted=False)
    assert trial.standing() is Standing.READ


def test_a_label_that_comes_selects(trial: Trial) -> None:
    trial.known.apply(pod({}), deleted=False)
    assert trial.standing() is Standing.SKIP
    trial.known.apply(pod(), deleted=False)
    assert trial.standing() is Standing.READ


@pytest.mark.parametrize("change", [{"name": "other"}, {"namespace": "other"}, {"uid": "uid-2"}])
def test_a_pod_that_shares_only_a_part_of_the_name_says_nothing(trial: Trial, change: dict[str, str]) -> None:
    trial.known.apply(pod(**change), deleted=False)
    assert trial.standing() is Standing.WAIT


def test_a_static_pod_is_found_by_the_uid_of_its_folder(trial: Trial) -> None:
    trial.known.apply(pod(annotations={MIRROR: "uid-1"}, uid="another"), deleted=False)
    assert trial.standing() is Standing.READ


def test_the_annotation_of_static_pods_steals_no_name(trial: Trial) -> None:
    trial.known.apply(pod({"heritage": "deis"}, {MIRROR: "uid-1"}, name="thief", uid="x"), deleted=False)
    assert trial.standing() is Standing.WAIT


def test_a_namespace_that_is_not_listed_is_skipped_without_waiting() -> None:
    trial = Trial(namespaces=frozenset({"other"}))
    assert trial.standing() is Standing.SKIP


def test_excluded_containers_are_skipped_as_long_as_they_are(trial: Trial) -> None:
    trial.known.apply(pod(annotations={"logs.deis.io/exclude-containers": "web"}), deleted=False)
    assert trial.standing() is Standing.SKIP
    assert trial.standing(replace(PLACE, container="worker")) is Standing.READ
    trial.known.apply(pod(annotations={"logs.deis.io/exclude": "true"}), deleted=False)
    assert trial.standing(replace(PLACE, container="worker")) is Standing.SKIP
    trial.known.apply(pod(), deleted=False)
    assert trial.standing() is Standing.READ


def test_a_deleted_pod_is_remembered_while_it_has_files(trial: Trial) -> None:
    trial.known.apply(pod(), deleted=True)
    trial.now += 10_000
    trial.known.retain([PLACE])
    assert trial.origin().release == "v1"
    trial.known.retain([])
    assert trial.origin().release == ""


def test_a_pod_that_a_list_does_not_have_is_gone_and_one_that_it_has_is_not(trial: Trial) -> None:
    trial.known.replace([pod(), pod(uid="uid-2")])
    trial.known.replace([pod()])
    trial.now += 10_000
    trial.known.retain([])
    assert trial.origin().release == "v1"
    assert trial.origin(replace(PLACE, uid="uid-2")).release == ""


def test_a_pod_that_a_list_does_not_have_was_there_for_as_long_as_that_is_known(trial: Trial) -> None:
    here = msgspec.structs.replace(pod(), status=PodStatus(pod_ip="10.0.0.1"))
    trial.statements.attend(lambda: 10**10)  # long ago
    voice = trial.statements.voice()
    trial.known.replace([here])
    trial.known.replace([])
    told = [one for part in voice.news(beats=True) for one in part.statements]
    assert [one.to_ns == one.from_ns for one in told] == [False, True], "it came later than what is known"
    assert trial.statements.all() == ()


def test_a_pod_without_files_yet_is_remembered_for_a_while(trial: Trial) -> None:
    trial.known.apply(pod(), deleted=True)
    trial.known.retain([])
    assert trial.origin().release == "v1"


def test_what_is_asked_is_forgotten_with_the_files(trial: Trial) -> None:
    trial.standing()
    trial.now += 10
    trial.standing()
    trial.known.retain([])
    assert trial.standing() is Standing.WAIT


def test_rules_and_spread_are_those_of_the_annotations(trial: Trial) -> None:
    names = {"namespace": "shop", "pod": "shop-web-1", "uid": "uid-1"}
    assert trial.known.rules(**names) == NO_RULES
    assert trial.known.spread("shop") == 1
    trial.known.apply(pod(annotations={"logs.deis.io/spread": "4"}), deleted=False)
    trial.known.apply(pod(uid="uid-2"), deleted=False)
    assert trial.known.rules(**names).spread == 4
    assert trial.known.spread("shop") == 4


def test_bad_annotations_are_counted_and_named_once(trial: Trial, capsys: pytest.CaptureFixture[str]) -> None:
    many = {f"logs.deis.io/x{number}": "x" * 10_000 for number in range(50)}
    for version in ("1", "2"):
        trial.known.apply(pod(annotations=many, resource_version=version), deleted=False)
    trial.known.apply(pod(), deleted=False)
    trial.known.apply(pod(annotations=many), deleted=False)
    said = capsys.readouterr().out
    assert said.count("annotations make no sense") == 1
    assert len(said) < 2000
    assert trial.value("fluentd_bad_annotations_total") == 100


def test_pods_are_counted_by_what_becomes_of_them(trial: Trial) -> None:
    trial.known.replace([pod(), pod({}, uid="uid-2"), pod(uid="uid-3", annotations={"logs.deis.io/exclude": "true"})])
    states = {state: trial.value("fluentd_pods", state=state) for state in ("collected", "not_selected", "excluded")}
    assert states == {"collected": 1, "not_selected": 1, "excluded": 1}
