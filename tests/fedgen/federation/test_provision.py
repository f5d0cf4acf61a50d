"""Identities on disk, and parameters that both ends derive from the study."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedgen.errors import DataError, PrivacyRefusedError, StudyError
from fedgen.families.contract import statistics_of
from fedgen.families.registry import specs
from fedgen.federation.terms.provision import identity, roster
from fedgen.recipe import Recipe
from fedgen.training.losses import summable, weighted_means
from fedgen.training.vector import ParameterLayout


def test_an_identity_is_made_once_and_for_its_owner_alone(tmp_path) -> None:
    first = identity(tmp_path / "a", "a")
    path = tmp_path / "a" / "identity.key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert identity(tmp_path / "a", "a").public_key == first.public_key
    assert identity(tmp_path / "b", "b").public_key != first.public_key
    assert first.public_key not in path.read_bytes()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_key_that_others_can_read_is_refused(tmp_path, mode) -> None:
    identity(tmp_path, "a")
    (tmp_path / "identity.key").chmod(mode)
    with pytest.raises(PrivacyRefusedError, match="can be read by others: run chmod 600"):
        identity(tmp_path, "a")


def test_a_damaged_key_is_one_sentence(tmp_path) -> None:
    identity(tmp_path, "a")
    (tmp_path / "identity.key").write_bytes(b"short")
    with pytest.raises(DataError, match=r"identity\.key is damaged"):
        identity(tmp_path, "a")


def test_a_roster_is_the_same_after_a_restart(tmp_path) -> None:
    folders = {name: tmp_path / name for name in ("south", "east", "north")}
    assert roster(folders) == roster(folders)
    assert roster(folders).sites == ("east", "north", "south")


@pytest.mark.parametrize("family", specs())
def test_parameters_are_the_studys(tiny_study, family) -> None:
    study = tiny_study(family, aggregation={"secure": True, "minimum_sites": 3, "ring_bits": 16})
    made = Recipe.of(study).family
    parameters = Recipe.of(study).parameters(4)
    size = ParameterLayout.of(made.networks()).size
    assert parameters.length == max([size if study.steps else 0, *(s.length for s in statistics_of(made))])
    assert parameters.metrics == 3 * len(made.contributions())
    assert (parameters.threshold, parameters.minimum_sites, parameters.ring_bits) == (3, 3, 16)


@pytest.mark.parametrize(
    ("aggregation", "sites", "sentence"),
    [
        ({"minimum_sites": 3}, 2, "needs 3 sites, but the study has 2"),
        ({"minimum_sites": 3, "tolerated_dropouts": 2}, 4, "tolerate fewer dropouts"),
        ({"minimum_sites": 3, "colluders": 2}, 4, "needs 5 sites"),
        ({"minimum_sites": 3, "ring_bits": 16}, 100, "drown an update in rounding"),
    ],
)
def test_parameters_that_would_not_protect_are_refused(tiny_study, aggregation, sites, sentence) -> None:
    study = tiny_study(aggregation={"secure": True, **aggregation})
    with pytest.raises(StudyError, match=sentence):
        Recipe.of(study).parameters(sites)


@given(
    st.lists(
        st.tuples(
            st.integers(1, 100),
            st.dictionaries(
                st.sampled_from("xy"), st.tuples(st.floats(-1e3, 1e3), st.floats(0, 1e3)), max_size=2
            ),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_losses_sum_to_their_weighted_means(sites) -> None:
    sums = np.sum([summable("xyz", losses, weight / 100) for weight, losses in sites], axis=0)
    means = weighted_means("xyz", sums.tolist())
    for name in "xyz":
        having = [(weight, *losses[name]) for weight, losses in sites if name in losses]
        assert (name in means) == bool(having)
        if having:
            weights, values, stds = map(np.array, zip(*having, strict=True))
            assert means[name][0] == pytest.approx(np.average(values, weights=weights), abs=1e-6)
            expected = np.sqrt(np.sum((weights * stds) ** 2)) / weights.sum()
            assert means[name][1] == pytest.approx(expected, abs=1e-6)
