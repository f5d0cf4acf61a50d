"""Few large denoising steps learned in a game: their Gaussians, exact gradients a record, and maps that are known."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from fedgen.families.contract import Family, objectives_of
from fedgen.families.denoising_gan.family import DenoisingGANFamily
from fedgen.families.denoising_gan.options import SPEC as CREATION
from fedgen.families.parts.adversarial import squared_slopes
from fedgen.families.parts.denoising.edm import precondition
from fedgen.families.parts.large_steps.step_levels import LargeSteps
from fedgen.families.parts.noise_records import noise_records
from fedgen.families.translate_diffusion.family import TranslateDiffusionFamily
from fedgen.families.translate_diffusion.options import SPEC as TRANSLATION
from fedgen.selftest.tasks import IMAGES
from fedgen.task.image_spec import ImageSpec
from fedgen.task.records import Records, one_image_each
from fedgen.task.task import PRESENT, Field, Task, image_of, translation
from fedgen.training.backends import BACKENDS, gradients_of
from fedgen.training.functional import trainable
from fedgen.training.soundness import unsound
from fedgen_privacy.gradients.protocol import records_of
from fedgen_privacy.gradients.tree import tree_map

T = 4
STEPS = LargeSteps.of(T)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def joint(t: int) -> tuple[Tensor, Tensor]:
    """Mean and covariance of (x_0, x_{t-1}, x_t) for x_0 ~ N(0.3, 0.5^2), by one forward step after another."""
    mean, cov = torch.tensor([0.3], dtype=torch.float64), torch.tensor([[0.25]], dtype=torch.float64)
    chain, a = torch.eye(1, dtype=torch.float64), STEPS.alpha_bar
    for s in range(1, t + 1):
        alpha = a[s] / a[s - 1]
        row = alpha.sqrt() * chain[-1:]
        chain = torch.cat([chain, row])
        grown = torch.zeros(s + 1, s + 1, dtype=torch.float64)
        grown[:s, :s] = cov
        grown[s, :s] = grown[:s, s] = alpha.sqrt() * cov[s - 1]
        grown[s, s] = alpha * cov[s - 1, s - 1] + 1 - alpha
        cov, mean = grown, torch.cat([mean, alpha.sqrt()[None] * mean[-1:]])
    which = torch.tensor([0, t - 1, t])
    return mean[which], cov[which][:, which]


@pytest.mark.parametrize("t", [1, 2, 3, 4])
def test_the_posterior_is_that_of_gaussians(t: int) -> None:
    """q(x_{t-1} | x_t, x_0) by conditioning a Gaussian of three numbers, built one forward step at a time."""
    mean, cov = joint(t)
    x_0, x_t = torch.tensor([[0.7]], dtype=torch.float64), torch.tensor([[-0.4]], dtype=torch.float64)
    at = torch.tensor([t])
    found, std = STEPS.posterior(x_0, x_t, at)
    if t == 1:
        assert found.item() == pytest.approx(0.7, abs=1e-12)
        assert std.item() == 0
        return
    own, given = torch.tensor([1]), torch.tensor([0, 2])
    gain = cov[own][:, given] @ torch.linalg.inv(cov[given][:, given])
    seen = torch.tensor([0.7, -0.4], dtype=torch.float64)
    assert found.item() == pytest.approx((mean[own] + gain @ (seen - mean[given])).item(), rel=1e-9)
    left = cov[own][:, own] - gain @ cov[given][:, own]
    assert std.item() ** 2 == pytest.approx(left.item(), rel=1e-9)
    assert STEPS.step_back(x_0, x_t, at, torch.ones(1, 1).double()).item() == pytest.approx(
        (found + std).item()
    )


def test_forward_steps_are_those_of_the_published_schedule() -> None:
    """beta_t = 1 - exp(-beta_min / T - (beta_max - beta_min) (2 t - 1) / (2 T^2)) (Xiao et al. 2022, appendix C)."""
    t = torch.arange(1, T + 1, dtype=torch.float64)
    beta = 1 - torch.exp(-0.1 / T - 0.5 * 19.9 * (2 * t - 1) / T**2)
    assert torch.allclose(STEPS.alpha_bar[1:], torch.cumprod(1 - beta, dim=0), rtol=1e-12)
    noise, ones = torch.ones(T, 1).double(), torch.ones(T, 1).double()
    steps = torch.arange(1, T + 1)
    assert torch.allclose(
        STEPS.further(ones, steps, noise)[:, 0], (1 - beta).sqrt() + beta.sqrt(), rtol=1e-12
    )
    assert torch.allclose(STEPS.noised(ones, steps * 0, noise), ones)
    x = STEPS.noised(ones, steps, noise)
    assert torch.allclose(STEPS.scaled(x, steps), ones + STEPS.sigma(steps, x)[:, None] * noise)


def best_guess(x_t: Tensor, t: Tensor, draws: torch.Generator) -> Tensor:
    """x_0 ~ q(x_0 | x_t) for x_0 ~ N(0.3, 0.5^2): what a generator that has won would draw."""
    sigma = STEPS.sigma(t, x_t)[:, None]
    x = STEPS.scaled(x_t, t)
    share = 0.25 / (0.25 + sigma**2)
    mean = 0.3 + share * (x - 0.3)
    return mean + (0.25 * (1 - share)).sqrt() * torch.randn(x.shape, generator=draws, dtype=x.dtype)


def test_steps_with_the_true_posterior_draw_the_data() -> None:
    """A known Gaussian is drawn exactly in four steps, where a mean in place of a draw has too little spread."""
    draws, n = rng(), 40000
    for fair in (True, False):
        x = torch.randn(n, 1, generator=draws, dtype=torch.float64)
        for number in range(T, 0, -1):
            t = torch.full((n,), number)
            guess = best_guess(x, t, draws)
            if not fair:
                sigma = STEPS.sigma(t, x)[:, None]
                guess = 0.3 + 0.25 / (0.25 + sigma**2) * (STEPS.scaled(x, t) - 0.3)
            x = STEPS.step_back(guess, x, t, torch.randn(n, 1, generator=draws, dtype=torch.float64))
        assert x.mean().item() == pytest.approx(0.3, abs=0.015)
        assert (x.std().item() == pytest.approx(0.5, abs=0.01)) is fair


def test_squared_slopes_are_each_images_own() -> None:
    """Of a quadratic critic a . x + |x|^2 / 2 the slope is a + x."""
    a, x = torch.randn(1, 2, 3, generator=rng(0)), torch.randn(5, 1, 2, 3, generator=rng(1))
    found = squared_slopes(lambda im: (im * a).flatten(1).sum(1) + im.flatten(1).square().sum(1) / 2, x)
    assert torch.allclose(found, (a + x).flatten(1).square().sum(dim=1), rtol=1e-5)


def creation(axes: int = 2, **options: Any) -> DenoisingGANFamily:
    task = image_of(
        IMAGES[axes],
        Field("class", "class", classes=("a", "b", "c")),
        Field("covariates", "covariates", parts=(1, 2)),
    )
    return DenoisingGANFamily(task, CREATION.small.model_copy(update=options))


def translating(axes: int = 2, **options: Any) -> TranslateDiffusionFamily:
    task = translation({"T1w": IMAGES[axes], "T2w": IMAGES[axes]}, ("FLAIR", IMAGES[axes]))
    return TranslateDiffusionFamily(
        task, TRANSLATION.small.model_copy(update={"adversarial": True, **options})
    )


def task_of(family: Family) -> Task:
    return objectives_of(family)[0].task  # type: ignore[attr-defined]


def records_for(family: Family) -> Records:
    """Patients with 2, 1 and 2 images, float64."""
    records = noise_records(task_of(family), (2, 1, 2), rng(5))
    return tree_map(lambda t: t.double() if t.is_floating_point() else t, records)


def drawn_for(objective: Any, K: int = 2) -> dict[str, Tensor]:
    drawn = objective.draw(3, 2, K, rng(7))
    return {name: d.double() if d.is_floating_point() else d for name, d in drawn.items()}


CASES = {
    "creation": (creation, {}),
    "translation": (translating, {"loss": "hinge"}),
    "creation, slopes": (creation, {"slope_penalty": 1.0, "distance_weight": 0.0}),
}
#: Of volumes the ordinary run takes one.
SLOW = {("translation", 3), ("creation, slopes", 3)}


@pytest.mark.parametrize(
    ("name", "axes"),
    [
        pytest.param(name, axes, marks=pytest.mark.slow if (name, axes) in SLOW else ())
        for name in CASES
        for axes in (2, 3)
    ],
)
def test_gradients_of_a_record_equal_a_loop_by_every_backend(name, axes, perturbed) -> None:
    make, options = CASES[name]
    family = make(axes, **options)
    networks, records = perturbed(family, torch.float64), records_for(family)
    for objective in objectives_of(family):
        assert objective.touches_data
        drawn, params = drawn_for(objective), trainable(objective, networks)
        values = {n: p.detach() for n, p in params.items()}
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
                own = torch.cat([found[n][b].flatten() for n in params])
                assert losses[b].item() == pytest.approx(loss.item(), rel=1e-9)
                assert (own - vector).norm() < 1e-9 * vector.norm()


@pytest.mark.parametrize("make", [creation, translating])
def test_the_losses_are_those_of_a_naive_loop(make, perturbed) -> None:
    """Row by row, with scalars of the schedule, for the game of cross-entropy."""
    family = make(slope_penalty=0.0, distance_weight=0.25)
    critic, generator = objectives_of(family)
    networks, records, task = perturbed(family, torch.float64), records_for(family), task_of(family)
    sigma_data = critic.options.sigma_data
    for objective in (critic, generator):
        drawn = drawn_for(objective, K=1)
        found = objective.loss(networks, records, drawn)
        for b in range(3):
            total = 0.0
            for m in range(2):
                if records.weights["patient"][b, m] > 0:
                    row = {n: d[b, m] for n, d in drawn.items()}
                    t = int(row["t"])
                    before, now = critic.steps.alpha_bar[t - 1], critic.steps.alpha_bar[t]
                    y = records.fields[task.makes[0].name][b, m][None]
                    if objective is critic:
                        x_before = before.sqrt() * y + (1 - before).sqrt() * row["noise"]
                        alpha = now / before
                        x_t = alpha.sqrt() * x_before + (1 - alpha).sqrt() * row["further"]
                    else:
                        x_t = now.sqrt() * y + (1 - now).sqrt() * row["noise"]
                    seen, told = given_by(task, records, b, m, row)
                    step = torch.nn.functional.one_hot(torch.tensor([t - 1]), critic.steps.count).double()
                    sigma = (1 / now - 1).sqrt()[None]
                    c = precondition(sigma, sigma_data)
                    x = x_t / now.sqrt()
                    F = networks["generator"](c.c_in[0] * x, c.c_noise, torch.cat([told, row["z"]], 1), seen)
                    guess = c.c_skip[0] * x + c.c_out[0] * F
                    mean = (
                        before.sqrt() * (1 - now / before) * guess
                        + (now / before).sqrt() * (1 - before) * x_t
                    ) / (1 - now)
                    std = ((1 - before) / (1 - now) * (1 - now / before)).sqrt()
                    made = mean + std * row["back"]
                    beside = [] if seen is None else [seen]

                    def logits(image, x_t=x_t, beside=beside, told=told, step=step) -> Tensor:
                        read = torch.cat([image, x_t, *beside], 1)
                        return networks["critic"](read, torch.cat([told, step], 1))[-1]

                    nothing = torch.nn.functional.softplus
                    loss = (
                        nothing(-logits(x_before)).mean() + nothing(logits(made)).mean()
                        if objective is critic
                        else nothing(-logits(made)).mean() + 0.25 * (guess - y).abs().mean()
                    )
                    total += records.weights["patient"][b, m].item() * loss.item()
            assert found[b].item() == pytest.approx(total, rel=1e-9)


def given_by(
    task: Task, records: Records, b: int, m: int, row: dict[str, Tensor]
) -> tuple[Tensor | None, Tensor]:
    """Pictures that are seen and the condition of one image; sources are left out as drawn."""
    fields = {n: f[b, m] for n, f in records.fields.items()}
    if not task.translates:
        kind = torch.nn.functional.one_hot(fields["class"], 3).double()
        return None, torch.cat([kind, fields["covariates"]])[None]
    there = fields["present"]
    kept = there * (row["left"][0] >= 0.25)
    kept = kept if kept.sum() > 0 else there
    maps = [torch.full((1, *task.stack.size), float(k)).double() for k in kept]
    pictures = [fields[s.name] * k for s, k in zip(task.sources, kept, strict=True)]
    return torch.cat([*pictures, *maps])[None], torch.zeros(1, 0).double()


@pytest.mark.parametrize("make", [creation, translating])
def test_what_a_patient_does_not_have_counts_nothing(make, perturbed) -> None:
    family = make()
    networks, records = perturbed(family, torch.float64), records_for(family)
    other = {name: tensor.clone() for name, tensor in records.fields.items()}
    for field in (*task_of(family).sources, *task_of(family).makes):
        other[field.name][records.weights["patient"] == 0] = 0.7
    for objective in objectives_of(family):
        drawn = drawn_for(objective)
        before = objective.loss(networks, records, drawn)
        assert before.shape == (3,)
        assert torch.equal(before, objective.loss(networks, records._replace(fields=other), drawn))
        with pytest.raises(ValueError, match="needs records"):
            objective.loss(networks, None, drawn)


@pytest.mark.parametrize("player", [pytest.param("generator", marks=pytest.mark.slow), "critic"])
def test_a_batch_norm_in_either_player_is_found(player) -> None:
    """The generator's is no less a patient's neighbour for being a constant of the critic's loss."""
    family = creation()
    networks, objectives = family.networks(), objectives_of(family)
    mixing = torch.nn.BatchNorm2d(1, track_running_stats=False)
    if player == "generator":
        networks[player].unet = Normed(networks[player].unet, mixing)
    else:
        networks[player].patches.final_conv.add_module("mixing", mixing)
    found = unsound(objectives, networks, task_of(family), "hooks")
    assert found is not None
    assert "mixing" in found.sentence


