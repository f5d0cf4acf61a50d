"""Translation by diffusion: exact gradients a record, sources that may be missing, and a map that is known is found."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fedgen.families.contract import objectives_of
from fedgen.families.translate_diffusion.denoising import DenoisingTranslation
from fedgen.families.translate_diffusion.family import TranslateDiffusionFamily
from fedgen.families.translate_diffusion.options import SPEC
from fedgen.selftest.tasks import IMAGES
from fedgen.task.records import Records, one_image_each
from fedgen.task.task import PRESENT, image_of_class, translation
from fedgen.training.backends import BACKENDS, gradients_of
from fedgen.training.functional import trainable
from fedgen_privacy.gradients.protocol import records_of


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def family_of(axes: int = 2, neighbours: int = 0, **options) -> DenoisingTranslation:
    read = IMAGES[axes].model_copy(update={"channels": 1 + 2 * neighbours})
    task = translation({"T1w": read, "T2w": read}, ("FLAIR", IMAGES[axes]))
    way = TranslateDiffusionFamily(task, SPEC.small.model_copy(update=options)).way
    assert isinstance(way, DenoisingTranslation)
    return way


def records_for(family: DenoisingTranslation) -> Records:
    """Patients with 2, 1 and 2 images, now and then of one source alone."""
    there = torch.tensor([[1.0, 1.0], [1.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    draws = rng(5)
    fields = {
        field.name: torch.rand(3, 2, *field.spec.shape, generator=draws, dtype=torch.float64) * 2 - 1
        for field in (*family.task.sources, *family.task.makes)
        if field.spec is not None
    }
    fields[PRESENT] = torch.tensor([[[1, 0], [1, 1]], [[0, 1], [0, 0]], [[1, 1], [1, 1]]]).double()
    for s, source in enumerate(family.task.sources):
        fields[source.name] *= fields[PRESENT][..., s].reshape(3, 2, *[1] * len(family.task.stack.shape))
    return Records(fields, {"patient": there / there.sum(dim=1, keepdim=True)})


def drawn_for(family: DenoisingTranslation) -> dict[str, Tensor]:
    return {name: draw.double() for name, draw in family.objective.draw(3, 2, 2, rng(7)).items()}


@pytest.mark.parametrize("axes", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_gradients_of_a_record_equal_a_loop_by_every_backend(axes, perturbed) -> None:
    family = family_of(axes)
    networks, records, drawn = perturbed(family, torch.float64), records_for(family), drawn_for(family)
    (objective,) = objectives_of(family)
    params = trainable(objective, networks)
    values = {name: p.detach() for name, p in params.items()}
    whole = {
        backend: next(gradients_of(objective, networks, backend)(values, (records, drawn), chunk=3))
        for backend in BACKENDS
    }
    for b in range(3):
        loss = objective.loss(networks, *records_of((records, drawn), b, b + 1))
        expected = torch.autograd.grad(loss.sum(), list(params.values()))
        vector = torch.cat([g.flatten() for g in expected])
        assert vector.norm() > 1e-6
        for found, losses in whole.values():
            own = torch.cat([found[name][b].flatten() for name in params])
            assert losses[b].item() == pytest.approx(loss.item(), rel=1e-9)
            assert (own - vector).norm() < 1e-9 * vector.norm()


def test_what_a_patient_does_not_have_counts_nothing(perturbed) -> None:
    family = family_of()
    networks, records, drawn = perturbed(family, torch.float64), records_for(family), drawn_for(family)
    other = {name: tensor.clone() for name, tensor in records.fields.items()}
    for field in (*family.task.sources, *family.task.makes):
        other[field.name][records.weights["patient"] == 0] = 0.7
    before = family.objective.loss(networks, records, drawn)
    assert before.shape == (3,)
    assert torch.equal(before, family.objective.loss(networks, records._replace(fields=other), drawn))


def test_a_source_that_is_left_out_is_not_read(perturbed) -> None:
    family = family_of(source_dropout=0.5)
    networks, records, drawn = perturbed(family, torch.float64), records_for(family), drawn_for(family)
    records.fields[PRESENT].fill_(1)
    # Of the first source nothing is left, of the second all.
    drawn["left"] = torch.tensor([0.0, 0.9]).double().expand(3, 2, 2, 2)
    for name, read in (("T1w", False), ("T2w", True)):
        changed = records._replace(fields={**records.fields, name: records.fields[name] * 0.5})
        before, after = (family.objective.loss(networks, each, drawn) for each in (records, changed))
        assert torch.allclose(before, after) is not read
    score = family.score(networks, records, rng(1))
    assert score.shape == (3,)
    assert torch.equal(score, family.score(networks, records, rng(1)))


@pytest.mark.parametrize(("axes", "neighbours"), [(2, 0), (2, 1), (3, 0)])
def test_samples_see_their_own_sources_and_which_are_there(axes, neighbours, perturbed, monkeypatch) -> None:
    family = family_of(axes, neighbours)
    networks = perturbed(family)
    given = {s.name: torch.rand(4, *s.spec.shape, generator=rng()) for s in family.task.sources}
    whole = family.sample(networks, given, 4, rng(3))
    assert whole.shape == (4, *IMAGES[axes].shape)
    assert whole.abs().max() <= 1
    told = family.sample(
        networks, {**given, PRESENT: torch.tensor([[1.0, 1.0]] * 3 + [[1.0, 0.0]])}, 4, rng(3)
    )
    assert torch.allclose(whole[:3], told[:3], atol=1e-4)
    assert not torch.allclose(whole[3], told[3], atol=1e-3)
    monkeypatch.setattr("fedgen.families.parts.denoising.family.CHUNK", 3)
    assert torch.allclose(whole, family.sample(networks, given, 4, rng(3)), atol=1e-3)


def test_it_translates_pairs_and_nothing_else() -> None:
    image = IMAGES[2]
    assert SPEC.supports(translation({"T1w": image}, ("FLAIR", image))) is None
    assert "without such pairs" in str(
        SPEC.supports(translation({"T1w": image}, ("FLAIR", image), paired=False))
    )
    assert SPEC.supports(image_of_class(image, ("a",))) is not None


@pytest.mark.slow
def test_a_map_that_is_known_is_found(perturbed) -> None:
    """The target is the negative of the first source: learned in seconds, and found again on images never seen."""
    family = family_of(channels=(16, 16), source_dropout=0.0, sampler_steps=8)
    torch.manual_seed(0)
    networks, draws, losses = family.networks(), rng(), []

    def pairs(n: int) -> dict[str, Tensor]:
        coarse = torch.randn(n, 2, 4, 4, generator=draws).mul(0.7).clamp(-1, 1)
        fine = torch.nn.functional.interpolate(coarse, size=(16, 16), mode="bilinear")
        return {"T1w": fine[:, :1], "T2w": fine[:, 1:], "FLAIR": -fine[:, :1], PRESENT: torch.ones(n, 2)}

    optimizer = torch.optim.Adam(networks["unet"].parameters(), lr=3e-3)
    for _ in range(250):
        records = one_image_each(pairs(8))
        loss = family.objective.loss(networks, records, family.objective.draw(8, 1, 1, draws)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-20:]) < 0.6 * sum(losses[:20])
    new = pairs(16)
    made = family.sample(networks, new, 16, rng(1))
    right, wrong = ((made - target).abs().mean().item() for target in (new["FLAIR"], new["FLAIR"].roll(1, 0)))
    assert right < 0.5 * wrong
