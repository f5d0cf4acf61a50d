"""`fedgen privacy plan`: its numbers, and every wrong call."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedgen.cli.main import app
from fedgen.errors import DataError, ExitCode, PrivacyRefusedError, StudyError
from fedgen.recipe import Recipe
from fedgen.study.load import load_study

REPO = Path(__file__).parents[3]

runner = CliRunner()


@pytest.mark.slow
def test_the_demo_as_json() -> None:
    result = runner.invoke(app, ["privacy", "plan", "demo_gradients", "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    (size,) = found["sizes"]
    study = load_study("demo_gradients")
    own = Recipe.of(study).mechanism.plan(52, "north")
    assert (size["sites"], size["patients"], size["steps"]) == (4, 52, 120)
    assert size["epsilon"] == own.epsilon == size["epsilon_by_round"][-1]
    assert size["noise_multiplier"] == own.spend.noise_multiplier
    assert size["sampling_rate"] == 16 / 52
    assert len(size["epsilon_by_round"]) == 10
    assert size["signal_to_noise"][0]["objective"] == "vae"
    assert not size["reaches_reference"]
    assert size["needed_batch"] is None
    assert size["needed_cohort"]["patients"] > 1000
    assert found["reference"]["signal_to_noise"]["all_sites"] > size["signal_to_noise"][0]["all_sites"]


def test_a_table_and_sentences(tiny_file) -> None:
    result = runner.invoke(app, ["privacy", "plan", str(tiny_file), "--patients", "30", "--patients", "12"])
    assert result.exit_code == 0, result.output
    for words in ("noise sigma", "epsilon after", "Signal to noise", "DPDM on MNIST", "With 12 training"):
        assert words in result.stdout, result.stdout


@pytest.mark.slow
def test_a_printed_epsilon_is_rounded_up(tiny_file) -> None:
    arguments = ["privacy", "plan", str(tiny_file), "--patients", "30"]
    (size,) = json.loads(runner.invoke(app, [*arguments, "--json"]).stdout)["sizes"]
    table = runner.invoke(app, arguments).stdout
    printed = [float(word) for word in table.split() if word.replace(".", "", 1).isdigit()]
    assert any(0 <= number - size["epsilon"] < 0.01 for number in printed), table


def test_means_are_compared_in_a_table_in_words_and_as_json(tiny_file) -> None:
    arguments = ["privacy", "plan", str(tiny_file), "--patients", "30", "--patients", "30"]
    arguments += ["--set", "model.family=auto"]
    told = runner.invoke(app, arguments, env={"COLUMNS": "200"}).stdout
    for words in (
        "> latent",
        "latent then vae",
        "Recommended: this study as it is",
        "model.family was auto: latent,",
    ):
        assert words in told, told
    assert "The rule is one of thumb" in told
    found = json.loads(runner.invoke(app, [*arguments, "--json"]).stdout)
    assert found["recommended"] == {"kind": "sum", "families": ["latent"]}
    assert found["family"] == "latent"
    kinds = {"/".join(each["families"]): each["kind"] for each in found["alternatives"]}
    assert (kinds["latent"], kinds["latent/vae"], kinds["vae"]) == ("sum", "sum then steps", "steps")
    assert found["reason"] and found["rule"]


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        (["chest_xray_gradients"], StudyError, "such as --patients 45 --patients 12"),
        (["demo_gradients", "--set", "privacy.mode=none"], StudyError, "privacy.mode is none"),
        (["chest_xray_gradients", "--set", "privacy.mode=none"], StudyError, "privacy.mode is none"),
        (
            ["demo_gradients", "--set", "privacy.delta=0.1"],
            PrivacyRefusedError,
            "permits publishing a whole patient",
        ),
        (["demo_gradients", "--patients", "3"], DataError, "Site 1 has 3 training patients"),
        (["dmeo"], StudyError, "demo"),
    ],
)
def test_wrong_calls(arguments, kind, words) -> None:
    result = runner.invoke(app, ["privacy", "plan", *arguments])
    assert isinstance(result.exception, kind), result.output
    assert words in str(result.exception)
    assert "\n" not in str(result.exception)


@pytest.mark.parametrize("patients", ["0", "-1", "many"])
def test_patients_that_are_no_number(patients) -> None:
    assert runner.invoke(app, ["privacy", "plan", "demo_gradients", "--patients", patients]).exit_code == 2


def test_the_exit_code_of_a_delta_too_large() -> None:
    """A shell sees the code and the sentence as of every refusal (test_exit_codes)."""
    error = runner.invoke(app, ["privacy", "plan", "demo_gradients", "--set", "privacy.delta=0.1"]).exception
    assert isinstance(error, PrivacyRefusedError)
    assert error.exit_code == ExitCode.REFUSED == 3
    assert str(error).startswith("privacy.delta is 0.1 but site 1 has 52 training patients")


def test_help_and_mistakes_load_nothing_slow() -> None:
    program = """
import json, sys
from typer.testing import CliRunner
from fedgen.cli.main import app
calls = ["--help", "privacy --help", "privacy plan --help", "privacy plan dmeo"]
codes = [CliRunner().invoke(app, call.split()).exit_code for call in calls]
print(json.dumps([codes, sorted({"torch", "monai", "opacus", "flwr", "scipy"} & set(sys.modules))]))
"""
    path = os.pathsep.join(str(REPO / folder) for folder in (".", "privacy"))
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    # The runner gives 1 for every error that `run` would turn into its own code.
    assert json.loads(done.stdout) == [[0, 0, 0, 1], []]