class Normed(torch.nn.Module):
    """A U-Net with a norm behind it."""

    def __init__(self, unet: torch.nn.Module, mixing: torch.nn.Module) -> None:
        super().__init__()
        self.unet, self.mixing = unet, mixing

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        made: Tensor = self.mixing(self.unet(*args, **kwargs))
        return made


def test_a_translation_sees_its_sources(perturbed) -> None:
    family = translating()
    networks = perturbed(family)
    given = {s.name: torch.rand(4, *s.spec.shape, generator=rng()) for s in task_of(family).sources}
    whole = family.sample(networks, given, 4, rng(3))
    assert whole.shape == (4, *IMAGES[2].shape)
    assert whole.abs().max() <= 1
    other = {**given, "T2w": given["T2w"].clone()}
    other["T2w"][3] *= -1
    moved = family.sample(networks, other, 4, rng(3))
    assert torch.allclose(whole[:3], moved[:3], atol=1e-5)
    assert not torch.allclose(whole[3], moved[3], atol=1e-3)
    assert family.attacks().keys() == {"loss", "error"}


def learned(family: Family, steps: int, records: Any) -> dict[str, torch.nn.Module]:
    torch.manual_seed(0)
    networks, draws = family.networks(), rng()
    optimizers = {
        o.name: torch.optim.Adam(
            trainable(o, networks).values(), lr=o.optimizer.learning_rate, betas=o.optimizer.betas
        )
        for o in objectives_of(family)
    }
    for _ in range(steps):
        batch = one_image_each(records(16, draws))
        for objective in objectives_of(family):
            optimizers[objective.name].zero_grad()
            objective.loss(networks, batch, objective.draw(16, 1, 1, draws)).mean().backward()
            optimizers[objective.name].step()
    return networks


