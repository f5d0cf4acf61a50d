"""LPIPS equals that of torchmetrics with the same weights, and takes weights from a named safetensors file alone."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import pytest
import torch
import torchmetrics.functional.image.lpips as theirs
from safetensors.torch import save
from torch import Tensor, nn

from fedgen.errors import DataError, StudyError
from fedgen.evidence.translation.perceptual import LEAST_SIDE, Perceptual
from fedgen.evidence.translation.similarity import body_of, similarity_by_case
from fedgen.study.perceptual_section import PerceptualSection

Network = Literal["alex", "vgg"]


def alexnet() -> nn.Sequential:
    """The features of torchvision's AlexNet, as its source lists them."""
    return nn.Sequential(
        nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(),
        nn.MaxPool2d(3, 2), nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2),
    )  # fmt: skip


def vgg16() -> nn.Sequential:
    """The features of torchvision's VGG-16, from its configuration D."""
    layers: list[nn.Module] = []
    width = 3
    for each in [64, 64, "M", 128, 128, "M", *[256] * 3, "M", *[512] * 3, "M", *[512] * 3, "M"]:
        if each == "M":
            layers.append(nn.MaxPool2d(2, 2))
        else:
            layers += [nn.Conv2d(width, int(each), 3, padding=1), nn.ReLU(inplace=False)]
            width = int(each)
    return nn.Sequential(*layers)


FEATURES = {"alex": alexnet, "vgg": vgg16}


@pytest.fixture(scope="module")
def references() -> dict[Network, nn.Module]:
    """torchmetrics' own LPIPS on networks that it is given, with random weights."""
    made: dict[Network, nn.Module] = {}
    for seed, (name, features) in enumerate(FEATURES.items()):
        with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng():
            torch.manual_seed(seed)
            patch.setattr(theirs, "_get_tv_model_features", lambda *_, kind=features: kind())
            network = theirs._LPIPS(pretrained=False, net=name, pnet_rand=True, eval_mode=True)
            for linear in network.lins:
                linear.model[-1].weight.data.uniform_(0, 1)
        made[name] = network  # type: ignore[index]
    return made


def content(network: nn.Module) -> bytes:
    """The state of a network as whoever has the package lpips would save it."""
    state = {name: each.clone().contiguous() for name, each in network.state_dict().items()}
    return save(state)


def asked(network: Network, sha256: str) -> PerceptualSection:
    return PerceptualSection(network=network, sha256=sha256, source="random numbers, for a test")


def put(folder: Path, whole: bytes) -> str:
    """The sha256 of a file that lies in the folder by it."""
    sha256 = hashlib.sha256(whole).hexdigest()
    (folder / f"{sha256}.safetensors").write_bytes(whole)
    return sha256


@pytest.fixture(scope="module")
def given(
    references: dict[Network, nn.Module], tmp_path_factory: pytest.TempPathFactory
) -> dict[Network, Perceptual]:
    folder = tmp_path_factory.mktemp("weights")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDGEN_WEIGHTS", str(folder))
        return {
            name: Perceptual.of(asked(name, put(folder, content(own)))) for name, own in references.items()
        }


def images(n: int, channels: int, side: int, seed: int) -> Tensor:
    return torch.rand(n, channels, side, side + 5, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize("network", ["alex", "vgg"])
def test_distances_are_those_of_torchmetrics(
    network: Network, references: dict[Network, nn.Module], given: dict[Network, Perceptual]
) -> None:
    for channels in (3, 1):
        ours, real = images(2, channels, 48, 1), images(2, channels, 48, 2)
        with torch.no_grad():
            expected = references[network](*(each.expand(-1, 3, -1, -1) for each in (ours, real))).flatten()
        assert torch.allclose(given[network](ours, real), expected, rtol=1e-4, atol=1e-7)
        assert float(expected.min()) > 0


def test_equal_images_are_at_zero_and_order_does_not_matter(given: dict[Network, Perceptual]) -> None:
    ours, real = images(2, 1, 48, 1), images(2, 1, 48, 2)
    assert torch.equal(given["alex"](ours, ours), torch.zeros(2))
    assert torch.allclose(given["alex"](ours, real), given["alex"](real, ours))


@pytest.mark.parametrize("network", ["alex", "vgg"])
def test_the_least_side_has_a_number_and_less_has_none(
    network: Network, given: dict[Network, Perceptual]
) -> None:
    side = LEAST_SIDE[network]
    assert torch.isfinite(given[network](images(1, 1, side, 1), images(1, 1, side, 2))).all()
    assert torch.isnan(given[network](images(1, 1, side - 1, 1), images(1, 1, side - 1, 2))).all()


def test_a_case_has_the_mean_of_its_slices(given: dict[Network, Perceptual]) -> None:
    made, target = images(3, 1, 40, 1), images(3, 1, 40, 2)
    found = similarity_by_case(made, target, body_of(target), torch.tensor([5, 5, 9]), given["alex"])
    each = given["alex"](made, target)
    assert list(found)[-1] == "LPIPS"
    assert found["LPIPS"] == pytest.approx([float(each[:2].mean()), float(each[2])], rel=1e-5)
    assert "LPIPS" not in similarity_by_case(made, target, body_of(target), torch.tensor([5, 5, 9]))


def test_only_the_named_file_is_read(
    references: dict[Network, nn.Module], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDGEN_WEIGHTS", str(tmp_path))
    with pytest.raises(DataError, match="not on this machine"):
        Perceptual.of(asked("alex", "0" * 64))
    (tmp_path / f"{'0' * 64}.safetensors").write_bytes(content(references["alex"]))
    with pytest.raises(StudyError, match="has the sha256"):
        Perceptual.of(asked("alex", "0" * 64))
    pickled = tmp_path / "pickled"
    torch.save(references["alex"].state_dict(), pickled)
    with pytest.raises(DataError, match="not a safetensors file"):
        Perceptual.of(asked("alex", put(tmp_path, pickled.read_bytes())))


def test_weights_that_are_none_of_lpips_are_refused(references: dict[Network, nn.Module]) -> None:
    state = {name: each.clone() for name, each in references["alex"].state_dict().items()}
    section = asked("alex", "0" * 64)
    with pytest.raises(DataError, match="missing or has another shape"):
        Perceptual(asked("vgg", "0" * 64), state)
    for name, value in (("lin2.model.1.weight", -1.0), ("net.slice3.6.bias", float("nan"))):
        wrong = state | {name: torch.full_like(state[name], value)}
        with pytest.raises(DataError, match=f"{name} is not finite, or below 0"):
            Perceptual(section, wrong)
