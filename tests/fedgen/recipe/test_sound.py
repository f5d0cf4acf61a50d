"""A private study whose networks mix or remember patients is refused before anybody is read, in every private mode."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fedgen.errors import ExitCode, PrivacyRefusedError
from fedgen.families.vae.family import VAEFamily
from fedgen.families.vae.options import SPEC
from fedgen.federation.site.site import Site
from fedgen.protocol.messages import TrainRound
from fedgen.recipe import Recipe, _made
from fedgen.training.vector import vector_sha256

MODES = {
    "local": {},
    "distributed": {
        "training": {"local_steps": 1},
        "privacy": {"mode": "distributed", "sampling_rate": 1 / 3},
        "aggregation": {"secure": True, "minimum_sites": 3, "tolerated_dropouts": 0},
    },
}


class Fronted(nn.Module):
    def __init__(self, front, network):
        super().__init__()
        self.front, self.network = front, network

    def forward(self, x, *rest):
        return self.network(self.front(x), *rest)


@pytest.fixture
def with_front(tiny_study, monkeypatch):
    """`with_front(layer, training={...})`: a study of a VAE behind that layer."""

    def build(layer, **sections):
        class FrontedFamily(VAEFamily):
            def networks(self):
                return {"vae": Fronted(layer(), super().networks()["vae"]).train()}

        monkeypatch.setattr("fedgen.recipe.family_class", lambda name: FrontedFamily)
        _made.cache_clear()
        return tiny_study("vae", model={"family": "vae", "vae": SPEC.small}, **sections)

    yield build
    _made.cache_clear()


@pytest.mark.parametrize("mode", MODES)
def test_it_is_refused_with_the_reason_and_costs_nobody(with_front, tiny_site, tmp_path, mode) -> None:
    recipe = Recipe.of(with_front(lambda: nn.BatchNorm2d(1), **MODES[mode]))
    with pytest.raises(PrivacyRefusedError) as refused:
        recipe.require_sound()
    assert refused.value.exit_code == ExitCode.REFUSED
    assert str(refused.value) == (
        f"model.family vae cannot be trained under privacy.mode {mode}: layer front (BatchNorm2d) of its network vae "
        "keeps something of the patients' images outside the gradient, which no noise covers (in its running_mean): "
        "use GroupNorm or InstanceNorm, or set privacy.mode to none."
    )
    site = Site(recipe, tiny_site("east", 9), tmp_path, roster_size=3)
    task = TrainRound(
        study_sha256=recipe.sha256,
        round=1,
        model_sha256=vector_sha256(recipe.initial),
        model=recipe.initial,
    )
    with pytest.raises(PrivacyRefusedError, match="BatchNorm2d"):
        site._rounds.result(task)
    assert not (tmp_path / "ledger.jsonl").exists()


def test_without_privacy_it_trains(with_front, tiny_site, tmp_path) -> None:
    recipe = Recipe.of(with_front(lambda: nn.BatchNorm2d(1), privacy={"mode": "none"}))
    recipe.require_sound()
    model = recipe.initial
    task = TrainRound(study_sha256=recipe.sha256, round=1, model_sha256=vector_sha256(model), model=model)
    result = Site(recipe, tiny_site("east", 9), tmp_path)._rounds.result(task)
    assert bool(torch.isfinite(result.update).all())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "layer", [nn.InstanceNorm2d, lambda n: nn.GroupNorm(1, n)], ids=["instance", "group"]
)
def test_norms_of_one_image_are_not(with_front, mode, layer) -> None:
    Recipe.of(with_front(lambda: layer(1), **MODES[mode])).require_sound()


def test_what_was_found_sound_is_not_run_again(with_front, monkeypatch) -> None:
    study = with_front(nn.Identity)
    Recipe.of(study).require_sound()
    monkeypatch.setattr("fedgen.recipe.unsound", lambda *_: pytest.fail("run again"))
    Recipe.of(study.model_copy(update={"study": study.study.model_copy(update={"seed": 6})})).require_sound()
