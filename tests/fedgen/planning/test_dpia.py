"""The drafted impact assessment says what the study says, never kinder, and marks what only the hospital knows."""

from __future__ import annotations

import functools
import re

import pytest
from typer.testing import CliRunner

from fedgen.cli.main import app
from fedgen.errors import StudyError
from fedgen.mechanisms.statement import rounded_up
from fedgen.planning.dpia.blanks import MARK
from fedgen.planning.dpia.impact_assessment import WIDTH, impact_assessment
from fedgen.planning.forecast import forecast
from fedgen.planning.useless import useless
from fedgen.study.load import load_study
from fedgen.study.show import study_hash

runner = CliRunner()
TRANSLATION = "demo_translation"
FEDERATION = (40, 40, 12)


@functools.cache
def drafted(preset: str, patients: tuple[int, ...] = (), *overrides: str) -> str:
    """The draft with its lines joined, so that a sentence can be looked for."""
    return " ".join(impact_assessment(load_study(preset, overrides), patients).split())


def section(text: str, number: int) -> str:
    return text.partition(f"## {number}. ")[2].partition(f"## {number + 1}. ")[0]


def test_a_private_study_of_a_federation_has_the_numbers_of_the_plan() -> None:
    study = load_study("chest_xray_gradients")
    text = drafted("chest_xray_gradients", FEDERATION)
    assert study_hash(study) in text
    found = forecast(study, FEDERATION)
    assert len(found.sizes) == 2
    for size in found.sizes:
        spend = size.plan.spend
        assert spend is not None and size.plan.epsilon is not None
        assert (
            f"{size.plan.patients} training patients: epsilon {rounded_up(size.plan.epsilon):.2f} (accountant PRV), "
            f"noise sigma {spend.noise_multiplier:.3g}" in section(text, 5)
        )
    assert found.sizes[0].plan.epsilon <= study.privacy.epsilon
    assert "It holds against the coordinator, every other site" in section(text, 4)
    assert "the sum over at least 3 sites" in section(text, 3)


def test_a_study_without_privacy_is_told_so_before_anything_else_and_at_every_place() -> None:
    text = drafted("demo_gradients", FEDERATION, "privacy.mode=none", "aggregation.secure=false")
    first = text.partition("## Read this first")[2].partition("## 1.")[0]
    assert first.strip().startswith("* THIS STUDY HAS NO DIFFERENTIAL PRIVACY.")
    assert "SECURE AGGREGATION IS OFF" in first
    assert "NO DIFFERENTIAL PRIVACY (privacy.mode: none)" in section(text, 4)
    assert "WITHOUT NOISE, from which images can be reconstructed" in section(text, 4)
    assert "there is no epsilon" in section(text, 5)
    assert "EACH SITE'S OWN" in section(text, 3)
    assert section(text, 6).count("NOT BOUNDED") >= 6
    assert not re.search(r"epsilon \d", section(text, 5))


def test_nothing_that_a_private_study_promises_is_said_of_one_without_privacy() -> None:
    text = drafted("demo_gradients", FEDERATION, "privacy.mode=none")
    for kind in ("It holds against", "is right in at most", "noise sigma", "with its privacy noise"):
        assert kind not in text, kind


@pytest.mark.slow
def test_a_translation_releases_its_model() -> None:
    study = load_study(TRANSLATION)
    text = drafted(TRANSLATION)
    assert study.made.translates
    assert "the model itself is what is released" in section(text, 1)
    assert "Whoever is given the release: the model" in section(text, 3)
    assert "synthetic items" not in text


@pytest.mark.parametrize(
    ("overrides", "loud"),
    [
        (("privacy.epsilon=10",), "EPSILON 10 IS LARGE"),
        (("privacy.allow_large_delta=true",), "A LARGE DELTA IS ACCEPTED"),
        (("privacy.accept_useless=true",), "NOTHING USEFUL IS ACCEPTED"),
        (("release.largest_epsilon=null",), "THE RELEASE HAS NO LIMIT OF EPSILON"),
        (("data.patient_rule=image",), "EACH IMAGE COUNTS AS A PATIENT"),
        ((), "AUDIT AND EVALUATION ARE NOT COVERED"),
    ],
)
def test_whatever_is_weak_is_said_loudly_and_only_then(overrides: tuple[str, ...], loud: str) -> None:
    assert loud in drafted("demo", (), *overrides)
    kinder = ("privacy.epsilon=1", "evidence.privacy.epsilon=0.3")
    assert loud not in drafted("demo", (), *kinder)


def test_in_mode_distributed_the_promise_is_said_to_rest_on_others() -> None:
    text = drafted("demo")
    assert "THE PROMISE RESTS ON THE OTHER SITES" in text
    assert "a coordinator that follows the protocol" in section(text, 4)
    assert "All sites together with" in section(text, 5)


def test_a_sum_of_which_nothing_is_to_be_expected_is_said_to_be_so() -> None:
    few = (10, 10, 10)
    overrides = ("privacy.epsilon=0.1", "privacy.delta=0.01")
    expected = useless(load_study("demo", overrides), few)
    assert expected is not None and expected in drafted("demo", few, *overrides)


def test_where_nobody_said_how_many_patients_the_numbers_are_missing_and_said_to_be() -> None:
    text = drafted("chest_xray_gradients")
    assert "THE NUMBERS ARE MISSING" in text
    assert "NOT COMPUTED" in section(text, 5)


def test_it_reads_as_plain_text_and_every_blank_is_marked_alike() -> None:
    text = impact_assessment(load_study("demo"), ())
    assert max(len(line) for line in text.splitlines()) <= WIDTH
    assert text.count(MARK) > 20
    assert text.count("[") == text.count("]") == text.count(MARK)
    for wanted in ("legal basis", "Recipients", "Residual risk", "Retention", "data protection officer"):
        assert wanted.lower() in text.lower(), wanted


def test_the_command_prints_or_writes_and_never_writes_over_a_form(tmp_path) -> None:
    printed = runner.invoke(app, ["study", "dpia", "demo"])
    assert printed.exit_code == 0, printed.output
    form = tmp_path / "dpia.md"
    written = runner.invoke(app, ["study", "dpia", "demo", "--out", str(form)])
    assert written.exit_code == 0, written.output
    assert form.read_text(encoding="utf-8") == printed.stdout
    again = runner.invoke(app, ["study", "dpia", "demo", "--out", str(form)])
    assert isinstance(again.exception, StudyError) and "may have been filled in" in str(again.exception)
    assert form.read_text(encoding="utf-8") == printed.stdout
