"""Options of the diffusion family: dropped labels, guidance, samplers, v-prediction and 28 x 28 pixels."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from fedgen.errors import StudyError
from fedgen.families.contract import objectives_of
from fedgen.families.diffusion.family import DiffusionFamily
from fedgen.families.diffusion.options import DiffusionOptions
from fedgen.families.parts.conditioning import one_hot
from fedgen.families.parts.denoising.edm import denoise
from fedgen.families.parts.denoising.objective import without
from fedgen.families.parts.sampling import ImageNoise
from fedgen.families.registry import specs
from fedgen.recipe import Recipe
from fedgen.selftest.gradients import clipped_norms, equality, independence
from fedgen.selftest.subject import Subject
from fedgen.selftest.tasks import IMAGES
from fedgen.task.image_spec import ImageSpec
from fedgen.task.records import one_image_each
from fedgen.task.task import image_of, image_of_class

PLAIN = {"linear_denoisers": False}
V = {"parametrization": "v", **PLAIN}
LABELS = torch.tensor([0, 1, 2, 0, 1])
GIVEN = {"class": LABELS}


def with_labels(records, labels):
    return records._replace(fields={**records.fields, "class": labels})


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_one_decision_an_image_shared_by_its_draws_at_the_studys_rate(study_of) -> None:
    objective = objectives_of(Recipe.of(study_of("diffusion", label_dropout=0.1)).family)[0]
    dropped = objective.draw(2000, 2, 5, rng())["dropped"]
    assert dropped.shape == (2000, 2, 5)
    assert (dropped == dropped[:, :, :1]).all()
    # images decide by themselves, those of one patient too: 4000 decisions of 0.1, within 5 standard deviations
    assert dropped[:, :, 0].double().mean().item() == pytest.approx(0.1, abs=5 * (0.09 / 4000) ** 0.5)
    assert (dropped[:, 0, 0] != dropped[:, 1, 0]).any()


def test_the_other_draws_are_those_without_dropout(study_of) -> None:
    without, with_it = (
        objectives_of(Recipe.of(study_of("diffusion", label_dropout=p)).family)[0].draw(3, 2, 4, rng())
        for p in (0.0, 0.1)
    )
    assert set(with_it) - set(without) == {"dropped"}
    assert all(torch.equal(draw, with_it[name]) for name, draw in without.items())


def test_a_network_that_never_drops_labels_has_no_embedding_for_none(study_of) -> None:
    embeddings = [
        Recipe.of(study_of("diffusion", label_dropout=p))
        .family.networks()["unet"]
        .unet.class_embedding.weight
        for p in (0.0, 0.1)
    ]
    assert [weight.shape[1] for weight in embeddings] == [3, 4]


def test_a_dropped_label_is_not_read_and_the_others_are(study_of, perturbed, ragged, draw_for) -> None:
    family = Recipe.of(study_of("diffusion", label_dropout=0.5)).family
    networks, records = perturbed(family, torch.float64), ragged(torch.float64)
    objective = objectives_of(family)[0]
    draws = draw_for(objective, dtype=torch.float64)
    relabelled = with_labels(records, (records.fields["class"] + 1) % 3)
    for value in (True, False):
        fixed = {**draws, "dropped": torch.full_like(draws["dropped"], value)}
        before = objective.loss(networks, records, fixed)
        after = objective.loss(networks, relabelled, fixed)
        assert torch.equal(before, after) is value
    # and the null class is one of its own, not a class's
    all_dropped = {**draws, "dropped": torch.ones_like(draws["dropped"])}
    for label in range(3):
        as_class = with_labels(records, torch.full_like(records.fields["class"], label))
        kept = {**draws, "dropped": torch.zeros_like(draws["dropped"])}
        assert not torch.allclose(
            objective.loss(networks, as_class, kept), objective.loss(networks, records, all_dropped)
        )


def test_a_membership_score_reads_every_label(study_of, perturbed) -> None:
    family = Recipe.of(study_of("diffusion", label_dropout=0.999)).family
    networks = perturbed(family)
    images = torch.rand(3, 1, 16, 16, generator=rng()) * 2 - 1
    scores = [
        family.score(networks, one_image_each({"image": images, "class": torch.full((3,), y)}), rng(1))
        for y in (0, 1)
    ]
    assert not torch.allclose(*scores)


def test_guidance_extrapolates_from_the_network_without_label(study_of, perturbed) -> None:
    """At a single step the image is D itself, so the guided one is (1 + w) D(y) - w D(none)."""
    families = {w: Recipe.of(study_of("diffusion", label_dropout=0.1, guidance=w)).family for w in (0.0, 1.5)}
    networks = perturbed(families[0.0])
    x, sigma = torch.randn(5, 1, 16, 16, generator=rng()), torch.full((5,), 0.7)
    plain, guided = (
        families[w].denoiser(networks["unet"], one_hot(LABELS, 3, x.dtype))(x, sigma) for w in (0.0, 1.5)
    )
    unknown = without(torch.zeros(5, 3), torch.ones(5, dtype=torch.bool))
    c = families[0.0].objective.parametrization.precondition(sigma)
    none = denoise(lambda x, c: networks["unet"](x, c, unknown), x, c)
    assert not torch.allclose(plain, none, atol=1e-3)
    assert torch.allclose(guided, 2.5 * plain - 1.5 * none, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parametrization": "v"}, "linear_denoisers: false"),
        ({"parametrization": "ddpm"}, "linear_denoisers: false"),
        ({"parametrization": "flow"}, "linear_denoisers: false"),
        ({"guidance": 1.0}, "label_dropout above 0"),
        ({"label_dropout": 1.0}, "label_dropout"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, message) -> None:
    with pytest.raises(ValidationError, match=message):
        DiffusionOptions(**options)


def test_28_pixels_need_a_unet_without_linear_denoisers(study_of, perturbed) -> None:
    three = {"channels": (8, 8, 8), "attention": (False, False, True)}
    with pytest.raises(StudyError, match=r"\[28, 28\].*multiples of 8.*linear_denoisers"):
        Recipe.of(study_of("diffusion", 28, **three))
    family = Recipe.of(study_of("diffusion", 28, **three, **PLAIN)).family
    assert family.sample(perturbed(family), GIVEN, 5, rng()).shape == (5, 1, 28, 28)
    with pytest.raises(StudyError, match=r"\[28, 28\].*multiples of 8, or fewer levels"):
        Recipe.of(study_of("diffusion", 28, channels=(8,) * 4, attention=(False,) * 4, **PLAIN))


@pytest.mark.parametrize("size", [20, 28])
@pytest.mark.parametrize("name", ["vae", "gan"])
def test_the_other_families_take_multiples_of_4_too(study_of, name, size, perturbed) -> None:
    family = Recipe.of(study_of(name, size)).family
    networks = perturbed(family)
    images = family.sample(networks, GIVEN, 5, rng())
    assert images.shape == (5, 1, size, size)
    assert family.score(networks, one_image_each({"image": images, "class": LABELS}), rng()).shape == (5,)


OTHERS = [{**PLAIN, "parametrization": name} for name in ("ddpm", "flow")]
STOCHASTIC = [{"sampler": "churn", "S_churn": 3.0}, {"sampler": "ddim", "eta": 1.0}]


@pytest.mark.parametrize(
    "options",
    [
        *STOCHASTIC,
        *({"sampler": name} for name in ("ddim", "dpm", "pndm")),
        {**V, "sampler": "churn"},
        *OTHERS,
    ],
)
def test_every_sampler_makes_images_that_do_not_depend_on_the_chunk(
    study_of, perturbed, monkeypatch, options
) -> None:
    family = Recipe.of(study_of("diffusion", **options)).family
    networks = perturbed(family)
    whole = family.sample(networks, GIVEN, 5, rng(3))
    assert whole.shape == (5, 1, 16, 16)
    assert whole.abs().max() <= 1
    assert torch.equal(whole, family.sample(networks, GIVEN, 5, rng(3)))
    monkeypatch.setattr("fedgen.families.parts.denoising.family.CHUNK", 2)
    assert torch.allclose(whole, family.sample(networks, GIVEN, 5, rng(3)), atol=1e-4)


def test_samplers_differ_and_without_churn_they_do_not(study_of, perturbed) -> None:
    def images(**options):
        family = Recipe.of(study_of("diffusion", **options)).family
        return family.sample(perturbed(family), GIVEN, 5, rng(3))

    heun = images(sampler="heun")
    assert torch.equal(images(sampler="churn", S_churn=0.0), heun)
    for options in (*STOCHASTIC, *({"sampler": name} for name in ("ddim", "dpm", "pndm"))):
        assert not torch.allclose(images(**options), heun, atol=1e-3)


def test_noise_of_an_image_is_its_own() -> None:
    cpu = torch.device("cpu")
    both, alone = ImageNoise((5, 6), (1, 2, 2), cpu), ImageNoise((6,), (1, 2, 2), cpu)
    first = both()
    assert torch.equal(first[1:], alone())
    assert not torch.equal(first[0], first[1])
    second = both()
    assert torch.equal(second[1:], alone())
    assert not torch.equal(first, second)
    many = ImageNoise(range(2000), (50,), cpu)()
    assert many.mean().item() == pytest.approx(0, abs=5 / 100_000**0.5)
    assert many.std().item() == pytest.approx(1, abs=5 / 200_000**0.5)
    # neighbouring seeds, which is what images get, are uncorrelated
    correlation = (many[1:] * many[:-1]).mean().item()
    assert correlation == pytest.approx(0, abs=5 / 100_000**0.5)


@pytest.mark.parametrize(
    "options",
    [
        {"label_dropout": 0.5},
        {**V, "label_dropout": 0.5},
        PLAIN,
        *OTHERS,
        {"conditioning": "cross_attention", "label_dropout": 0.5},
    ],
)
@pytest.mark.parametrize(
    ("check", "backend", "axes"),
    [
        (independence, "vmap", 2),
        (clipped_norms, "vmap", 2),
        (equality, "vmap", 2),
        pytest.param(equality, "hooks", 2, marks=pytest.mark.slow),
        pytest.param(equality, "hooks", 3, marks=pytest.mark.slow),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_the_self_test_passes_on_the_options(options, check, backend, axes) -> None:
    """Gradients of one patient equal a loop, and one clip bounds them, on the new loss paths."""
    task = image_of_class(IMAGES[axes], ("none", "lesion"))
    family = DiffusionFamily(task, specs()["diffusion"].small.model_copy(update=options))
    subject = Subject("diffusion", family.networks, objectives_of(family), task, backend=backend)
    finding = check(subject)
    assert finding.passed, finding


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_attention_looks_at_the_condition(study_of, perturbed, dropout) -> None:
    family = Recipe.of(study_of("diffusion", conditioning="cross_attention", label_dropout=dropout)).family
    networks = perturbed(family)
    x, c_noise = torch.randn(4, 1, 16, 16, generator=rng()), torch.zeros(4)
    y = without(one_hot(torch.tensor([0, 1, 2, 2]), 3, x.dtype), torch.tensor([False, False, False, True]))
    alike = x[:1].expand(4, -1, -1, -1)
    F = networks["unet"](alike, c_noise, y)
    assert networks["unet"].unet.num_class_embeds is None
    assert (F[0] - F[1]).abs().mean() > 1e-3
    assert (F[1] - F[2]).abs().mean() > 1e-3
    # and at what says that nothing is given, where the network was made to be told
    assert (F[2] - F[3]).abs().mean() > 1e-3
    assert family.sample(networks, GIVEN, 5, rng()).shape == (5, 1, 16, 16)


def test_attention_needs_something_to_look_at() -> None:
    with pytest.raises(StudyError, match=r"conditioning is cross_attention.*use embedding"):
        DiffusionFamily(
            image_of(ImageSpec(channels=1, size=(16, 16))),
            DiffusionOptions(channels=(8, 8), attention=(False, True), conditioning="cross_attention"),
        )
