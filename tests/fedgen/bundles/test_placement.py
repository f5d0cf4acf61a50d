"""A published network is found in a study's networks by its names and shapes, and nobody guesses."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import AutoencoderKL, DiffusionModelUNet
from torch import nn

from fedgen.bundles.placement import older, parts, place
from fedgen.errors import DataError, StudyError


def unet() -> DiffusionModelUNet:
    return DiffusionModelUNet(
        spatial_dims=2,
        in_channels=1,
        out_channels=1,
        channels=(8, 8),
        attention_levels=(False, True),
        num_res_blocks=1,
        num_head_channels=4,
        norm_num_groups=4,
        with_conditioning=True,
        cross_attention_dim=3,
    )


def autoencoder() -> AutoencoderKL:
    return AutoencoderKL(
        spatial_dims=2,
        in_channels=1,
        out_channels=1,
        channels=(4, 4),
        attention_levels=(False, True),
        num_res_blocks=1,
        latent_channels=2,
        norm_num_groups=2,
    )


def shapes(network: nn.Module, prefix: str = "") -> dict[str, tuple[int, ...]]:
    return {f"{prefix}{name}": tuple(p.shape) for name, p in network.named_parameters()}


STUDY = {
    **shapes(unet(), "unet/inner."),
    "unet/extra.weight": (3, 3),
    **shapes(autoencoder(), "autoencoder/"),
}


@pytest.mark.parametrize("below", ["", "module.", "state_dict.model."])
@pytest.mark.parametrize(
    ("network", "place_of"),
    [(unet(), "unet/inner"), (autoencoder(), "autoencoder")],
    ids=["unet", "autoencoder"],
)
def test_a_network_is_found_whatever_stands_before_its_names(below, network, place_of) -> None:
    file = {**shapes(network, below), "optimizer.state.0.exp_avg": (8,)}
    found = place(STUDY, file, "model.pt")
    assert (found.place, found.below) == (place_of, below.rstrip("."))
    into = f"{place_of}." if "/" in place_of else f"{place_of}/"
    assert found.same == {f"{into}{name}": f"{below}{name}" for name in shapes(network)}
    assert not found.other and found.unplaced == ("optimizer.state.0.exp_avg",)


def test_what_has_another_shape_or_no_place_is_told_apart() -> None:
    file = {**shapes(unet()), "head.weight": (5,)}
    file["conv_in.conv.weight"] = (8, 3, 3, 3)
    del file["conv_in.conv.bias"]
    found = place(STUDY, file, "model.pt")
    assert found.other == {"unet/inner.conv_in.conv.weight": "conv_in.conv.weight"}
    assert found.unplaced == ("head.weight",)
    assert "unet/inner.conv_in.conv.bias" not in found.same


def test_two_places_that_fit_equally_well_are_asked_about() -> None:
    twice = {**shapes(autoencoder(), "a/"), **shapes(autoencoder(), "b/")}
    file = shapes(autoencoder())
    with pytest.raises(StudyError, match=r"fits (a and b|b and a) equally well: say with --into"):
        place(twice, file, "model.pt")
    for name in ("a", "b"):
        assert place(twice, file, "model.pt", name).place == name
    with pytest.raises(StudyError, match=r"--into c is no part of the study's networks.*\(a, b\)"):
        place(twice, file, "model.pt", "c")


def test_nothing_that_fits_is_said() -> None:
    with pytest.raises(DataError, match=r"No tensor of model\.pt has the name and the shape"):
        place(STUDY, {"layer1.weight": (7, 7)}, "model.pt")
    with pytest.raises(DataError, match="below autoencoder"):
        place(STUDY, {"extra.weight": (3, 3)}, "model.pt", "autoencoder")


@pytest.mark.parametrize("make", [unet, autoencoder])
def test_the_older_names_are_those_that_monai_itself_converts(make) -> None:
    """A state under MONAI Generative's names, beside what MONAI's own `load_old_state_dict` makes of it."""
    torch.manual_seed(0)
    network = make()
    old = {".".join(older(parts(name))): p.detach() for name, p in network.named_parameters()}
    assert any(name not in dict(network.named_parameters()) for name in old)
    theirs = make()
    theirs.load_old_state_dict(dict(old))
    expected = dict(theirs.named_parameters())
    found = place(STUDY, {name: tuple(p.shape) for name, p in old.items()}, "model.pt")
    assert len(found.same) == len(expected) and not found.unplaced
    for ours, name in found.same.items():
        assert old[name].equal(expected[ours.removeprefix("unet/inner.").removeprefix("autoencoder/")])
