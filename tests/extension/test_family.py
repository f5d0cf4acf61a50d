"""A generative family is one folder: with it in place, everything that knows families knows this one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from subprocess import CompletedProcess
from typing import Any

import pytest
import yaml

from fedgen.errors import ExitCode
from fedgen.families.registry import specs
from fedgen.study.load import load_study
from fedgen.study.show import study_hash

OPTIONS = '''
"""A picture a class, with a little noise of its own."""

from pydantic import Field

from fedgen.families.parts.supported import image_of_class_in
from fedgen.families.spec import FamilySpec
from fedgen.schema.section import Section


class BlotsOptions(Section):
    """One linear map from class and latent to the image."""

    latent_size: int = Field(4, ge=1, description="dimensions of the latent vector")
    learning_rate: float = Field(0.05, gt=0, description="of Adam")


SPEC = FamilySpec(
    name="blots",
    summary="one linear map: the least that is a family",
    options=BlotsOptions,
    small=BlotsOptions(latent_size=2),
    supports=image_of_class_in(2, 3),
    private=True,
)
'''
FAMILY = '''
"""Images of a linear map, trained to resemble those of the class."""

from math import prod

import torch
from torch import nn

from fedgen.families.contract import Adam, Family, Objective
from fedgen.families.parts.conditioning import one_hot
from fedgen.families.parts.folding import fold, patient_mean, rows
from fedgen.families.parts.minus_loss import minus_loss
from fedgen.families.parts.sampling import decode_in_chunks, device_of


class Blots(nn.Module):
    def __init__(self, shape, classes, latent_size):
        super().__init__()
        self.shape, self.classes = shape, classes
        self.linear = nn.Linear(classes + latent_size, prod(shape))

    def forward(self, z, labels):
        pixels = self.linear(torch.cat([one_hot(labels, self.classes, z.dtype), z], dim=1))
        return torch.tanh(pixels).unflatten(1, self.shape)


class Resemblance(Objective):
    name = "resemblance"
    updates = ("blots",)
    touches_data = True
    loss_bound = 4.0

    def __init__(self, options):
        self.options = options
        self.optimizer = Adam(options.learning_rate)

    def draw(self, B, M, K, rng):
        return {"z": torch.randn(B, M, K, self.options.latent_size, generator=rng, device=rng.device)}

    def loss(self, networks, records, draws):
        x, labels = fold(records.fields["image"], records.fields["class"], draws["z"].shape[2])
        errors = (networks["blots"](rows(draws["z"]), labels) - x).square().flatten(1).mean(dim=1)
        return patient_mean(errors, records.weights["patient"])


class BlotsFamily(Family):
    def __init__(self, task, options):
        self.task, self.options = task, options
        self.objective = Resemblance(options)

    def networks(self):
        shape, classes = self.task.image.shape, len(self.task.classes)
        return {"blots": Blots(shape, classes, self.options.latent_size).eval()}

    def contributions(self):
        return (self.objective,)

    @torch.no_grad()
    def sample(self, networks, given, n, rng):
        z = torch.randn(n, self.options.latent_size, generator=rng, device=rng.device)
        return decode_in_chunks(networks["blots"], z, given["class"], device_of(networks["blots"]))

    def score(self, networks, records, rng):
        return minus_loss(self.objective, networks, records, K=8, chunk=16, rng=rng)
'''
FILES = {"__init__": "", "options": OPTIONS, "family": FAMILY}
BLOTS = {f"fedgen/families/blots/{name}.py": text for name, text in FILES.items()}
#: Tests of every family, which take their families from the registry: the gate first.
EVERY_FAMILY = (
    "tests/fedgen/families/test_per_record_gradients.py",
    "tests/fedgen/families/test_families.py",
    "tests/fedgen/training/test_gate.py",
    "tests/fedgen/selftest/test_checks.py",
    "tests/fedgen/federation/test_distributed.py",
    "tests/fedgen/study/test_model.py",
)
KINDS = ("a generative family",)
POLICY = """
import sys
from pathlib import Path
from fedgen.study.load import load_study
from fedgen_client.policy import problems
from fedgen_client.site_file import load_site_file
site = Path(sys.argv[1])
study = load_study("demo_gradients", ["model.family=blots"])
for families in ("null", "[blots]", "[vae]", "[splots]"):
    site.write_text(f"cohorts: {{main: {{folder: d, maximum_epsilon: null}}}}\\npolicy: {{families: {families}}}\\n")
    try:
        print(problems(load_site_file(site).policy, study, 4))
    except Exception as error:
        print(error)
