"""A prior whose space is a network's: the same contract, the same refusals, and each image for itself."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from safetensors.torch import load, save
from torch import nn
from typer.testing import CliRunner

from fedgen.cli.main import app
from fedgen.errors import DataError, StudyError
from fedgen.families.latent.family import LatentFamily
from fedgen.families.latent.options import LatentOptions
from fedgen.priors.autoencoder import AutoencoderSpace, network_of
from fedgen.priors.build import Said, of_autoencoder, of_images
from fedgen.priors.card import CodeNetwork
from fedgen.priors.file import read_prior
from fedgen.priors.fit import fit
from fedgen.priors.linear_space import LinearSpace
from fedgen.priors.train import network_for, trained
from fedgen.run.tensors import KEY, metadata
from fedgen.selftest.subject import CLASSES
from fedgen.selftest.sums import SUM_CHECKS, SumSubject
from fedgen.task.image_spec import ImageSpec
from fedgen.task.task import image_of_class

SAID = Said("random blobs", "CC0-1.0", ("north",))
SMALL = CodeNetwork(channels=(8, 8), code_channels=2, steps=10)


def blobs(n: int, *size: int) -> np.ndarray:
    """Bright blobs anywhere on gray: (n, 1, *size)."""
    rng = np.random.default_rng(2)
    grids = np.meshgrid(*(np.linspace(-1, 1, side) for side in size), indexing="ij")
    places = rng.uniform(-0.6, 0.6, (n, len(size)))
    squares = [sum((g - p) ** 2 for g, p in zip(grids, place, strict=True)) for place in places]
    images = np.exp(-np.stack(squares) / 0.1)[:, None] - 0.5 + 0.02 * rng.normal(size=(n, 1, *size))
    return images.clip(-1, 1).astype(np.float32)


@pytest.fixture(scope="module")
def content() -> bytes:
    """A prior of 24 images of 16 x 16, hardly trained."""
    return of_autoencoder(blobs(24, 16, 16), 3, 4, SAID, 10)


@pytest.fixture
def path(content, tmp_path):
    """Its file."""
    file = tmp_path / "a.safetensors"
    file.write_bytes(content)
    return file


def test_a_file_holds_the_space_that_was_trained(path) -> None:
    images = blobs(24, 16, 16)
    made = read_prior(path)
    unseen = [9, 19]
    seen = np.delete(images, unseen, axis=0)
    prior, _ = trained(seen, 3, 0, network_for((16, 16), 10))
    x = torch.from_numpy(images)
    z = prior.space.encode(x)
    assert (prior.d, prior.shape, made.prior.d, made.prior.shape) == (3, (1, 16, 16)) * 2
    assert torch.allclose(made.prior.space.encode(x), z, atol=1e-5)
    assert torch.allclose(made.prior.space.decode(z), prior.space.decode(z), atol=1e-5)
    assert torch.allclose(made.prior.donors, fit(images, 3, 4)[0].donors, atol=1e-3)
    card = made.card
    assert (card.kind, card.images, card.components, card.donors) == ("autoencoder", 24, 3, 4)
    assert card.network == CodeNetwork(channels=(16, 32), steps=10)
    # What is said to be told again is of images that were not seen, and so are the plain components beside it.
    middle = torch.from_numpy(seen.mean(axis=0))
    variance = float((x[unseen] - middle).square().sum())
    shares = [
        1 - float(space.residuals(x[unseen]).square().sum()) / variance
        for space in (prior.space, fit(seen, 3, 0)[0].space)
    ]
    assert card.explained == pytest.approx(min(1, max(0, shares[0])), abs=1e-4)
    assert "on 22 images, and first 3 principal components of its code" in card.made_of
    assert (
        f"of 2 images kept from it, where as many components of pixels tell {shares[1]:.0%}" in card.made_of
    )


def test_public_latents_have_variance_1_and_mean_0(path) -> None:
    seen = np.delete(blobs(24, 16, 16), [9, 19], axis=0)
    z = read_prior(path).prior.space.encode(torch.from_numpy(seen)).double()
    assert torch.cov(z.T).numpy() == pytest.approx(np.eye(3), abs=2e-3)
    assert z.mean(dim=0).numpy() == pytest.approx(np.zeros(3), abs=2e-3)


def test_the_first_entries_of_a_latent_stay_what_they_are(path) -> None:
    prior = read_prior(path).prior
    x = torch.from_numpy(blobs(24, 16, 16))
    assert torch.allclose(prior.first(2).space.encode(x), prior.space.encode(x)[:, :2], atol=1e-6)
    with pytest.raises(StudyError, match=r"has 3 components.*latent of 4"):
        prior.first(4)


def test_nothing_of_it_is_trained_or_sent(path) -> None:
    prior = read_prior(path).prior
    assert not list(prior.space.parameters())
    task = image_of_class(ImageSpec(channels=1, size=(16, 16)), CLASSES)
    family = LatentFamily(task, LatentOptions(latent_size=3)).on(prior)
    network = family.networks()["latent"]
    assert {key for key, _ in network.named_parameters()} == {"shares", "means", "covariance", "known"}
    drawn = family.sample(
        {"latent": network}, {"class": torch.tensor([0, 1, 1])}, 3, torch.Generator().manual_seed(0)
    )
    assert drawn.shape == (3, 1, 16, 16)
    assert float(drawn.abs().max()) <= 1


@pytest.mark.parametrize("axes", [2, 3])
def test_every_check_of_a_sum_passes_in_its_space(axes) -> None:
    size = (16, 16) if axes == 2 else (8, 8, 8)
    images = blobs(12, *size)
    prior, _ = trained(images, 3, 4, SMALL)
    image = ImageSpec(channels=1, size=size)
    # A normalised network makes little of noise, however strong it is: a small radius is within its reach.
    options = LatentOptions(latent_size=3, radius=0.1)
    task = image_of_class(image, CLASSES)
    family = LatentFamily(task, options).on(prior)
    subject = SumSubject("latent", family.networks, family.statistic, task)
    for check in SUM_CHECKS:
        assert check(subject).passed, check(subject)


def test_a_space_that_looks_at_its_batch_is_caught() -> None:
    """The check above has the power to see it."""
    prior, _ = trained(blobs(12, 16, 16), 3, 4, network_for((16, 16), 10))
    space = prior.space
    norms = [module for module in space.network.modules() if isinstance(module, nn.GroupNorm)]
    for parent in list(space.network.modules()):
        for name, child in list(parent.named_children()):
            if child in norms:
                setattr(
                    parent, name, nn.BatchNorm2d(child.num_channels, affine=False, track_running_stats=False)
                )
    image = ImageSpec(channels=1, size=(16, 16))
    task = image_of_class(image, CLASSES)
    family = LatentFamily(task, LatentOptions(latent_size=3)).on(prior)
    own, *_ = SUM_CHECKS
    assert not own(SumSubject("latent", family.networks, family.statistic, task)).passed


@pytest.mark.slow
def test_it_learns_what_components_of_pixels_cannot_say() -> None:
    images = blobs(64, 16, 16)
    _, linear = fit(images, 2, 0)
    _, learned = trained(images, 2, 0, SMALL.model_copy(update={"steps": 120}))
    assert learned > linear + 0.1


WRONG = {
    r"lacks network/": lambda t: {k: v for k, v in t.items() if "decoder.blocks.0" not in k},
    r"has network/extra, which no prior has": lambda t: {**t, "network/extra": torch.ones(1)},
    r"has mean in the shape \(1, 16, 16\)": lambda t: {**t, "mean": torch.zeros(1, 16, 16)},
    r"has values in network/.* that are not finite": lambda t: {
        k: v * float("nan") if k == "network/quant_conv_mu.conv.weight" else v for k, v in t.items()
    },
    r"has network/quant_conv_mu.conv.weight as torch.float64": lambda t: {
        k: v.double() if k == "network/quant_conv_mu.conv.weight" else v for k, v in t.items()
    },
    r"has a standard deviation that is not above 0": lambda t: {**t, "spread": -t["spread"]},
    r"has components that are not orthonormal": lambda t: {**t, "components": 2 * t["components"]},
}


@pytest.mark.parametrize("why", WRONG)
def test_a_file_that_is_not_what_its_card_says_is_refused(content, path, why) -> None:
    path.write_bytes(save(WRONG[why](load(content)), metadata={KEY: str(metadata(content))}))
    with pytest.raises(DataError, match=f"not what its card says .{why}"):
        read_prior(path)


def test_latents_that_are_not_finite_are_refused_before_a_patient_is_asked(content, path) -> None:
    tensors = load(content)
    tensors["network/quant_conv_mu.conv.weight"] = torch.full_like(
        tensors["network/quant_conv_mu.conv.weight"], 3e38
    )
    path.write_bytes(save(tensors, metadata={KEY: str(metadata(content))}))
    with pytest.raises(DataError, match="latents or images that are not finite"):
        read_prior(path)


def test_a_card_without_its_network_or_with_an_impossible_one_is_refused(content, path) -> None:
    card = json.loads(str(metadata(content)))
    network = card["network"]
    for changed in (
        {**card, "network": None},
        {**card, "kind": "pca"},
        {**card, "network": {**network, "groups": 5}},
        {**card, "network": {**network, "channels": [1 << 20]}},
        {**card, "size": [16, 15]},
    ):
        path.write_bytes(save(load(content), metadata={KEY: json.dumps(changed)}))
        with pytest.raises(DataError, match=r"card of .* cannot be read"):
            read_prior(path)
    linear = of_images(blobs(24, 16, 16), 3, 4, SAID)
    path.write_bytes(save(load(linear), metadata={KEY: json.dumps(card)}))
    with pytest.raises(DataError, match="not what its card says"):
        read_prior(path)


def test_images_that_cannot_be_halved_are_refused() -> None:
    assert network_for((64, 64), 1).channels == (16, 32, 64, 64)
    assert network_for((32, 48), 1).channels == (16, 32, 64)
    assert network_for((28, 28), 1).channels == (16, 32)
    for size in ((15, 16), (12, 12)):
        with pytest.raises(StudyError, match="cannot be halved"):
            network_for(size, 1)
    with pytest.raises(ValidationError, match="groups 8 must divide"):
        CodeNetwork(channels=(12,), steps=1)
    with pytest.raises(DataError, match="more images than components"):
        trained(blobs(3, 16, 16), 3, 0, network_for((16, 16), 1))
    with pytest.raises(DataError, match="9 images are too few for an autoencoder"):
        of_autoencoder(blobs(9, 16, 16), 3, 0, SAID, 10)


def test_weights_are_of_the_network_alone() -> None:
    torch.manual_seed(1)
    network = network_of(CodeNetwork(channels=(8, 16), steps=1), 1, 2)
    code = LinearSpace(torch.zeros(4, 8, 8), torch.eye(256)[:2].reshape(2, 4, 8, 8), torch.ones(2))
    names = {f"network/{name}" for name in network.state_dict()} | {"middle", "spread"}
    space = AutoencoderSpace(network, code, torch.zeros(1, 16, 16), torch.ones(1))
    assert space.tensors().keys() == names | code.tensors().keys()


@pytest.mark.slow
def test_the_command_trains_and_shows(tmp_path) -> None:
    folder, out, png = tmp_path / "images", tmp_path / "a.safetensors", tmp_path / "a.png"
    folder.mkdir()
    for number, image in enumerate(blobs(12, 16, 16)):
        Image.fromarray(((image[0] + 1) * 127.5).astype(np.uint8)).save(folder / f"{number:02}.png")
    run = CliRunner().invoke
    asked = ["prior", "build", str(folder), "--size", "16x16", "--components", "3", "--donors", "5"]
    asked += ["--autoencoder", "10", "--source", "blobs", "--licence", "CC0", "--out", str(out)]
    done = run(app, asked)
    assert done.exit_code == 0, done.output
    shown = run(app, ["prior", "show", str(out), "--png", str(png)])
    assert shown.exit_code == 0, shown.output
    assert "levels of 16, 32 channels in 8 groups, code of 4 channels, 10 steps" in shown.stdout
    assert Image.open(png).size == (8 * 96, 3 * 96)
    again = run(app, ["prior", "show", str(out), "--png", str(png)])
    assert "must be a new file that ends in .png" in str(again.exception)
    alone = run(app, ["prior", "build", "--autoencoder", "10", "--out", str(tmp_path / "b.safetensors")])
    assert "--autoencoder and --variants speak of images" in str(alone.exception)
