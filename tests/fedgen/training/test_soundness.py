"""Layers and losses that mix patients or remember them are found by what they do, and named; sound ones pass."""

from __future__ import annotations

from collections import deque

import pytest
import torch
from monai.networks.nets import VQVAE
from torch import nn
from torch.nn.functional import cross_entropy, normalize

from fedgen.families.contract import Adam, Objective
from fedgen.families.parts.noise_records import noise_records
from fedgen.task.image_spec import ImageSpec
from fedgen.task.task import PRESENT, Field, image_of, image_of_class, pairs_of, translation
from fedgen.training.soundness import unsound

TASK = image_of_class(ImageSpec(channels=2, size=(8, 8)), ("none", "lesion"))


class Energy(Objective):
    """Mean square of what the network makes of a patient's images."""

    name = "energy"
    updates = ("net",)
    touches_data = True
    loss_bound = 1.0
    optimizer = Adam(1e-3)

    def draw(self, B, M, K, rng):
        return {"noise": torch.randn(B, M, K, generator=rng)}

    def loss(self, networks, records, draws):
        B, M = records.weights["patient"].shape
        made = networks["net"](records.fields["image"].flatten(0, 1))
        made = made[0] if isinstance(made, tuple) else made
        return (made.flatten(1).square().mean(dim=1).reshape(B, M) * records.weights["patient"]).sum(dim=1)


class Contrastive(Energy):
    """InfoNCE (van den Oord et al. 2018) between patients."""

    def loss(self, networks, records, draws):
        z = normalize(networks["net"](records.fields["image"][:, 0]).flatten(1), dim=1)
        return cross_entropy(z @ z.T / 0.1, torch.arange(len(z)), reduction="none")


class Remembering(Energy):
    """Keeps what it saw, beside its networks."""

    def __init__(self):
        self.queue = deque(maxlen=4)

    def loss(self, networks, records, draws):
        losses = super().loss(networks, records, draws) + sum(self.queue)
        self.queue.append(records.fields["image"].mean().detach())
        return losses


class Hidden(Energy):
    """The others' part has no value, and yet a gradient."""

    def loss(self, networks, records, draws):
        losses = super().loss(networks, records, draws)
        weighted = losses * losses.mean().detach()
        return losses + weighted - weighted.detach()


class Mirrored(nn.Module):
    """Every image mixed with one other."""

    def forward(self, x):
        return 0.9 * x + 0.1 * x.flip(0)


class MinibatchDiscrimination(nn.Module):
    """Salimans et al. 2016, section 3.2."""

    def __init__(self):
        super().__init__()
        self.tensor = nn.Linear(2 * 64, 3 * 4)

    def forward(self, x):
        m = self.tensor(x.flatten(1)).unflatten(1, (3, 4))
        near = (-(m[:, None] - m[None]).abs().sum(dim=3)).exp().sum(dim=1)
        return torch.cat([x.flatten(1), near], dim=1)


class Codebook(nn.Module):
    """A moving average of what it saw, written past torch's own count of writes."""

    def __init__(self):
        super().__init__()
        self.register_buffer("centre", torch.zeros(2, 1, 1))

    def forward(self, x):
        self.centre.data = 0.9 * self.centre.data + 0.1 * x.detach().mean(dim=(0, 2, 3))[:, None, None]
        return x - self.centre


class Attribute(nn.Module):
    """The same in a plain attribute."""

    def __init__(self):
        super().__init__()
        self.seen = torch.zeros(())

    def forward(self, x):
        self.seen = 0.9 * self.seen + 0.1 * x.detach().mean()
        return x - self.seen


def behind(layer, *, training=True):
    return {"net": nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), layer, nn.Flatten()).train(training)}


def found(networks, objective=None, backend="vmap"):
    return unsound((objective or Energy(),), networks, TASK, backend)


MIXES, WRITES = "lets one patient's images change", "keeps something of the patients' images"
USE_NORM = "use GroupNorm or InstanceNorm"
UNSOUND = {
    "BatchNorm": (lambda: nn.BatchNorm2d(2), WRITES, USE_NORM),
    "BatchNorm without statistics": (
        lambda: nn.BatchNorm2d(2, track_running_stats=False),
        MIXES,
        USE_NORM,
    ),
    "minibatch discrimination": (MinibatchDiscrimination, MIXES, "leave minibatch discrimination out"),
    "mixed images": (Mirrored, MIXES, "looks at one row at a time"),
    "EMA codebook": (Codebook, WRITES, "train the codebook by its gradient"),
    "a plain attribute": (Attribute, WRITES, "in its seen"),
    "InstanceNorm that remembers": (
        lambda: nn.InstanceNorm2d(2, track_running_stats=True),
        WRITES,
        "do not let it track running statistics",
    ),
}


@pytest.mark.parametrize("backend", ["vmap", "hooks"])
@pytest.mark.parametrize("what", UNSOUND)
def test_an_unsound_layer_is_found_and_named(what, backend) -> None:
    layer, why, instead = UNSOUND[what]
    sentence = found(behind(layer()), backend=backend).sentence
    assert f"layer 1 ({type(layer()).__name__}) of its network net {why}" in sentence
    assert instead in sentence