def spots(n: int, draws: torch.Generator) -> dict[str, Tensor]:
    """Images with a bright spot at the left or at the right, by their class, somewhere along the height."""
    side, u = torch.randint(2, (n,), generator=draws), torch.linspace(-1, 1, 8)
    x = torch.where(side == 0, -0.5, 0.5) + 0.1 * torch.randn(n, generator=draws)
    y = 0.3 * torch.randn(n, generator=draws)
    distance = (u[None, None, :] - x[:, None, None]) ** 2 + (u[None, :, None] - y[:, None, None]) ** 2
    return {"image": 2 * torch.exp(-distance / 0.12)[:, None] - 1, "class": side}


@pytest.mark.slow
def test_a_spot_is_where_its_class_says() -> None:
    image = ImageSpec(channels=1, size=(8, 8))
    task = image_of(image, Field("class", "class", classes=("left", "right")))
    options = type(CREATION.small)(
        channels=(16, 16), attention=(False, False), latent_size=8, critic_layers=2, large_steps=4
    )
    family = DenoisingGANFamily(task, options)
    networks = learned(family, 400, spots)
    real, sides = spots(200, rng(2))["image"], torch.arange(64) % 2
    drawn = family.sample(networks, {"class": sides}, 64, rng(1))
    brighter = (drawn[..., 4:].mean(dim=(1, 2, 3)) > drawn[..., :4].mean(dim=(1, 2, 3))).long()
    assert (brighter == sides).float().mean() > 0.9
    assert abs(drawn.mean() - real.mean()) < 0.1
    # A spot, and not the mean of all; and not one and the same, though there is more variety among patients.
    nearest = torch.cdist(drawn.flatten(1), real.flatten(1)).min(dim=1).values.mean()
    assert nearest < 0.5 * torch.cdist(drawn.flatten(1), real.mean(dim=0).flatten()[None]).mean()
    assert drawn[::2].std(dim=0).mean() > 0.05


