"""Who has withdrawn is read no more; who is left keeps their part, and the study its number of patients."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from fedgen.data.index import IndexEntry, PatientIndex
from fedgen.data.prepare import Prepared, prepare_sites
from fedgen.data.pseudonyms import Pseudonyms, own_pseudonyms
from fedgen.data.site_data import Part, SiteData
from fedgen.data.withdrawals import WITHDRAWN, Withdrawals, found_in
from fedgen.errors import DataError, PrivacyRefusedError
from fedgen.study.study import Study

OURS = Pseudonyms(b"k" * 32)


def index(*patients: str) -> PatientIndex:
    entries = (
        IndexEntry((f"{n}.png",), patient, "north", "a", None, "", "", "", None, "", None, (8, 8))
        for n, patient in enumerate(patients)
    )
    return PatientIndex("table", tuple(entries))


def test_the_list_holds_no_identity_and_never_forgets(tmp_path: Path) -> None:
    listed = Withdrawals(tmp_path / "w.json", OURS)
    assert listed.names() == frozenset()
    assert listed.without(index("a", "b")) == index("a", "b")
    assert listed.add(["QZ-4711", "b"]) == 2
    assert listed.add(["QZ-4711", "c", "c"]) == 1
    assert "4711" not in (tmp_path / "w.json").read_text()
    assert [each.patient for each in listed.without(index("a", "b", "QZ-4711", "c", "d")).entries] == [
        "a",
        "d",
    ]


def test_another_spelling_is_the_same_patient(tmp_path: Path) -> None:
    listed = Withdrawals(tmp_path / "w.json", OURS)
    listed.add(["7", "P 01"])
    assert [each.patient for each in listed.without(index("007", "7.0", "p01", "70")).entries] == ["70"]
    # By that spelling too from now on, when the files are gone.
    assert OURS.patient("007") in listed.names()
    assert found_in(index("007", "x"), ["7", "X", "y"]) == 2


@pytest.mark.parametrize("content", ["", "{}", '{"version": 2, "key": "k", "patients": []}', "[]"])
def test_a_damaged_list_lets_nobody_be_read(tmp_path: Path, content: str) -> None:
    (tmp_path / "w.json").write_text(content)
    with pytest.raises(PrivacyRefusedError, match="is damaged"):
        Withdrawals(tmp_path / "w.json", OURS).without(index("a"))


def test_a_list_of_another_key_lets_nobody_be_read(tmp_path: Path) -> None:
    Withdrawals(tmp_path / "w.json", OURS).add(["a"])
    with pytest.raises(PrivacyRefusedError, match=r"another key .*restore the site's pseudonym.key"):
        Withdrawals(tmp_path / "w.json", Pseudonyms(b"x" * 32)).names()


def study(**data: Any) -> Study:
    return Study.model_validate(
        {
            "study": {"name": "s", "seed": 1},
            "data": {"image_size": (16, 16), "labels": ("none", "lesion"), **data},
        }
    )


def parts_of(prepared: Prepared, site: str) -> dict[Part, int]:
    (found,) = (each for each in prepared.sites if each.site == site)
    return {part: found.part(part).n_patients for part in Part}


def rows_of(site: SiteData) -> list[tuple[bytes, int]]:
    return sorted(
        (image.numpy().tobytes(), int(part)) for image, part in zip(site.images, site.parts, strict=True)
    )


def test_who_is_left_stays_where_they_were(
    png_folder: Path, tmp_path: Path, png_rows: Any, write_rows: Any
) -> None:
    data, cache = tmp_path / "data", tmp_path / "cache"
    before = prepare_sites(study(), png_folder, data, cache)
    split = (data / "split.json").read_bytes()
    parts = json.loads(split)["patients"]
    salted = own_pseudonyms().of_run(json.loads(split)["salt"])

    def part(patient: str) -> str:
        return parts[salted.patient(own_pseudonyms().patient(patient))]

    north = sorted({row["patient"] for row in png_rows if row["site"] == "north"})
    trained = next(patient for patient in north if part(patient) == "train")
    held_out = next(patient for patient in north if part(patient) == "test")
    listed = Withdrawals(data / WITHDRAWN, own_pseudonyms())
    listed.add([trained, held_out])

    def check(after: Prepared) -> None:
        for one, other in zip(before.sites, after.sites, strict=True):
            kept, was = rows_of(other), rows_of(one)
            assert all(each in was for each in kept)
            gone = [each for each in was if each not in kept]
            assert bool(gone) == (one.site == "north")
            assert other.enrolled_patients == one.enrolled_patients == one.part(Part.TRAIN).n_patients
        was, now = parts_of(before, "north"), parts_of(after, "north")
        assert now == {
            Part.TRAIN: was[Part.TRAIN] - 1,
            Part.AUDIT: was[Part.AUDIT],
            Part.TEST: was[Part.TEST] - 1,
        }
        assert (data / "split.json").read_bytes() == split

    check(prepare_sites(study(), png_folder, data, cache))
    # Their files may go: nothing else of the data has changed.
    for row in png_rows:
        if row["patient"] in (trained, held_out):
            (png_folder / row["image"]).unlink()
    write_rows(
        png_folder / "metadata.csv", [row for row in png_rows if row["patient"] not in (trained, held_out)]
    )
    check(prepare_sites(study(), png_folder, data, cache))
    # Anybody else who is missing, or new, is a change of the data as ever.
    other = next(patient for patient in north if patient not in (trained, held_out))
    gone = (trained, held_out, other)
    write_rows(png_folder / "metadata.csv", [row for row in png_rows if row["patient"] not in gone])
    with pytest.raises(DataError, match="or have those who are missing withdrawn"):
        prepare_sites(study(), png_folder, data, cache)
    left = [row for row in png_rows if row["patient"] not in (trained, held_out)]
    write_rows(png_folder / "metadata.csv", [{**left[0], "patient": "somebody-new"}, *left[1:]])
    with pytest.raises(DataError, match="a patient held out then could train now"):
        prepare_sites(study(), png_folder, data, cache)


def test_before_a_study_begins_nobody_is_counted_who_has_withdrawn(
    png_folder: Path, tmp_path: Path, png_rows: Any
) -> None:
    data, cache = tmp_path / "data", tmp_path / "cache"
    patient = png_rows[0]["patient"]
    whole = prepare_sites(study(), png_folder, tmp_path / "other", cache)
    Withdrawals(data / WITHDRAWN, own_pseudonyms()).add([patient])
    less = prepare_sites(study(), png_folder, data, cache)
    assert sum(site.n_patients for site in less.sites) == sum(site.n_patients for site in whole.sites) - 1
    assert all(site.enrolled is None for site in less.sites)


def test_a_site_with_nobody_left_ends_the_study(png_folder: Path, tmp_path: Path, png_rows: Any) -> None:
    data, cache = tmp_path / "data", tmp_path / "cache"
    prepare_sites(study(), png_folder, data, cache)
    north = {row["patient"] for row in png_rows if row["site"] == "north"}
    everybody = {row["patient"] for row in png_rows}
    listed = Withdrawals(data / WITHDRAWN, own_pseudonyms())
    listed.add(north)
    with pytest.raises(DataError, match="Every patient of a site has withdrawn"):
        prepare_sites(study(), png_folder, data, cache)
    listed.add(everybody)
    with pytest.raises(DataError, match="Every patient of this data has withdrawn"):
        prepare_sites(study(), png_folder, data, cache)


def test_a_step_takes_the_others_as_before(tiny_site: Any, tiny_study: Any) -> None:
    """q, sigma, weight and divisor are constants of the study: those of N, whoever has withdrawn since."""
    from dataclasses import replace

    from fedgen.recipe import Recipe
    from fedgen.training.training_patients import TrainingPatients

    whole = tiny_site("north", 9)
    gone = replace(whole.only(whole.patients != 0), enrolled=9)
    recipe = Recipe.of(tiny_study())
    cohorts = [TrainingPatients(each, 2, recipe.task) for each in (whole, gone)]
    assert [(each.n_patients, each.n_records) for each in cohorts] == [(9, 9), (9, 8)]
    plans = [recipe.mechanism.plan(each.n_patients, "north") for each in cohorts]
    assert plans[0] == plans[1]
    assert not torch.equal(whole.images, gone.images)


def test_a_sum_divides_by_the_number_that_is_public(tiny_site: Any, tiny_study: Any) -> None:
    """Without her a mean over all is N - 1 vectors over N, not over N - 1: that number would tell of her."""
    from dataclasses import replace
    from types import SimpleNamespace

    from fedgen.mechanisms.statistics import mean_of_site
    from fedgen.recipe import Recipe
    from fedgen.training.training_patients import TrainingPatients
    from fedgen_privacy.random import SecretRandom

    whole = tiny_site("north", 9)
    gone = replace(whole.only(whole.patients != 0), enrolled=9)
    statistic = SimpleNamespace(
        length=1,
        draw=lambda *shape: {},
        vectors=lambda networks, records, draws: torch.ones(len(records.weights["patient"]), 1),
    )
    query = SimpleNamespace(statistic=statistic, sampling_rate=1.0, samples=1)
    plan = SimpleNamespace(sampling_rate=1.0, images=2, multiplicity=1, device="cpu")
    means = [
        mean_of_site(
            query, {}, TrainingPatients(each, 2, Recipe.of(tiny_study()).task), plan, None, SecretRandom()
        )
        for each in (whole, gone)
    ]
    assert [float(mean) for mean in means] == pytest.approx([1.0, 8 / 9])
