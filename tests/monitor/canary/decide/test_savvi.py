"""With phi = 1 an implementation by others agrees: `savvi`, by authors of the paper on canaries at Netflix.

It mixes over the canary's part of the events with a Beta distribution where we have ten ratios, so its evidence is ours
with the points and weights of a quadrature, exactly. With our ten ratios decisions agree.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy.special import beta, roots_jacobi

from monitor.canary.arms import Arms, Floats
from monitor.canary.counts import Direction
from monitor.canary.decide.evidence import log_evidence, log_mean
from monitor.canary.decide.likelihood import log_ratios

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
SAVVI = HERE.parents[3] / "build" / "savvi"
SHARE, CONCENTRATION = 0.125, 20.0


@pytest.fixture(scope="module")
def multinomial() -> Iterator[Any]:
    """The module `savvi.multinomial`; what it plots and optimises with is left out, we ask for evidence only."""
    if not (SAVVI / "savvi").exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "--require-hashes", "--target", SAVVI, "-r", HERE / "savvi.txt"], check=True)
    stubs = {name: ModuleType(name) for name in ("cvxpy", "matplotlib", "matplotlib.pyplot")}
    stubs |= {name: ModuleType(name) for name in ("py_markdown_table", "py_markdown_table.markdown_table")}
    vars(stubs["cvxpy"]).update(Variable=object, Constraint=object)
    vars(stubs["py_markdown_table.markdown_table"]).update(markdown_table=None)
    with pytest.MonkeyPatch.context() as patch:
        for name, stub in stubs.items():
            patch.setitem(sys.modules, name, stub)
        patch.syspath_prepend(SAVVI)
        yield __import__("savvi.multinomial").multinomial
        for name in [name for name in sys.modules if name.startswith("savvi")]:
            patch.delitem(sys.modules, name)


def _counts(rng: np.random.Generator, runs: int, minutes: int, ratio: float) -> Arms:
    shape = runs, minutes
    stable_e, canary_e = rng.poisson(7.0, shape).astype(np.float64), rng.poisson(ratio, shape).astype(np.float64)
    return Arms(np.full(shape, 700.0), stable_e, np.full(shape, 100.0), canary_e, np.ones(shape, np.bool_))


def _their_evidence(multinomial: Any, arms: Arms, run: int) -> Floats:
    test = multinomial.InhomogeneousPoissonProcess(
        0.01, np.array([SHARE, 1 - SHARE]), weights=np.array([[1, -1]]), k=CONCENTRATION
    )
    evidence = []
    for canary_e, stable_e in zip(arms.canary_e[run], arms.stable_e[run], strict=True):
        test.update(np.array([int(canary_e), int(stable_e)]))
        evidence.append(float(test.odds))
    return np.array(evidence)


def test_the_evidence_is_theirs_when_we_mix_as_they_do(multinomial: Any) -> None:
    arms = _counts(np.random.default_rng(1), 5, 12, 2.0)
    a, b = CONCENTRATION * SHARE, CONCENTRATION * (1 - SHARE)
    points, weights = roots_jacobi(90, b - 1, a - 1)  # exact for up to 179 events
    parts = (1 + points) / 2
    prior = np.log(weights / 2 ** (a + b - 1) / beta(a, b))
    ratios = parts * (1 - SHARE) / ((1 - parts) * SHARE)
    sums = np.cumsum(log_ratios(arms, null=np.array([1.0]), ratios=ratios), axis=-2)
    mine = log_mean(np.moveaxis(sums, -1, 0), prior)
    for run in range(5):
        np.testing.assert_allclose(mine[run], np.log(_their_evidence(multinomial, arms, run)), rtol=1e-7, atol=1e-7)


def test_decisions_with_ten_ratios_are_theirs_within_minutes(multinomial: Any) -> None:
    rng, runs = np.random.default_rng(2), 60
    same, worse = _counts(rng, runs, 60, 1.0), _counts(rng, runs, 60, 2.5)
    for arms, expected in ((same, 0.0), (worse, 1.0)):
        mine = log_evidence(arms, null=1.0, direction=Direction.EITHER) >= np.log(100)
        theirs = np.stack([_their_evidence(multinomial, arms, run) for run in range(runs)]) >= 100
        assert mine.any(axis=1).mean() == pytest.approx(expected, abs=0.05)
        assert (mine.any(axis=1) == theirs.any(axis=1)).mean() >= 0.95
    found = mine.any(axis=1) & theirs.any(axis=1)
    later = mine[found].argmax(axis=1) - theirs[found].argmax(axis=1)
    assert abs(np.median(later)) <= 2
