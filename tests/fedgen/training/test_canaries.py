"""Canaries: made of nothing but a secret, kept with their coins, and read as patients are who count for nobody."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from fedgen.data.site_data import Part
from fedgen.errors import DataError, PrivacyRefusedError
from fedgen.training.canary_coins import NAME, check_share, kept_canaries
from fedgen.training.canary_images import beside, made_canaries, patterns
from fedgen.training.task_records import one_record_each, task_of
from fedgen.training.training_patients import TrainingPatients
from fedgen_privacy.random import SecretRandom


def secret(number: int) -> bytes:
    return bytes([number]) * 32


@pytest.mark.parametrize(
    ("n", "size"), [(15, (16, 16)), (40, (28, 20)), (100, (32, 32)), (20, (4, 16, 16)), (3, (2, 2))]
)
def test_patterns_are_black_and_white_in_equal_number_and_orthogonal(n, size) -> None:
    found = patterns(n, size, SecretRandom(secret(1)))
    assert found.shape == (n, *size) and set(found.unique().tolist()) == {-1.0, 1.0}
    if all(side & (side - 1) == 0 for side in size):
        flat = found.flatten(1)
        assert not flat.sum(dim=1).any()
        pixels = flat.shape[1]
        assert torch.equal(flat @ flat.T, pixels * torch.eye(n))


def test_more_canaries_than_an_image_has_room_for_are_still_different() -> None:
    found = patterns(100, (8, 8), SecretRandom(secret(2))).flatten(1)
    assert len(found.unique(dim=0)) == 100


def test_all_follows_from_the_secret_and_nothing_from_the_patients(tiny_site) -> None:
    here, other = tiny_site("north", 9, seed=1), tiny_site("north", 40, seed=2)
    made = made_canaries(here, 30, 0, secret(3))
    again = made_canaries(other, 30, 0, secret(3))
    assert made.sha256 == again.sha256
    assert made_canaries(here, 30, 0, secret(4)).sha256 != made.sha256
    assert made.records.images.dtype == here.images.dtype
    assert made.records.images.shape == (30, *here.images.shape[1:])
    assert set(made.records.labels.tolist()) <= set(range(len(here.classes)))


def test_coins_are_fair(tiny_site) -> None:
    site = tiny_site("north", 2)
    tossed = torch.cat([made_canaries(site, 50, 0, secret(k)).included for k in range(20)]).double()
    assert abs(float(tossed.mean()) - 0.5) < 4 * 0.5 / np.sqrt(len(tossed))


def test_whatever_else_a_site_knows_of_an_image_is_known_of_a_canary(tiny_site) -> None:
    site = tiny_site("north", 9)
    n, size = site.n_images, site.images.shape[2:]
    site = dataclasses.replace(
        site,
        masks=torch.zeros(n, 1, *size, dtype=torch.uint8),
        masked=torch.ones(n, dtype=torch.bool),
        covariates=torch.zeros(n, 3),
        embeddings=torch.ones(n, 4) / 2,
    )
    made = made_canaries(site, 12, 2, secret(5)).records
    assert made.masks is not None and set(made.masks.unique().tolist()) == {0, 1, 2}
    assert made.covariates is not None and float(made.covariates.abs().max()) <= 1
    assert made.embeddings is not None
    assert torch.allclose(made.embeddings.norm(dim=1), torch.ones(12), atol=1e-6)
    joined = beside(site, made)
    assert joined.n_images == n + 12 and joined.n_patients == site.n_patients + 12
    assert torch.equal(joined.only(joined.patients < site.n_patients).images, site.images)


def test_canaries_are_read_behind_the_patients_and_count_for_none(tiny_site) -> None:
    site = tiny_site("north", 9)
    canaries = made_canaries(site, 20, 0, secret(6))
    plain, cohort = TrainingPatients(site, 2), TrainingPatients(site, 2, canaries=canaries)
    k = int(canaries.included.sum())
    assert (plain.n_patients, plain.n_records) == (9, 9)
    assert (cohort.n_patients, cohort.n_records) == (9, 9 + k)
    behind = cohort.records(torch.arange(9, 9 + k), SecretRandom(secret(7)))
    alone = one_record_each(task_of(site), canaries.trained)
    assert torch.equal(behind.fields["image"][:, :1], alone.fields["image"])
    assert torch.equal(behind.weights["patient"].sum(dim=1), torch.ones(k))
    # A patient is what she was.
    mine, same = (
        each.records(torch.arange(9), SecretRandom(secret(8))).fields["image"] for each in (plain, cohort)
    )
    assert torch.equal(mine, same)


@pytest.fixture
def asked(tiny_study):
    return tiny_study(audit={"canaries": 10, "canary_share": 2.0})


def test_coins_are_flipped_once_and_found_again(asked, tiny_site, tmp_path: Path) -> None:
    site = tiny_site("north", 9)
    first = kept_canaries(asked, "s" * 64, site, tmp_path, begun=False)
    again = kept_canaries(asked, "s" * 64, site, tmp_path, begun=True)
    assert first is not None and again is not None and first.sha256 == again.sha256
    assert (tmp_path / NAME).stat().st_mode & 0o077 == 0
    other = kept_canaries(asked, "s" * 64, site, tmp_path / "elsewhere", begun=False)
    assert other is not None and other.sha256 != first.sha256
    # A site that reads the training part alone has the same ones.
    trains = site.only(site.parts == int(Part.TRAIN))
    part = kept_canaries(asked, "s" * 64, trains, tmp_path, begun=True)
    assert part is not None and part.sha256 == first.sha256


def test_none_are_made_where_none_are_asked_for(tiny_study, tiny_site, tmp_path: Path) -> None:
    assert kept_canaries(tiny_study(), "s" * 64, tiny_site("north", 9), tmp_path, begun=False) is None
    assert not list(tmp_path.iterdir())


def test_no_coin_is_flipped_a_second_time(asked, tiny_site, tmp_path: Path) -> None:
    site = tiny_site("north", 9)
    with pytest.raises(PrivacyRefusedError, match="flipped once"):
        kept_canaries(asked, "s" * 64, site, tmp_path, begun=True)
    assert not (tmp_path / NAME).exists()


def _changed(**fields: str):
    def change(path: Path) -> None:
        path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))

    return change


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda path: path.write_text("{}"), "damaged"),
        (lambda path: path.write_bytes(b"\x00"), "damaged"),
        (_changed(secret="zz"), "damaged"),
        (_changed(study="t" * 64), "another study"),
        (_changed(site="south"), "another study or site"),
        (_changed(secret="11" * 32), "another version"),
        (lambda path: path.chmod(0o644), "can be read by others"),
    ],
)
def test_a_changed_file_of_coins_is_refused(asked, tiny_site, tmp_path: Path, spoil, what) -> None:
    site = tiny_site("north", 9)
    kept_canaries(asked, "s" * 64, site, tmp_path, begun=False)
    spoil(tmp_path / NAME)
    with pytest.raises(PrivacyRefusedError, match=what):
        kept_canaries(asked, "s" * 64, site, tmp_path, begun=True)


def test_canaries_that_nobody_would_count_are_refused(tiny_study) -> None:
    with pytest.raises(ValueError, match="for nothing: leave one of the two out"):
        tiny_study(audit={"canaries": 10}, evidence={"privacy": {"epsilon": 1.0}})
    with pytest.raises(ValueError, match="2 or more"):
        tiny_study(audit={"canaries": 1})


def test_more_canaries_than_the_stated_share_are_refused_before_a_coin_is_flipped(
    tiny_study, tiny_site, tmp_path: Path
) -> None:
    study, site = tiny_study(audit={"canaries": 10}), tiny_site("north", 99)
    with pytest.raises(DataError, match=r"set audit\.canaries to 9 or less"):
        kept_canaries(study, "s" * 64, site, tmp_path, begun=False)
    assert not list(tmp_path.iterdir())
    check_share(study, "north", 100)
