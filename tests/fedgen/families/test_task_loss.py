"""What a public segmenter marks is kept: read from a file, per record by every backend, and a structure that is lost
without it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.networks.nets import UNet
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from fedgen.errors import DataError, StudyError
from fedgen.families.contract import objectives_of
from fedgen.families.parts.task_loss import Segmenter, task_distance
from fedgen.families.parts.task_loss_options import TaskLoss
from fedgen.families.translate_gan.family import TranslateGANFamily
from fedgen.families.translate_gan.options import SPEC, TranslateGANOptions
from fedgen.pipeline.privacy import privacy_report
from fedgen.recipe import Recipe
from fedgen.selftest.tasks import IMAGES, tasks
from fedgen.study.study import Study
from fedgen.task.image_spec import ImageSpec
from fedgen.task.records import Records
from fedgen.task.task import translation
from fedgen.training.backends import BACKENDS, gradients_of
from fedgen.training.functional import trainable
from fedgen.training.soundness import unsound
from fedgen_privacy.gradients.protocol import records_of

WIDTHS: dict[str, Any] = {"channels": (4, 8), "strides": (2,)}


def network(dimensions: int = 2, classes: int = 2, **of: Any) -> nn.Module:
    torch.manual_seed(3)
    made: Any = UNet(dimensions, 1, classes, **{**WIDTHS, **of})
    return made.eval()


def put(folder: Path, module: nn.Module, **said: Any) -> TaskLoss:
    """The network's file in the folder of given weights, and what a study says of it."""
    content = save({name: own.contiguous() for name, own in module.state_dict().items()})
    sha256 = hashlib.sha256(content).hexdigest()
    (folder / f"{sha256}.safetensors").write_bytes(content)
    return TaskLoss(**{"options": WIDTHS, "sha256": sha256, "source": "made in this test", **said})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEDGEN_WEIGHTS", str(tmp_path))
    return tmp_path


def segmenter(asked: TaskLoss, side: int = 16) -> Segmenter:
    """Of images of that side, read."""
    found = Segmenter(asked, ImageSpec(channels=1, size=(side, side)))
    found.read(torch.device("cpu"))
    return found


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_what_is_marked_alike_is_at_no_distance_and_each_row_alone() -> None:
    a, b = 3 * noise(4, 3, 8, 8), 3 * noise(4, 3, 8, 8, seed=1)
    assert torch.allclose(task_distance(a, a), torch.zeros(4), atol=1e-6)
    assert (task_distance(a, b) > 0.01).all()
    alone = torch.cat([task_distance(a[i : i + 1], b[i : i + 1]) for i in range(4)])
    assert torch.allclose(task_distance(a, b), alone, atol=1e-6)
    naive = torch.zeros(4, dtype=torch.float64)
    p, q = a.double().softmax(1), b.double().softmax(1)
    for r in range(4):
        for c in range(3):
            share = sum(
                q[r, c, y, x] * (q[r, :, y, x] * (q[r, :, y, x] / p[r, :, y, x]).log()).sum()
                for y in range(8)
                for x in range(8)
            )
            naive[r] += share / (q[r, c].sum() + 1) / 3
    assert torch.allclose(task_distance(a, b).double(), naive, rtol=1e-5)


def test_a_small_structure_counts_like_a_large_one() -> None:
    """Missed in full; by a mean over pixels the small one would count a sixteenth."""

    def missed(side: int) -> float:
        inside = torch.zeros(1, 1, 32, 32)
        inside[..., :side, :side] = 1
        real = torch.cat([-4 * inside + 4 * (1 - inside), 4 * inside - 4 * (1 - inside)], dim=1)
        return float(task_distance(torch.tensor([4.0, -4.0]).reshape(1, 2, 1, 1).expand_as(real), real))

    assert missed(4) == pytest.approx(missed(16), rel=0.1)


def test_a_segmenter_is_read_from_its_file_alone(folder: Path) -> None:
    module = network()
    asked = put(folder, module, mean=0.5, std=2.0)
    before = torch.random.get_rng_state()
    found = segmenter(asked)
    x = noise(2, 1, 16, 16)
    assert torch.allclose(found(x), module((x - 0.5) / 2), atol=1e-6)
    assert torch.equal(before, torch.random.get_rng_state())
    # Of a slice with its neighbours the slice.
    assert torch.equal(found(torch.cat([x.flip(0), x, x.flip(0)], dim=1)), found(x))
    assert found(x.double()).dtype == torch.float64
    with pytest.raises(ValueError, match="read before"):
        Segmenter(asked, ImageSpec(channels=1, size=(16, 16)))(x)
    absent = asked.model_copy(update={"sha256": "0" * 64})
    with pytest.raises(DataError, match="not on this machine"):
        segmenter(absent)
    (folder / f"{'0' * 64}.safetensors").write_bytes(b"of another hash")
    with pytest.raises(StudyError, match="has the sha256"):
        segmenter(absent)


