"""A prior is what its card says, fits the images it is used on, or is refused; the analytic one needs no file."""

from __future__ import annotations

import json
import math
from itertools import product

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load, save
from scipy.fft import dctn
from typer.testing import CliRunner

from fedgen.cli.main import app
from fedgen.data.public_images import public_images
from fedgen.errors import DataError, StudyError
from fedgen.priors.analytic import PIXEL_STD, analytic
from fedgen.priors.build import Said, of_images, of_no_image
from fedgen.priors.file import read_prior
from fedgen.priors.fit import fit
from fedgen.run.tensors import KEY, metadata
from fedgen.study.data import Intensity

SAID = Said("random pixels", "CC0-1.0", ("north",))


@pytest.fixture
def images():
    """40 images of three directions, noise and a mean."""
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(3, 1, 8, 12))
    factors = rng.normal(size=(40, 3)) * [0.3, 0.2, 0.1]
    made = 0.1 + np.tensordot(factors, directions, 1) * 0.2 + 0.01 * rng.normal(size=(40, 1, 8, 12))
    return made.clip(-1, 1).astype(np.float32)


@pytest.mark.parametrize("shape", [(1, 12, 16), (3, 8, 8), (1, 6, 8, 5), (1, 4, 64)])
def test_waves_are_the_slowest_of_the_cosine_transform(shape) -> None:
    space = analytic(shape, 14).space
    basis = space.components.flatten(1).double()
    assert torch.allclose(basis @ basis.T, torch.eye(14, dtype=torch.float64), atol=1e-5)
    frequencies = []
    for wave in space.components.numpy():
        spectrum = np.stack([dctn(channel.astype(np.float64), norm="ortho") for channel in wave])
        (place,) = np.argwhere(np.abs(spectrum) > 1e-4)
        assert abs(spectrum[tuple(place)] - 1) < 1e-5
        frequencies.append(int((place[1:] ** 2).sum()))
    every = sorted(sum(k * k for k in indices) for indices in product(*map(range, shape[1:])))
    assert frequencies == [square for square in every for _ in range(shape[0])][:14]
    gain = [
        float(std) * math.sqrt(max(square, 1)) for std, square in zip(space.stds, frequencies, strict=True)
    ]
    assert gain == pytest.approx([gain[0]] * 14, rel=1e-5)


def test_all_waves_together_have_the_contrast_that_is_said() -> None:
    space = analytic((1, 8, 10), 80).space
    assert float((space.stds**2).sum()) / 80 == pytest.approx(PIXEL_STD**2, rel=1e-5)


def test_a_latent_larger_than_the_image_is_refused() -> None:
    with pytest.raises(StudyError, match="larger than an image of 64 numbers"):
        analytic((1, 8, 8), 65)
    with pytest.raises(StudyError, match=r"has 4 components.*latent of 5"):
        analytic((1, 8, 8), 4).first(5)


def test_components_are_the_principal_ones(images) -> None:
    prior, explained = fit(images, 3, 5)
    flat = images.reshape(40, -1).astype(np.float64)
    centred = flat - flat.mean(axis=0)
    _, singular, right = np.linalg.svd(centred, full_matrices=False)
    space = prior.space
    assert space.stds.numpy() == pytest.approx(singular[:3] / math.sqrt(39), rel=1e-3)
    overlap = np.abs((space.components.flatten(1).numpy() * right[:3]).sum(axis=1))
    assert overlap == pytest.approx(np.ones(3), abs=1e-3)
    assert explained == pytest.approx((singular[:3] ** 2).sum() / (singular**2).sum(), rel=1e-3)
    z = space.encode(torch.from_numpy(images))
    assert z.std(dim=0).numpy() == pytest.approx(np.ones(3), abs=1e-3)
    assert len(prior.donors) == 5
    kept = {tuple(donor.ravel()) for donor in images.reshape(40, -1)}
    assert all(tuple(donor.ravel()) in kept for donor in prior.donors.reshape(5, -1).numpy())


def test_image_is_what_is_decoded_and_the_residual(images) -> None:
    space = fit(images, 2, 4)[0].space
    x = torch.from_numpy(images)
    assert torch.allclose(space.decode(space.encode(x)) + space.residuals(x), x, atol=1e-5)
    assert float(space.encode(space.residuals(x) + space.mean).abs().max()) < 1e-3


def test_a_file_says_what_it_was_made_of(images, tmp_path) -> None:
    path = tmp_path / "p.safetensors"
    path.write_bytes(of_images(images, 3, 4, SAID))
    made = read_prior(path)
    card = made.card
    assert (card.kind, card.images, card.size, card.channels) == ("pca", 40, (8, 12), 1)
    assert (card.components, card.donors, card.sites) == (3, 4, ("north",))
    assert (card.source, card.licence) == ("random pixels", "CC0-1.0")
    assert path.read_bytes() == of_images(images, 3, 4, SAID)
    assert torch.allclose(made.prior.donors, fit(images, 3, 4)[0].donors, atol=1e-3)
    other = images.copy()
    other[0, 0, 0, 0] += 0.5
    path.write_bytes(of_images(other, 3, 4, SAID))
    assert read_prior(path).card.images_sha256 != card.images_sha256


