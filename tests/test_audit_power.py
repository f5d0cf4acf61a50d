"""The audits find what they are for: a model that knows its patients, copies, a training without its noise."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from fedgen.evidence.verdict import overall
from fedgen.run.row import Verdict

FOLDER = Path(__file__).parent.parent / "simulations" / "audit_power"
#: Names of the scripts and what they share, as general as names of scripts are.
OWN = ("canaries", "copies", "gaussian", "in_process", "overfitted", "readme", "readme_of", "steps", "worlds")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """`script("copies")`: a script of the folder."""
    monkeypatch.setattr(sys, "path", [str(FOLDER), str(FOLDER.parent), *sys.path])
    yield importlib.import_module
    for name in OWN:
        sys.modules.pop(name, None)


def test_the_readme_has_the_curves_that_its_script_prints(script) -> None:
    assert script("gaussian").curves() in (FOLDER / "README.md").read_text(encoding="utf-8")


def test_copies_of_one_percent_are_found_and_no_copies_are_none(script) -> None:
    verdict = script("copies").verdict
    assert verdict(10, False, 0) is Verdict.FAIL
    assert verdict(0, False, 0) is Verdict.PASS


@pytest.mark.slow  # Three trainings; the ordinary run has the same audits on scores and releases that are made up.
def test_a_model_that_knows_its_patients_fails_and_a_private_one_does_not(script) -> None:
    overfitted = script("overfitted")
    known, many, private = (overfitted.made(*row, seed=0) for row in overfitted.ROWS)
    areas = [
        overfitted.area(model, site, patients)
        for (model, site), (patients, _) in zip((known, many, private), overfitted.ROWS, strict=True)
    ]
    assert areas[0] > areas[1] > areas[2] - 0.05
    assert areas[0] > areas[2] + 0.2
    assert overall(known[0].audited(known[1], overfitted.DRAWN).rows)[0] is Verdict.FAIL
    assert overall(private[0].audited(private[1], overfitted.DRAWN).rows)[0] is not Verdict.FAIL


@pytest.mark.slow  # Thirty trainings; the ordinary run has the same of a sum whose noise was forgotten.
def test_a_third_of_the_noise_is_exposed_by_canaries_and_the_right_noise_is_not(script) -> None:
    canaries = script("canaries")
    rows = {line[1]: line for line in canaries.sums_at(1.0, runs=10)}
    assert rows["as accounted"][-1] == "not above"
    assert rows["none"][-1] == "above the claim"
    assert float(rows["0.3 of it"][4]) > float(rows["as accounted"][4])


@pytest.mark.slow  # A thousand private steps; the ordinary run plants the same fault in the self-test.
def test_a_third_of_the_noise_is_exposed_in_a_private_step_of_gradients(script) -> None:
    steps = script("steps")
    attacked = steps.Attacked(steps.installed("vae"))
    sigma = steps.calibrate_noise(epsilon=1.0, delta=steps.DELTA, sampling_rate=1.0, steps=1)
    # Right noise fails with a probability of 1e-6 at most.
    right, weak = (
        steps.epsilon_lower_bound(
            attacked.errors(sigma, 500, weak=each), 500, steps.DELTA, confidence=1 - 1e-6
        )
        for each in (False, True)
    )
    assert right <= 1.0 < weak