def test_what_does_not_fit_is_refused(folder: Path) -> None:
    module = network()
    asked = put(folder, module)
    for said, reason in (
        ({"classes": 3}, "do not fit UNet"),
        ({"options": {"channels": (4, 8, 8), "strides": (2, 2)}}, "do not fit UNet"),
        ({"options": {"no_such_option": 1}}, "makes no UNet"),
        ({"architecture": "SegResNet", "options": {}}, "do not fit SegResNet"),
    ):
        with pytest.raises(DataError, match=reason):
            segmenter(asked.model_copy(update=said))
    with pytest.raises(DataError, match="does not mark each pixel"):
        segmenter(asked, 17)
    with torch.no_grad():
        next(module.parameters()).fill_(float("nan"))
    with pytest.raises(DataError, match="not finite"):
        segmenter(put(folder, module))


#: Of the families' tasks, with options.
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "pairs": ("translation", {}),
    "cycles": ("unpaired", {}),
    "styles": ("unpaired", {"content_style": True}),
}
#: Of both numbers of axes, of which the ordinary run takes two, by the backend that is the faster there.
CASES = [
    pytest.param(way, axes, marks=pytest.mark.slow if axes == 3 or way == "styles" else ())
    for way in WAYS
    for axes in IMAGES
]


def family_of(way: str, axes: int, task_loss: TaskLoss | None) -> TranslateGANFamily:
    what, asked = WAYS[way]
    options = TranslateGANOptions(**{**SPEC.small.model_dump(), **asked, "task_loss": task_loss})
    return TranslateGANFamily(tasks(axes)[what], options)


@pytest.mark.parametrize(("way", "axes"), CASES)
def test_gradients_of_a_record_equal_a_loop_and_the_gate_finds_them_sound(
    way, axes, folder, perturbed, ragged
) -> None:
    family = family_of(way, axes, put(folder, network(axes), weight=3.0))
    plain = family_of(way, axes, None)
    networks, objective = perturbed(family, torch.float64), objectives_of(family)[-1]
    # Nothing of the segmenter is trained or sent.
    assert {n: len(list(m.parameters())) for n, m in networks.items()} == {
        n: len(list(m.parameters())) for n, m in plain.networks().items()
    }
    records = ragged(torch.float64, family.task)
    drawn = {n: t.double() for n, t in objective.draw(4, 3, 2, torch.Generator().manual_seed(7)).items()}
    params = trainable(objective, networks)
    values = {name: p.detach() for name, p in params.items()}
    whole = {
        backend: next(gradients_of(objective, networks, backend)(values, (records, drawn), chunk=4))
        for backend in BACKENDS
    }
    more = objective.loss(networks, records, drawn) - objectives_of(plain)[-1].loss(networks, records, drawn)
    assert (more > 1e-4).all()
    for b in range(4):
        loss = objective.loss(networks, *records_of((records, drawn), b, b + 1))
        expected = torch.cat([g.flatten() for g in torch.autograd.grad(loss.sum(), list(params.values()))])
        for found, losses in whole.values():
            own = torch.cat([found[name][b].flatten() for name in params])
            assert losses[b].item() == pytest.approx(loss.item(), rel=1e-9)
            assert (own - expected).norm() < 1e-9 * expected.norm()
    single = {name: net.float() for name, net in networks.items()}
    assert unsound(objectives_of(family), single, family.task, "hooks") is None


def test_the_gate_finds_a_segmenter_that_mixes_patients(folder, monkeypatch) -> None:
    family = family_of("pairs", 2, put(folder, network()))
    asked = Segmenter.__call__
    monkeypatch.setattr(
        Segmenter, "__call__", lambda self, x: asked(self, x) - asked(self, x).mean(dim=0, keepdim=True)
    )
    found = unsound(objectives_of(family), family.networks(), family.task, "vmap")
    assert found is not None and found.objective == "translator"