def test_a_changed_byte_or_another_file_is_refused(images, tmp_path) -> None:
    path = tmp_path / "p.safetensors"
    path.write_bytes(of_images(images, 3, 0, SAID))
    sha256 = read_prior(path).sha256
    assert read_prior(path, sha256).sha256 == sha256
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(StudyError, match=rf"model\.prior\.sha256 is {sha256}: give the file"):
        read_prior(path, sha256)


def _without(name):
    return lambda tensors: {key: value for key, value in tensors.items() if key != name}


WRONG = {
    "lacks stds": _without("stds"),
    "has extra, which no prior has": lambda tensors: {**tensors, "extra": torch.ones(1)},
    r"has mean in the shape \(1, 8, 11\)": lambda t: {**t, "mean": t["mean"][..., :-1].contiguous()},
    "has mean as torch.float64": lambda t: {**t, "mean": t["mean"].double()},
    "has values in stds that are not finite": lambda t: {**t, "stds": t["stds"] * float("nan")},
    "has a standard deviation that is not above 0": lambda t: {**t, "stds": -t["stds"]},
    "has components that are not orthonormal": lambda t: {**t, "components": 2 * t["components"]},
}


@pytest.mark.parametrize("why", WRONG)
def test_a_file_that_is_not_what_its_card_says_is_refused(images, tmp_path, why) -> None:
    content = of_images(images, 3, 0, SAID)
    path = tmp_path / "p.safetensors"
    path.write_bytes(save(WRONG[why](load(content)), metadata={KEY: str(metadata(content))}))
    with pytest.raises(DataError, match=f"not what its card says .{why}"):
        read_prior(path)


def test_a_file_without_a_card_or_no_safetensors_is_refused(images, tmp_path) -> None:
    content = of_images(images, 3, 0, SAID)
    path = tmp_path / "p.safetensors"
    for bytes_, why in (
        (save(load(content)), "has no card"),
        (save(load(content), metadata={KEY: "{}"}), "card of .* cannot be read"),
        (b"junk", "is not a safetensors file"),
    ):
        path.write_bytes(bytes_)
        with pytest.raises(DataError, match=why):
            read_prior(path)
    with pytest.raises(DataError, match=r"does not exist: give the file with --prior"):
        read_prior(tmp_path / "absent.safetensors")


def test_too_few_images_are_refused(images) -> None:
    with pytest.raises(DataError, match="more images than components"):
        fit(images[:3], 3, 0)
    with pytest.raises(DataError, match="as many as donors"):
        fit(images, 3, 41)
    with pytest.raises(DataError, match="differ in fewer than 3 directions"):
        fit(np.repeat(images[:2], 5, axis=0), 3, 0)


@pytest.fixture
def folder(tmp_path):
    """12 gray PNGs of 20 x 10 with a text beside them."""
    rng = np.random.default_rng(1)
    place = tmp_path / "images"
    (place / "sub").mkdir(parents=True)
    for number in range(12):
        pixels = rng.integers(0, 256, (20, 10), dtype=np.uint8)
        Image.fromarray(pixels).save(place / ("sub" if number % 2 else ".") / f"{number:02}.png")
    (place / "README.txt").write_text("read me")
    return place


def test_a_folder_is_prepared_as_a_studys_images_are(folder) -> None:
    images = public_images(folder, (16, 16), 1, Intensity())
    assert images.shape == (12, 1, 16, 16)
    assert (images[..., :4] == -1).all()
    assert np.abs(images[..., 4:12]).max() <= 1
    assert images[..., 4:12].std() > 0.2
    with pytest.raises(DataError, match="is gray but"):
        public_images(folder, (16, 16), 3, Intensity())
    (folder / "bad.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"bad\.png"):
        public_images(folder, (16, 16), 1, Intensity())


def test_the_command_builds_and_shows(folder, tmp_path) -> None:
    out, run = tmp_path / "p.safetensors", CliRunner().invoke
    asked = ["prior", "build", str(folder), "--size", "16x16", "--components", "4", "--donors", "2"]
    without = run(app, [*asked, "--out", str(out)])
    assert isinstance(without.exception, StudyError)
    assert "--source and --licence" in str(without.exception)
    said = ["--source", "noise", "--licence", "CC0", "--site", "north", "--out", str(out)]
    done = run(app, [*asked, *said])
    assert done.exit_code == 0, done.output
    sha256 = read_prior(out).sha256
    assert sha256 in done.stdout
    shown = json.loads(run(app, ["prior", "show", str(out), "--json"]).stdout)
    assert (shown["sha256"], shown["images"], shown["sites"]) == (sha256, 12, ["north"])
    assert "16 x 16" in run(app, ["prior", "show", str(out)]).stdout
    assert "must be a new file" in str(run(app, [*asked, *said]).exception)


def test_the_command_builds_of_no_image(tmp_path) -> None:
    out, run = tmp_path / "p.safetensors", CliRunner().invoke
    asked = ["prior", "build", "--size", "8x8", "--components", "5", "--out", str(out)]
    assert "--donors" in str(run(app, [*asked, "--donors", "1"]).exception)
    assert "must be height x width" in str(
        run(app, ["prior", "build", "--size", "8", "--out", str(out)]).exception
    )
    assert run(app, asked).exit_code == 0
    assert out.read_bytes() == of_no_image((1, 8, 8), 5)
    assert torch.equal(read_prior(out).prior.space.components, analytic((1, 8, 8), 5).space.components)
