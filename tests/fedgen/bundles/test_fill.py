"""Every parameter is filled or allowed to be missing; what is allowed in vain is refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fedgen.bundles.fill import Wishes, fill
from fedgen.errors import DataError, StudyError


def network(channels: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.Conv2d(4, 1, 3))


def drawn(channels: int = 1) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {f"net/{name}": p.detach() for name, p in network(channels).named_parameters()}


def published(channels: int = 1, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {name: t.to(dtype) for name, t in network(channels).state_dict().items()}


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_a_whole_network(dtype) -> None:
    filled = fill(drawn(), {"model.pt": published(dtype=dtype)}, Wishes())
    assert list(filled.weights) == list(drawn())
    for name, tensor in published(dtype=dtype).items():
        assert filled.weights[f"net/{name}"].equal(tensor.float())
    assert not filled.missing and not filled.widened


def test_what_is_missing_is_refused_until_it_is_named() -> None:
    file = published()
    del file["2.bias"]
    file["0.weight"] = torch.zeros(4, 1, 5, 5)
    told = (
        r"2 of the study's 4 parameters .*net/0\.weight has \[4, 1, 3, 3\], not \[4, 1, 5, 5\], net/2\.bias"
    )
    with pytest.raises(DataError, match=told):
        fill(drawn(), {"model.pt": file}, Wishes())
    with pytest.raises(DataError, match=r"1 of the study's 4"):
        fill(drawn(), {"model.pt": file}, Wishes(missing=["net/2.*"]))
    filled = fill(drawn(), {"model.pt": file}, Wishes(missing=["net/2.*", "net/0.weight"]))
    assert filled.missing == ("net/0.weight", "net/2.bias")
    for name in filled.missing:
        assert filled.weights[name].equal(drawn()[name])
    assert filled.weights["net/2.weight"].equal(file["2.weight"])
    with pytest.raises(
        StudyError, match=r"--allow-missing net/1\.\* names no parameter that is without weights"
    ):
        fill(drawn(), {"model.pt": file}, Wishes(missing=["net/2.*", "net/0.weight", "net/1.*"]))


def test_a_wider_network_does_as_the_published_one_whatever_its_further_channels_hold() -> None:
    wide = network(3)
    filled = fill(drawn(3), {"model.pt": published()}, Wishes(widen=["net/0.weight"]))
    assert filled.widened == ("net/0.weight",)
    wide.load_state_dict({name.removeprefix("net/"): t for name, t in filled.weights.items()})
    plain = network(1)
    plain.load_state_dict(published())
    x = torch.randn(2, 3, 8, 8)
    assert torch.allclose(wide(x), plain(x[:, :1]), atol=1e-6)


def test_only_input_channels_are_widened() -> None:
    with pytest.raises(DataError, match="would have no weights"):
        fill(drawn(1), {"model.pt": published(3)}, Wishes(widen=["net/0.weight"]))
    with pytest.raises(StudyError, match=r"--widen .* has more input channels"):
        fill(drawn(), {"model.pt": published()}, Wishes(widen=["net/0.weight"]))


def test_two_files_for_two_networks() -> None:
    both = {**drawn(), **{name.replace("net", "other", 1): t for name, t in drawn().items()}}
    one, two = published(), {name: t + 1 for name, t in published().items()}
    with pytest.raises(StudyError, match="equally well"):
        fill(both, {"one.pt": one, "two.pt": two}, Wishes())
    filled = fill(both, {"one.pt": one, "two.pt": two}, Wishes(into=["other", "net"]))
    assert filled.weights["other/0.weight"].equal(one["0.weight"])
    assert filled.weights["net/0.weight"].equal(two["0.weight"])
    with pytest.raises(StudyError, match="Two files have weights for net/"):
        fill(both, {"one.pt": one, "two.pt": two}, Wishes(into=["net", "net"]))
    with pytest.raises(StudyError, match="once for each, or never"):
        fill(both, {"one.pt": one, "two.pt": two}, Wishes(into=["net"]))


def test_values_that_are_not_finite_are_refused() -> None:
    file = published()
    file["0.bias"][1] = torch.inf
    with pytest.raises(DataError, match=r"0\.bias of model\.pt has values that are not finite"):
        fill(drawn(), {"model.pt": file}, Wishes())