"""

Run = Callable[..., CompletedProcess[str]]


@pytest.fixture(scope="module")
def run(extended: Callable[[Mapping[str, str]], Run]) -> Run:
    return extended(BLOTS)


def fedgen(run: Run, *arguments: str) -> str:
    done = run("-m", "fedgen.cli", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_registry_and_the_command_list_it(run: Run) -> None:
    found = {family["name"]: family for family in json.loads(fedgen(run, "models", "--json"))["families"]}
    assert found.keys() == {*specs(), "blots"}
    assert found["blots"]["dimensions"] == [2, 3]
    assert found["blots"]["conditioning"] == ["class"]
    assert "the least that is a family" in fedgen(run, "models")


def test_a_study_asks_for_it_with_its_options(run: Run) -> None:
    shown = fedgen(
        run,
        "study",
        "show",
        "demo_gradients",
        "--set",
        "model.family=blots",
        "--set",
        "model.blots.latent_size=3",
    )
    model: dict[str, Any] = yaml.safe_load(shown)["model"]
    assert model["family"] == "blots"
    assert model["blots"] == {"latent_size": 3, "learning_rate": 0.05}
    assert not model.keys() & {*specs()}
    wrong = run("-m", "fedgen.cli", "study", "check", "demo_gradients", "--set", "model.blots.latent_sise=3")
    assert wrong.returncode == 2
    assert "did you mean model.blots.latent_size" in wrong.stderr


def test_the_study_of_another_family_is_the_same_study_with_it(run: Run) -> None:
    assert f"# sha256 {study_hash(load_study('demo_gradients'))}\n" in fedgen(
        run, "study", "show", "demo_gradients"
    )


def test_the_reference_of_the_study_file_describes_it(run: Run) -> None:
    page = run("-m", "fedgen.study.study_manual").stdout
    assert "## `model.blots`\n\nOne linear map from class and latent to the image." in page
    assert "| `family` | `blots` or " in page


def test_a_sites_policy_knows_it(run: Run, tmp_path) -> None:
    done = run("-c", POLICY, str(tmp_path / "site.yaml"))
    every, allowed, other, misspelt = done.stdout.splitlines()
    assert (every, allowed) == ("[]", "[]")
    assert other == "['model.family is blots, but policy.families allows vae.']"
    assert "policy.families[0] must be 'blots', " in misspelt


@pytest.mark.slow
def test_the_tests_of_every_family_run_on_it_and_pass(run: Run) -> None:
    """Above all the gate: its gradients are each patient's own, and no patient's part exceeds the norm asked for."""
    done = run("-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "-k", "blots", *EVERY_FAMILY)
    assert done.returncode == 0, done.stdout
    passed = [line for line in done.stdout.splitlines() if line.startswith("PASSED")]
    for file in EVERY_FAMILY:
        assert any(file in line for line in passed), file
    gate = [line for line in passed if "test_gate.py" in line]
    assert len(gate) == len([line for line in gate if "[blots" in line or "-blots" in line]) >= 6


@pytest.mark.slow
def test_the_self_test_catches_a_mistake_in_it(extended: Callable[[Mapping[str, str]], Run]) -> None:
    mistaken = FAMILY.replace(
        "return patient_mean(errors,", "return patient_mean(errors - errors.mean() / 2,"
    )
    assert mistaken != FAMILY
    run = extended({**BLOTS, "fedgen/families/blots/family.py": mistaken})
    done = run("-m", "fedgen.cli", "privacy", "selftest", "--family", "blots")
    assert done.returncode == ExitCode.GATE, done.stdout + done.stderr
    assert "patients are independent (blots)" in done.stderr


def test_a_folder_that_is_not_whole_is_named(extended: Callable[[Mapping[str, str]], Run]) -> None:
    run = extended({name: text for name, text in BLOTS.items() if not name.endswith("family.py")})
    done = run("-m", "fedgen.cli", "models")
    assert done.returncode != 0
    assert "The folder blots of fedgen.families has no family.py: add it" in done.stderr
