"""Whatever happens in whatever order, with a controller that may end at any step: what must never be, is not."""

import contextlib
from collections.abc import Callable
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st
from model_world import Conflict, Killed, Model, baseline, surge, template, two_deployments, verdict

from monitor.canary.counts import Decision, Verdict
from monitor.canary.resource.status import DONE, Phase

_SAID: Final[dict[str, Verdict | None]] = {
    "nothing": None,
    **{each.value: verdict(each) for each in Decision},
    "rollback by hand": verdict(Decision.ROLLBACK, automatic=False),
}

MAKERS: Final[dict[str, Callable[[], Model]]] = {"two": two_deployments, "surge": surge, "baseline": baseline}

looks = st.tuples(
    st.just("look"), st.sampled_from(sorted(_SAID)), st.sampled_from(["", "", "read", "written", "acted"])
)
waits = st.tuples(st.just("wait"), st.sampled_from([1, 11, 40, 200]), st.just(""))
events = st.tuples(
    st.sampled_from(["touch", "human", "back", "scale", "lose", "answer", "abort", "approve", "suspend"]),
    st.integers(2, 4),
    st.just(""),
)
scripts = st.lists(st.one_of(looks, looks, waits, events), max_size=25)


class Watched:
    """A model whose requests are held against what must never be."""

    def __init__(self, mode: str) -> None:
        self.model = MAKERS[mode]()
        self.mode = mode
        self.stable = "shop-web" if mode == "baseline" else "shop"
        self.promotable_since: str = ""
        self.by_hand = 0

    def look(self, said: str, stop_after: str) -> None:
        """One look; the versions that it acts on are those that the status says."""
        model = self.model
        told, acts = _SAID[said], len(model.acts)
        phase, key = model.read.phase, model.read.key
        if told is not None and told.decision == Decision.PROMOTABLE:
            self.promotable_since = key
        with contextlib.suppress(Killed, Conflict):
            model.look(told, stop_after=stop_after)
        for change in model.acts[acts:]:
            assert change.intent.since is not None, "an act without an intent that was written"
        after = model.read
        if after.phase == Phase.PROMOTING and phase != Phase.PROMOTING:
            assert told is not None, "promoted without data"
            assert told.decision == Decision.PROMOTABLE, "promoted on missing data"

    def event(self, what: str, number: int) -> None:
        """Somebody else does something."""
        model = self.model
        if what == "touch":
            model.touch(self.stable)
        elif what == "human":
            self.deploy(f"{number}0{self.by_hand}")
        elif what == "back":
            self.deploy("1", old=1)
        elif what == "scale":
            model.deployments[self.stable]["spec"]["replicas"] = number
            model.touch(self.stable)
        elif what in ("lose", "answer"):
            model.lose_answers = what == "lose"
        elif what == "suspend":
            model.spec["suspend"] = not model.spec.get("suspend", False)
        else:
            value = model.read.key if what == "abort" else f"{model.read.key}:{model.read.pending}"
            model.annotations[f"canary.deis.io/{what}"] = value

    def deploy(self, release: str, *, old: int = 0) -> None:
        """Somebody deploys."""
        self.by_hand += 1
        model = self.model
        if self.mode == "baseline":
            model.new_release("bob", back_to=old)
        elif self.mode == "surge":
            model.deploy("shop", template(release))
        elif old or self.by_hand % 2:
            model.deploy("shop-canary", template(release, track="canary"))
        else:
            model.deploy("shop", template(release))


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(sorted(MAKERS)), scripts)
def test_at_most_one_rollback_for_an_intent_no_act_on_another_version_no_promotion_on_missing_data(
    mode: str, script: list[tuple[str, object, str]]
) -> None:
    watched = Watched(mode)
    for what, value, stop_after in script:
        if what == "look":
            watched.look(str(value), stop_after)
        elif what == "wait":
            watched.model.wait(minutes=int(str(value)))
        else:
            watched.event(what, int(str(value)))
        posts = [intent for intent, _ in watched.model.posts]
        assert len(posts) == len(set(posts)), "Deis was asked twice for one intent"
        assert len(watched.model.read.done) <= DONE


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from(sorted(MAKERS)),
    st.lists(st.sampled_from(["read", "written", "acted", "touch"]), max_size=12),
)
def test_a_bad_release_is_undone_however_often_the_controller_ends(mode: str, ends: list[str]) -> None:
    watched = Watched(mode)
    model = watched.model
    model.look()
    if mode == "surge":
        model.deploy("shop", template("2"))
    for end in ends:
        if end == "touch":
            model.touch(watched.stable)
        else:
            watched.look("rollback", end)
    for _ in range(3):
        model.wait(minutes=21)
        model.look(_SAID["rollback"])
    if mode == "baseline" and ends.count("written") > 1 and model.read.phase == Phase.CONFLICT:
        assert model.read.reason == "NoAnswer"  # twice it ended just before it asked Deis: a third time it does not
        return
    assert model.read.phase == Phase.ROLLED_BACK
    assert model.image(watched.stable) == ("b1" if mode == "baseline" else "1")
    if mode == "two":
        assert model.deployments["shop-canary"]["spec"]["replicas"] == 0