@pytest.mark.slow
def test_a_map_that_is_known_is_found() -> None:
    """The target is the negative of the first source, on images never seen."""

    def pairs(n: int, draws: torch.Generator) -> dict[str, Tensor]:
        coarse = torch.randn(n, 2, 4, 4, generator=draws).mul(0.7).clamp(-1, 1)
        fine = torch.nn.functional.interpolate(coarse, size=(16, 16), mode="bilinear")
        return {"T1w": fine[:, :1], "T2w": fine[:, 1:], "FLAIR": -fine[:, :1], PRESENT: torch.ones(n, 2)}

    family = translating(channels=(16, 16), source_dropout=0.0, large_steps=4, critic_channels=8)
    networks = learned(family, 250, pairs)
    new = pairs(16, rng(9))
    made = family.sample(networks, new, 16, rng(1))
    right, wrong = ((made - target).abs().mean().item() for target in (new["FLAIR"], new["FLAIR"].roll(1, 0)))
    assert right < 0.5 * wrong


def test_a_game_is_of_edm() -> None:
    for asked in ({"parametrization": "v", "linear_denoisers": False}, {"label_dropout": 0.1}):
        with pytest.raises(ValueError, match="adversarial steps have the parametrization edm"):
            type(TRANSLATION.small)(adversarial=True, **asked)