@pytest.mark.parametrize("backend", ["vmap", "hooks"])
@pytest.mark.parametrize(
    "layer",
    [nn.GroupNorm(1, 2), nn.InstanceNorm2d(2, affine=True), nn.LayerNorm((2, 8, 8)), nn.Conv2d(2, 3, 1)],
    ids=lambda layer: type(layer).__name__,
)
def test_sound_layers_pass(layer, backend) -> None:
    assert found(behind(layer), backend=backend) is None


def test_what_is_checked_is_the_mode_in_which_it_is_trained() -> None:
    """In eval mode batch norm is a constant; it never learns what it was made for, but it mixes nobody."""
    assert found(behind(nn.BatchNorm2d(2), training=False)) is None
    assert USE_NORM in found(behind(nn.BatchNorm2d(2), training=True)).sentence


def test_monais_codebook_is_found() -> None:
    net = VQVAE(
        spatial_dims=2,
        in_channels=2,
        out_channels=2,
        channels=(4,),
        num_res_channels=(4,),
        num_res_layers=1,
        downsample_parameters=((2, 4, 1, 1),),
        upsample_parameters=((2, 4, 1, 1, 0),),
        num_embeddings=4,
        embedding_dim=3,
    )
    sentence = found({"net": net.train()}).sentence
    assert "EMAQuantizer" in sentence and "train the codebook by its gradient" in sentence


def test_what_is_noted_down_and_never_read_is_no_memory() -> None:
    class Noting(nn.Module):
        def forward(self, x):
            self.brightest = x.detach().amax()
            return x

    assert found(behind(Noting()), backend="hooks") is None


@pytest.mark.parametrize("backend", ["vmap", "hooks"])
def test_a_loss_that_compares_patients_is_found(backend) -> None:
    sentence = found(behind(nn.Identity()), Contrastive(), backend).sentence
    assert sentence.startswith(f"the loss of its objective energy {MIXES}")


@pytest.mark.parametrize("backend", ["vmap", "hooks"])
def test_a_loss_that_remembers_is_found(backend) -> None:
    objective = Remembering()
    assert "(in its queue)" in found(behind(nn.Identity()), objective, backend).sentence
    assert not objective.queue, "the family's own objective must not be touched"


def test_a_gradient_that_mixes_is_found_where_the_value_does_not() -> None:
    """By vmap nobody else is there when a patient's gradient is taken."""
    assert MIXES in found(behind(nn.Identity()), Hidden(), "hooks").sentence


def test_the_networks_are_as_before() -> None:
    networks = behind(Codebook())
    before = {name: tensor.clone() for name, tensor in networks["net"].state_dict().items()}
    assert found(networks) is not None
    assert all(torch.equal(tensor, before[name]) for name, tensor in networks["net"].state_dict().items())


def test_a_loss_that_cannot_be_differentiated_patient_by_patient_is_said() -> None:
    class Branching(nn.Module):
        def forward(self, x):
            return x if float(x.detach().sum()) > 0 else -x

    assert "by training.gradients vmap" in found(behind(Branching())).sentence
    assert found(behind(Branching()), backend="hooks") is None


def test_an_objective_without_data_is_not_asked() -> None:
    objective = Contrastive()
    objective.touches_data = False
    assert found(behind(nn.Identity()), objective) is None


SPEC = ImageSpec(channels=1, size=(4, 4))
COVARIATES = Field("covariates", "covariates", parts=(1, 2))


@pytest.mark.parametrize(
    "task",
    [
        image_of(SPEC),
        image_of(SPEC, COVARIATES, Field("embedding", "embedding", parts=(3,))),
        pairs_of(SPEC, ("lung", "heart"), Field("class", "class", classes=("a", "b"))),
        translation({"T1w": SPEC, "T2w": SPEC}, ("FLAIR", SPEC)),
        translation({"T1w": SPEC}, ("FLAIR", SPEC), paired=False),
    ],
)
def test_records_of_noise_have_every_field_and_are_ragged(task) -> None:
    records = noise_records(task, (3, 1, 2), torch.Generator().manual_seed(0))
    assert set(records.fields) - {PRESENT} == {field.name for field in (*task.makes, *task.given)}
    assert set(records.weights) == {field.group for field in (*task.makes, *task.given)}
    for weights in records.weights.values():
        assert torch.allclose(weights.sum(dim=1), torch.ones(3))
    absent = ~(next(iter(records.weights.values())) > 0)
    for field in (*task.makes, *task.given):
        tensor = records.fields[field.name]
        assert tensor.shape[:2] == (3, 3)
        assert float(tensor.abs().max()) <= max(1, len(field.classes) - 1)
        assert not tensor[absent].any()
    if PRESENT in records.fields:
        present = records.fields[PRESENT]
        assert present.shape == (3, 3, len(task.sources))
        assert torch.equal(present.any(dim=2), ~absent)
        for s, field in enumerate(task.sources):
            assert torch.equal(records.fields[field.name].flatten(2).any(dim=2), present[:, :, s] > 0)
