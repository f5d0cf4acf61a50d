"""What a whole federation in one process makes: each thing once, whoever needs it."""

from __future__ import annotations

from collections import Counter

import pytest

from fedgen.families.vae.family import VAEFamily
from fedgen.federation.coordinator.rounds import train
from fedgen.federation.coordinator.secure import SecureAggregator
from fedgen.federation.exchange.direct import DirectExchange
from fedgen.federation.site.site import Site
from fedgen.federation.terms.provision import keyholder, roster
from fedgen.recipe import Recipe
from fedgen.run.directory import RunDirectory
from fedgen_privacy.distributed import NoiseShare

SIZES = {"east": 9, "north": 12, "south": 15}


@pytest.fixture
def made(monkeypatch) -> Counter[str]:
    """How often networks were built, noise shares made and studies hashed."""
    counts: Counter[str] = Counter()

    def counted(owner: object, name: str, what: str) -> None:
        real = getattr(owner, name)

        def call(*args, **kwargs):
            counts[what] += 1
            return real(*args, **kwargs)

        monkeypatch.setattr(owner, name, call)

    counted(VAEFamily, "networks", "networks")
    counted(NoiseShare, "__init__", "noise shares")
    import fedgen.study.show as show

    counted(show, "canonical", "hashes")
    return counts


def test_three_distributed_rounds_at_three_sites(made, tiny_study, tiny_site, tmp_path) -> None:
    study = tiny_study(
        # A seed that no other test has: a process keeps its recipes.
        study={"seed": 20_261_129},
        training={"rounds": 3, "local_steps": 1, "batch_patients": 12},
        privacy={"mode": "distributed", "sampling_rate": 1 / 3},
        aggregation={"secure": True, "minimum_sites": 3, "tolerated_dropouts": 0},
    )
    recipe = Recipe.of(study)
    run = RunDirectory(tmp_path / "run")
    run.path.mkdir()
    names = roster({site: run.site(site) for site in SIZES})
    sites = [
        Site(
            recipe,
            tiny_site(site, n),
            run.site(site),
            keyholder(recipe, names, site, run.site(site)),
            roster_size=len(SIZES),
        )
        for site, n in SIZES.items()
    ]
    train(recipe, DirectExchange(sites), SecureAggregator(recipe, names), run)
    assert dict(made) == {"networks": 1, "noise shares": 1, "hashes": 1}
