"""A device that a machine does not have is refused in one sentence that names it, its key and what there is."""

from __future__ import annotations

import pytest
import torch

from fedgen.errors import StudyError
from fedgen.training import devices


@pytest.mark.parametrize("name", ["cuda:77", "quantum", "meta", ""])
def test_what_is_not_there_cannot_be_used(name) -> None:
    assert devices.unusable(name)


def test_the_cpu_is_always_there() -> None:
    assert devices.unusable("cpu") is None
    assert devices.unusable("cpu", torch.float64) is None
    devices.require_study_device("cpu")
    devices.require_site_device(None, "cpu")


def test_the_sentence_names_device_key_and_what_there_is(monkeypatch) -> None:
    monkeypatch.setattr(devices, "devices_here", lambda: ["cpu", "cuda:0 (H200)"])
    with pytest.raises(StudyError) as caught:
        devices.require_study_device("cuda:77")
    assert str(caught.value).startswith(
        "training.device asks for cuda:77, but this machine has cpu, cuda:0 (H200) ("
    )
    assert str(caught.value).endswith("): set training.device to what is there, or use another machine.")


def test_gpus_are_named_as_a_study_names_them(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda gpu: f"card {gpu}")
    assert devices.devices_here()[:3] == ["cpu", "cuda:0 (card 0)", "cuda:1 (card 1)"]


def test_a_sites_own_device_counts_before_the_studys() -> None:
    devices.require_site_device("cpu", "cuda:77")
    with pytest.raises(
        StudyError, match=r"^runtime\.device asks for cuda:77, .* set runtime\.device in the site"
    ):
        devices.require_site_device("cuda:77", "cpu")
    with pytest.raises(
        StudyError, match=r"^The study's training\.device asks for cuda:77, .* set runtime\.device"
    ):
        devices.require_site_device(None, "cuda:77")


def test_a_name_from_elsewhere_writes_nothing_over_a_terminal() -> None:
    with pytest.raises(StudyError) as caught:
        devices.require_study_device("cuda\x1b[2J\n")
    assert str(caught.value).isprintable()
