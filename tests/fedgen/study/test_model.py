"""The study holds the chosen family's options, whatever a file says of the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import yaml

from fedgen.errors import StudyError
from fedgen.families.registry import specs
from fedgen.schema.document import read_document
from fedgen.study import presets
from fedgen.study.load import STUDY_FILE, load_study, parse_study
from fedgen.study.show import dump_study, study_hash
from fedgen.study.variants import in_family

Refusal = Callable[..., list[str]]
MODEL = "model: {{family: {family}, vae: {{beta: 2}}, gan: {{latent_size: 9}}, diffusion: {{rho: 5}}}}\n"


@pytest.mark.parametrize("family", specs())
def test_options_of_other_families_change_nothing(smallest: str, family: str) -> None:
    other = "vae: {beta: 2}" if family != "vae" else "gan: {latent_size: 9}"
    chosen = f"family: {family}" + (", prior: {phantom: {}}" if specs()[family].needs_prior else "")
    alone = parse_study(f"{smallest}model: {{{chosen}}}", "s.yaml")
    beside = parse_study(f"{smallest}model: {{{chosen}, {other}}}", "s.yaml")
    assert beside == alone
    assert study_hash(beside) == study_hash(alone)
    assert dump_study(beside) == dump_study(alone)
    assert yaml.safe_load(dump_study(beside))["model"].keys() == {
        "family",
        "pretrained",
        "prior",
        "adapters",
        "chosen",
        family,
    }


def test_a_file_may_carry_a_section_for_each_family_and_the_chosen_one_counts(smallest: str) -> None:
    def options(family: str) -> Any:
        stands = ["model.prior={phantom: {}}"] if specs()[family].needs_prior else []
        return parse_study(smallest + MODEL.format(family=family), "s.yaml", stands).model.options

    assert [type(options(name)) for name in specs()] == [spec.options for spec in specs().values()]
    assert (options("vae").beta, options("gan").latent_size, options("diffusion").rho) == (2, 9, 5)
    assert parse_study(smallest + MODEL.format(family="vae"), "s.yaml", ["model.family=gan"]) == parse_study(
        smallest + MODEL.format(family="gan"), "s.yaml"
    )


@pytest.mark.parametrize("family", specs())
@pytest.mark.parametrize("preset", presets.names())
def test_every_preset_turns_to_any_family(preset: str, family: str) -> None:
    written = read_document(presets.path_of(preset).read_text(), preset, STUDY_FILE).values.get("model", {})
    expected = specs()[family].options.model_validate(written.get(family, {}))
    if "prior" in written and not specs()[family].prior:
        with pytest.raises(
            StudyError, match=f"prior is for a family that stands on one .*, and {family} does not"
        ):
            load_study(preset, [f"model.family={family}"])
        return
    if specs()[family].needs_prior and "prior" not in written:
        with pytest.raises(StudyError, match=f"prior is missing, and {family} cannot do without one"):
            load_study(preset, [f"model.family={family}"])
        return
    if specs()[family].prior and "pretrained" in written:
        with pytest.raises(StudyError, match="pretrained is for a family that is trained on"):
            load_study(preset, [f"model.family={family}"])
        return
    assert load_study(preset, [f"model.family={family}"]).model.options == expected


def test_an_empty_section_is_not_given(smallest: str) -> None:
    empty = parse_study(f"{smallest}model:\n  family: vae\n  vae:\n  gan:\n", "s.yaml")
    assert empty == parse_study(f"{smallest}model: {{family: vae}}\n", "s.yaml")


def test_every_familys_section_is_checked(refusal: Refusal) -> None:
    found = refusal("model:\n  family: vae\n  gan: {latent_sice: 3}\n  diffusion: {rho: -1}\n  vea: {}\n")
    assert sorted(line.split(",")[1].split(":")[0] for line in found) == [" line 5", " line 6", " line 7"]
    text = "\n".join(found)
    assert "unknown key model.gan.latent_sice, did you mean model.gan.latent_size" in text
    assert "model.diffusion.rho must be above 0, but is -1." in text
    assert "unknown key model.vea, did you mean model.vae (allowed under model: " in text


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["model.diffusion.rho=5"], ["--set model.diffusion.rho=5"]),
        (["model.diffusion={}"], ["--set model.diffusion={}"]),
        (["model.diffusion.rho=5", "model.gan.latent_size=3"], 2 * ["--set model."]),
        (["model={family: vae, gan: {latent_size: 3}}"], ["--set model={"]),
        (["model={family: vae, gan: {latent_size: 3}}", "model.gan.latent_size=4"], ["--set model.gan.lat"]),
    ],
)
def test_an_override_of_another_familys_options_is_an_error(
    refusal: Refusal, overrides: list[str], named: list[str]
) -> None:
    found = refusal("model: {family: vae}\n", overrides)
    assert len(found) == len(named)
    for line, beginning in zip(found, named, strict=True):
        assert line.startswith(beginning)
        assert "model.family is vae, so that model." in line


def test_an_override_of_the_family_chosen_with_it_counts(smallest: str) -> None:
    text = f"{smallest}model: {{family: vae, gan: {{latent_size: 9}}}}\n"
    study = parse_study(text, "s.yaml", ["model.gan.discriminator_steps=3", "model.family=gan"])
    assert study.model.options.model_dump(exclude_defaults=True) == {
        "latent_size": 9,
        "discriminator_steps": 3,
    }
    # Without a family the default's options are those that count.
    assert parse_study(smallest, "s.yaml", ["model.diffusion.rho=5"]).model.options.model_dump()["rho"] == 5


def test_a_family_that_is_not_private_needs_mode_none(
    smallest: str, refusal: Refusal, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaky = replace(specs()["vae"], private=False, why_not="its codebook is made from patients")
    monkeypatch.setattr("fedgen.study.study.specs", lambda: {**specs(), "vae": leaky})
    (found,) = refusal("model: {family: vae}\n")
    assert (
        "model.family vae cannot be trained with privacy.mode local, because its codebook is made from"
        in found
    )
    assert parse_study(f"{smallest}model: {{family: vae}}\nprivacy: {{mode: none}}\n", "s.yaml")


STANDING = "model: {{family: {family}, prior: {{phantom: {{}}}}, diffusion: {{latent: {latent}}}}}\n"


def test_diffusion_stands_on_a_prior_by_its_option_alone(smallest: str, refusal: Refusal) -> None:
    found = parse_study(smallest + STANDING.format(family="diffusion", latent="prior"), "s.yaml").model
    assert found.frozen
    (missing,) = refusal("model: {family: diffusion, diffusion: {latent: prior}}\n")
    assert "prior is missing, and diffusion cannot do without one: its latent is that of a public" in missing
    (too_much,) = refusal(STANDING.format(family="diffusion", latent="trained"))
    assert "and diffusion does not with these options: leave it out" in too_much
    start = "prior: {phantom: {}}, pretrained: {sha256: '" + "0" * 64 + "', source: images}"
    (both,) = refusal(f"model: {{family: diffusion, {start}, diffusion: {{latent: prior}}}}\n")
    assert "pretrained is for a family that is trained on" in both


@pytest.mark.parametrize(("latent", "kept"), [("prior", True), ("trained", False), ("nonsense", False)])
def test_a_prior_goes_along_to_the_options_that_stand_on_it(smallest: str, latent: str, kept: bool) -> None:
    document = read_document(smallest + STANDING.format(family="latent", latent=latent), "s.yaml", STUDY_FILE)
    assert ("prior" in in_family(document, "diffusion").values["model"]) == kept
    assert "prior" in in_family(document, "latent").values["model"]
