"""Translation by a GAN: exact gradients a record for every way to learn it, and a map that is known is found."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from fedgen.errors import StudyError
from fedgen.families.contract import Objective, objectives_of
from fedgen.families.parts.edges import edge_distance, shape_distance
from fedgen.families.parts.sources import Sources, left_out
from fedgen.families.parts.supported import translation_in
from fedgen.families.translate_gan.family import TranslateGANFamily
from fedgen.families.translate_gan.options import SPEC, TranslateGANOptions
from fedgen.selftest.tasks import IMAGES
from fedgen.task.image_spec import ImageSpec
from fedgen.task.records import Records
from fedgen.task.task import PRESENT, Field, Task, image_of_class, translation
from fedgen.training.functional import trainable

#: Of two sources where they come in pairs, of one where they do not.
WAYS: dict[str, tuple[bool, dict[str, Any]]] = {
    "pairs": (True, {}),
    "pairs, edges and features": (
        True,
        {"edge_weight": 0.5, "feature_weight": 0.5, "loss": "hinge", "norm": "instance"},
    ),
    "pairs without a game": (True, {"adversarial_weight": 0.0, "source_dropout": 0.0}),
    "cycles": (False, {"loss": "non_saturating"}),
    "styles": (False, {"content_style": True}),
}
SLOW = {("pairs", 3), ("pairs without a game", 3), ("cycles", 3), ("styles", 3)}


def family_of(way: str, axes: int, neighbours: int = 0) -> TranslateGANFamily:
    paired, asked = WAYS[way]
    read = IMAGES[axes].model_copy(update={"channels": 1 + 2 * neighbours})
    sources = {"T1w": read, "T2w": read} if paired else {"T1w": read}
    options = TranslateGANOptions(**{**SPEC.small.model_dump(), **asked})
    return TranslateGANFamily(translation(sources, ("FLAIR", IMAGES[axes]), paired=paired), options)


def records_for(task: Task) -> Records:
    """Patients with 2, 1 and 2 images; of a pair now and then one source alone, without pairs one group alone."""
    rng = torch.Generator().manual_seed(5)
    there = torch.tensor([[1.0, 1.0], [1.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    weights = {"patient": there}
    if not task.paired:
        weights = {"T1w": there * torch.tensor([[1.0], [1.0], [0.0]]), "FLAIR": there.flip(0)}
    fields = {
        field.name: torch.rand(3, 2, *field.spec.shape, generator=rng, dtype=torch.float64) * 2 - 1
        for field in (*task.sources, *task.makes)
        if field.spec is not None
    }
    if task.paired:
        fields[PRESENT] = torch.tensor([[[1, 0], [1, 1]], [[0, 1], [0, 0]], [[1, 1], [1, 1]]]).double()
        for s, source in enumerate(task.sources):
            fields[source.name] *= fields[PRESENT][..., s].reshape(3, 2, *[1] * len(task.stack.shape))
    shares = {name: weight / weight.sum(dim=1, keepdim=True).clamp_min(1) for name, weight in weights.items()}
    return Records(fields, shares)


def drawn_for(objective: Objective) -> dict[str, Tensor]:
    drawn = objective.draw(3, 2, 2, torch.Generator().manual_seed(7))
    return {name: tensor.double() for name, tensor in drawn.items()}


#: Every way with both numbers of axes, of which the ordinary run takes some.
CASES = [
    pytest.param(way, axes, marks=pytest.mark.slow if (way, axes) in SLOW else ())
    for way in WAYS
    for axes in (2, 3)
]


@pytest.mark.parametrize(("way", "axes"), CASES)
def test_gradients_of_a_record_equal_a_loop_by_every_backend(way, axes, perturbed, looped) -> None:
    family = family_of(way, axes)
    networks, records = perturbed(family, torch.float64), records_for(family.task)
    for objective in objectives_of(family):
        assert objective.touches_data
        for vector in looped(objective, networks, (records, drawn_for(objective))):
            assert vector.norm() > 1e-6


@pytest.mark.parametrize("way", WAYS)
def test_what_a_patient_does_not_have_counts_nothing(way, perturbed) -> None:
    family = family_of(way, 2)
    networks, records = perturbed(family, torch.float64), records_for(family.task)
    other = {name: tensor.clone() for name, tensor in records.fields.items()}
    for field in (*family.task.sources, *family.task.makes):
        other[field.name][records.weights[field.group] == 0] = 0.7
    for objective in objectives_of(family):
        drawn = drawn_for(objective)
        before = objective.loss(networks, records, drawn)
        assert before.shape == (3,)
        assert torch.equal(before, objective.loss(networks, records._replace(fields=other), drawn))
    with pytest.raises(ValueError, match="needs records"):
        objectives_of(family)[0].loss(networks, None, drawn_for(objectives_of(family)[0]))


@pytest.mark.parametrize(("way", "axes"), CASES)
def test_slices_with_neighbours_are_translated_too(way, axes, perturbed) -> None:
    family = family_of(way, axes, neighbours=1)
    networks, records = perturbed(family), records_for(family.task)
    single = Records(*[{n: t.float() for n, t in part.items()} for part in records])
    for objective in objectives_of(family):
        drawn = {name: t.float() for name, t in drawn_for(objective).items()}
        assert objective.loss(networks, single, drawn).isfinite().all()
    given = {field.name: single.fields[field.name][:, 0] for field in family.task.sources}
    made = family.sample(networks, given, 3, torch.Generator().manual_seed(0))
    assert made.shape == (3, *IMAGES[axes].shape)
    assert family.score(networks, single, torch.Generator()).shape == (3,)


@pytest.mark.parametrize("way", WAYS)
def test_what_was_made_goes_back_where_there_is_a_way_back(way, perturbed) -> None:
    family = family_of(way, 2)
    networks = perturbed(family)
    made = torch.rand(3, *IMAGES[2].shape, generator=torch.Generator().manual_seed(1)) * 2 - 1
    back = family.back(networks, made, torch.Generator().manual_seed(0))
    if WAYS[way][0]:
        assert back is None
        return
    assert back is not None
    assert {name: again.shape for name, again in back.items()} == {"T1w": made.shape}
    other = family.back(networks, made, torch.Generator().manual_seed(1))
    assert other is not None
    # By chance in the style alone.
    assert torch.equal(back["T1w"], other["T1w"]) == (way == "cycles")


def test_a_translation_hears_which_sources_are_there(perturbed) -> None:
    family = family_of("pairs", 2)
    networks, rng = perturbed(family), torch.Generator().manual_seed(0)
    given = {name: torch.rand(4, 1, 16, 16, generator=rng) for name in ("T1w", "T2w")}
    whole = family.sample(networks, given, 4, rng)
    assert torch.equal(whole, family.sample(networks, {**given, PRESENT: torch.ones(4, 2)}, 4, rng))
    one = {**given, "T2w": torch.zeros(4, 1, 16, 16), PRESENT: torch.tensor([[1.0, 0.0]]).expand(4, 2)}
    assert not torch.allclose(whole, family.sample(networks, one, 4, rng))


def test_a_source_is_left_out_whole_and_never_the_last() -> None:
    image = IMAGES[2]
    task = translation({"a": image, "b": image.model_copy(update={"channels": 3}), "c": image}, ("d", image))
    rng = torch.Generator().manual_seed(0)
    there = (torch.rand(400, 3, generator=rng) < 0.7).float()
    there[there.sum(dim=1) == 0, 0] = 1.0
    index = [0, 1, 1, 1, 2]
    x = torch.ones(400, 5, 16, 16) * there[:, index].reshape(400, 5, 1, 1)
    found = left_out(task, Sources(x, there), torch.rand(400, 3, generator=rng), 0.5)
    assert (found.told <= there).all()
    assert (found.told.sum(dim=1) >= 1).all()
    assert torch.equal(found.x, x * found.told[:, index].reshape(400, 5, 1, 1))
    three = there.sum(dim=1) == 3
    assert (found.told[three] == 0).float().mean() == pytest.approx(
        0.5 - 0.125, abs=0.06
    )  # but for those of which none would be left


def test_edges_are_where_they_are_whatever_the_contrast() -> None:
    rng = torch.Generator().manual_seed(0)
    coarse = torch.randn(4, 1, 6, 6, generator=rng)
    a = torch.nn.functional.interpolate(coarse, size=(24, 24), mode="bilinear").clamp(-1, 1)
    other = torch.roll(a, 7, dims=3)
    assert torch.allclose(shape_distance(a, a), torch.zeros(4), atol=1e-6)
    assert torch.allclose(shape_distance(-a, a), torch.zeros(4), atol=1e-6)
    assert (shape_distance(other, a) > 0.1).all()
    assert (shape_distance(torch.zeros_like(a), a) >= shape_distance(other, a)).all()
    assert torch.allclose(edge_distance(a + 0.2, a), torch.zeros(4), atol=1e-6)
    assert (edge_distance(-a, a) > edge_distance(a, a) + 0.01).all()


def test_which_tasks_it_does() -> None:
    image, supports = IMAGES[2], SPEC.supports
    assert supports(translation({"a": image, "b": image}, ("c", image))) is None
    assert supports(translation({"a": image}, ("c", image), paired=False)) is None
    assert supports(translation({"a": IMAGES[3]}, ("c", IMAGES[3]))) is None
    assert "other images" in str(supports(image_of_class(image, ("a", "b"))))
    assert "one contrast" in str(supports(translation({"a": image, "b": image}, ("c", image), paired=False)))
    assert "one grid" in str(supports(translation({"a": ImageSpec(channels=1, size=(8, 8))}, ("c", image))))
    assert "3D" in str(translation_in(2)(translation({"a": IMAGES[3]}, ("c", IMAGES[3]))))
    given = Task(
        translation({"a": image}, ("c", image)).makes,
        (Field("a", "image", image), Field("class", "class", classes=("x", "y"))),
    )
    assert supports(given) is None


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValidationError, match="feature_weight"):
        TranslateGANOptions(adversarial_weight=0, feature_weight=1)
    task = translation({"a": IMAGES[2]}, ("b", IMAGES[2]), paired=False)
    with pytest.raises(StudyError, match="game alone"):
        TranslateGANFamily(task, TranslateGANOptions(adversarial_weight=0))


def discs(n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Discs somewhere, with a core: bright with a dark core in one contrast, and the other way round in the other."""
    u = torch.linspace(-1, 1, 16)
    x, y = (0.4 * (torch.rand(n, generator=rng) * 2 - 1) for _ in range(2))
    r = (0.35 + 0.3 * torch.rand(n, generator=rng))[:, None, None]
    d = ((u[None, None, :] - x[:, None, None]) ** 2 + (u[None, :, None] - y[:, None, None]) ** 2).sqrt()
    outer, core = torch.sigmoid((r - d) * 20), torch.sigmoid((0.5 * r - d) * 20)
    return (-1 + 1.7 * outer - core)[:, None].clamp(-1, 1), (-1 + 0.7 * outer + 1.2 * core)[:, None].clamp(
        -1, 1
    )


