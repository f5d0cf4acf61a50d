"""Tensors are read from safetensors and from state dicts; a program is refused, and none of it runs."""

from __future__ import annotations

import io
import os
import pickle
import random
import zipfile
from collections import OrderedDict

import pytest
import torch
from safetensors.torch import save
from torch import nn

from fedgen.bundles.state_dict import read_state
from fedgen.errors import DataError
from fedgen.run.tensors import KEY

STATE = {"conv.weight": torch.arange(6.0).reshape(2, 3), "conv.bias": torch.ones(2, dtype=torch.float16)}


def saved(state: object, **options) -> bytes:
    file = io.BytesIO()
    torch.save(state, file, **options)
    return file.getvalue()


@pytest.mark.parametrize("content", [save(STATE), saved(STATE), saved(OrderedDict(STATE))])
def test_tensors_are_read_as_they_were_saved(content) -> None:
    found = read_state(content, "model")
    assert found.keys() == STATE.keys()
    assert all(
        found[name].equal(tensor) and found[name].dtype == tensor.dtype for name, tensor in STATE.items()
    )


def test_a_module_and_its_optimizer_in_a_checkpoint() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.randn(2, 1, 4, 4)).sum().backward()
    optimizer.step()
    found = read_state(
        saved({"model": net.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}), "it"
    )
    for name, tensor in net.state_dict().items():
        assert found[f"model.{name}"].equal(tensor)
    parameters = read_state(saved(dict(net.named_parameters())), "it")
    assert parameters["0.weight"].equal(net[0].weight) and not parameters["0.weight"].requires_grad


class Evil:
    """Would write a file as soon as it is unpickled."""

    def __init__(self, path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_pickle_that_calls_something_is_refused_and_not_run(tmp_path, protocol) -> None:
    ran = tmp_path / "ran"
    content = saved({**STATE, "more": Evil(ran)}, pickle_protocol=protocol)
    with pytest.raises(
        DataError, match=r"asks to call .*, which no state dict needs, and nothing of it was run"
    ):
        read_state(content, "model.pt")
    with pytest.raises(DataError, match="a bare pickle"):
        read_state(pickle.dumps(Evil(ran)), "model.pt")
    assert not ran.exists()


def test_a_whole_module_is_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"asks to call 'torch\.nn\.modules\.linear\.Linear'"):
        read_state(saved(nn.Linear(2, 2)), "model.pt")


def test_torchscript_and_old_formats_are_refused(tmp_path) -> None:
    torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)).save(tmp_path / "model.ts")
    with pytest.raises(DataError, match="TorchScript, which is a program and not weights"):
        read_state((tmp_path / "model.ts").read_bytes(), "model.ts")
    old = saved(STATE, _use_new_zipfile_serialization=False)
    with pytest.raises(DataError, match=r"format before 1\.6"):
        read_state(old, "model.pt")
    for content in (b"", b"\x89HDF\r\n\x1a\n" + bytes(100), b"text of a page"):
        with pytest.raises(DataError, match="neither safetensors"):
            read_state(content, "model")


def test_what_fedgen_exported_is_not_imported() -> None:
    with pytest.raises(DataError, match="needs no import: give it with --pretrained"):
        read_state(save(STATE, metadata={KEY: "{}"}), "model")


def test_an_archive_in_an_archive_cannot_grow() -> None:
    """Compressed, or with two members over the same bytes, as torch.save never lays it out."""
    file = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(saved({"x": torch.zeros(100_000)}))) as old,
        zipfile.ZipFile(file, "w") as new,
    ):
        for member in old.infolist():
            new.writestr(member.filename, old.read(member), zipfile.ZIP_DEFLATED)
    with pytest.raises(DataError, match=r"not laid out as torch\.save does it"):
        read_state(file.getvalue(), "model.pt")


def test_nothing_and_no_dictionary() -> None:
    with pytest.raises(DataError, match="holds no tensor"):
        read_state(saved({"epoch": 3}), "model.pt")
    with pytest.raises(DataError, match="no dictionary of tensors"):
        read_state(saved([torch.ones(1)]), "model.pt")
    deep: dict[str, object] = {}
    for _ in range(20):
        deep = {"in": deep}
    with pytest.raises(DataError, match="deep"):
        read_state(saved(deep), "model.pt")


@pytest.mark.parametrize("content", [saved(STATE), save(STATE)])
def test_damage_is_read_or_refused_in_a_sentence_and_nothing_else(content) -> None:
    rng = random.Random(1)
    for _ in range(150):
        damaged = bytearray(content)
        for _ in range(rng.randint(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        try:
            read_state(bytes(damaged[: rng.choice([len(damaged), rng.randrange(len(damaged))])]), "model")
        except DataError as error:
            assert "\n" not in str(error)