def test_a_site_without_the_file_refuses_before_anything_is_read(folder, other_tasks) -> None:
    asked = put(folder, network())
    sections = other_tasks["translate_gan"]
    study = Study.model_validate(
        {
            **sections,
            "study": {"name": "test"},
            "aggregation": {"secure": False},
            "privacy": {"mode": "none"},
            "data": {"image_size": (16, 16), **sections.get("data", {})},
            "model": {
                "family": "translate_gan",
                "translate_gan": {**SPEC.small.model_dump(), "task_loss": asked.model_dump()},
            },
        }
    )
    recipe = Recipe.of(study)
    recipe.require_sound()
    said = privacy_report(recipe, [], {}, 0).statement
    assert f"(sha256 {asked.sha256})" in said and said.endswith("trained on: made in this test.")
    (folder / f"{asked.sha256}.safetensors").unlink()
    with pytest.raises(DataError, match="not on this machine"):
        recipe.require_sound()


def scene(n: int, rng: torch.Generator, spots: float) -> tuple[Tensor, Tensor]:
    """Heads (n, 16, 16), and in so many of them a spot of some five pixels somewhere inside."""
    u = torch.arange(16).float()
    radius, centre = 5 + 1.5 * torch.rand(n, generator=rng), 7 + 1.5 * torch.rand(n, 2, generator=rng)
    angle, far = 6.28 * torch.rand(n, generator=rng), 2.5 * torch.rand(n, generator=rng).sqrt()
    place = centre + torch.stack([far * angle.sin(), far * angle.cos()], dim=1)

    def distance(to: Tensor) -> Tensor:
        return ((u[None, :, None] - to[:, :1, None]) ** 2 + (u[None, None, :] - to[:, 1:, None]) ** 2).sqrt()

    head = torch.sigmoid((radius[:, None, None] - distance(centre)) * 3)
    has = (torch.rand(n, generator=rng) < spots).float()
    return head, (distance(place) < 1.3).float() * has[:, None, None]


def source_of(head: Tensor, spot: Tensor) -> Tensor:
    """Where the spot is dark."""
    return (-1 + 1.3 * head - 0.5 * spot)[:, None].clamp(-1, 1)


def target_of(head: Tensor, spot: Tensor) -> Tensor:
    """Where it is as bright as nothing else."""
    return (-1 + 0.8 * head + SHOWN * spot)[:, None].clamp(-1, 1)


#: How much brighter than the head the spot is in a target.
SHOWN = 1.1


def public_segmenter(folder: Path) -> TaskLoss:
    """Of spots in targets, learned from public scenes."""
    module, rng = network(channels=(8, 16)), torch.Generator().manual_seed(77)
    optimizer = torch.optim.Adam(module.parameters(), 1e-2)
    for _ in range(80):
        head, spot = scene(16, rng, 0.7)
        rare = torch.tensor([1.0, 5.0])
        loss = cross_entropy(module(target_of(head, spot)), spot.long(), weight=rare)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    head, spot = scene(64, rng, 1.0)
    marked = module(target_of(head, spot)).argmax(dim=1)
    assert 2 * (marked * spot).sum() > 0.8 * (marked.sum() + spot.sum())
    return put(folder, module, options={**WIDTHS, "channels": (8, 16)}, weight=0.5)


def shown(task_loss: TaskLoss | None, seed: int) -> float:
    """How much brighter than its head a spot of new patients is in what a short training makes of their sources."""
    image = ImageSpec(channels=1, size=(16, 16))
    options = TranslateGANOptions(
        channels=(8, 8, 16), adversarial_weight=0, learning_rate=3e-3, task_loss=task_loss
    )
    family = TranslateGANFamily(translation({"T1w": image}, ("FLAIR", image)), options)
    torch.manual_seed(seed)
    rng, networks, (objective,) = (
        torch.Generator().manual_seed(seed),
        family.networks(),
        objectives_of(family),
    )
    optimizer = torch.optim.Adam(trainable(objective, networks).values(), lr=3e-3)
    for _ in range(40):
        head, spot = scene(8, rng, 0.5)
        images = {"T1w": source_of(head, spot)[:, None], "FLAIR": target_of(head, spot)[:, None]}
        records = Records(images, {"patient": torch.ones(8, 1)})
        loss = objective.loss(networks, records, objective.draw(8, 1, 1, rng)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    head, spot = scene(64, torch.Generator().manual_seed(9), 1.0)
    made = family.sample(networks, {"T1w": source_of(head, spot)}, 64, rng)[:, 0]
    around = (head > 0.9) & (spot == 0)
    return float((made[spot > 0].mean() - made[around].mean()).detach())


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_structure_is_lost_without_it_and_kept_with_it(seed, folder) -> None:
    """Five pixels are nothing to a mean over pixels, and half of what the segmenter looks at."""
    assert abs(shown(None, seed)) < 0.15 * SHOWN
    assert shown(public_segmenter(folder), seed) > 0.35 * SHOWN