def trained(family: TranslateGANFamily, steps: int, B: int, **of: Any) -> Any:
    torch.manual_seed(0)
    rng, networks = torch.Generator().manual_seed(0), family.networks()
    optimizers = {
        o.name: torch.optim.Adam(
            trainable(o, networks).values(), lr=o.optimizer.learning_rate, betas=o.optimizer.betas
        )
        for o in objectives_of(family)
    }
    losses: list[float] = []
    for _ in range(steps):
        t1, flair = discs(B, rng)
        if not family.task.paired:
            flair = discs(B, rng)[1]
        groups = {field.group for field in (*family.task.sources, *family.task.makes)}
        records = Records(
            {"T1w": t1[:, None], "FLAIR": flair[:, None]}, {group: torch.ones(B, 1) for group in groups}
        )
        for objective in objectives_of(family):
            optimizers[objective.name].zero_grad()
            loss = objective.loss(networks, records, objective.draw(B, 1, 1, rng)).mean()
            loss.backward()
            optimizers[objective.name].step()
        losses.append(float(loss.detach()))
    return networks, losses


def far(family: TranslateGANFamily, networks: Any) -> tuple[float, float]:
    """Distance of translations to the truth, and that of the source to it."""
    t1, flair = discs(64, torch.Generator().manual_seed(9))
    made = family.sample(networks, {"T1w": t1}, 64, torch.Generator().manual_seed(1))
    return float((made - flair).abs().mean()), float((t1 - flair).abs().mean())


def toy(paired: bool, **asked: Any) -> TranslateGANFamily:
    image = IMAGES[2]
    options = TranslateGANOptions(
        **{"channels": (8, 8, 16), "critic_channels": 8, "critic_layers": 2, "learning_rate": 3e-3, **asked}
    )
    return TranslateGANFamily(translation({"T1w": image}, ("FLAIR", image), paired=paired), options)


def test_a_known_map_is_found_from_pairs() -> None:
    family = toy(True)
    networks, losses = trained(family, 40, 8)
    assert losses[-1] < 0.3 * losses[0]
    made, untouched = far(family, networks)
    assert made < 0.5 * untouched


@pytest.mark.slow
@pytest.mark.parametrize(("asked", "share"), [({}, 0.4), ({"content_style": True}, 0.8)])
def test_a_known_map_is_found_without_pairs(asked, share) -> None:
    family = toy(False, **asked)
    networks, losses = trained(family, 250, 16)
    assert losses[-1] < 0.5 * losses[0]
    made, untouched = far(family, networks)
    assert made < share * untouched
