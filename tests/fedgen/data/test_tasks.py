"""Data of every task: contrasts joined by patient and time, masks, covariates, embeddings, neighbours of slices."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image

from fedgen.data.prepare import prepare_sites
from fedgen.errors import DataError, StudyError
from fedgen.study.study import Study
from fedgen.training.task_records import fields_of, one_record_each
from fedgen.training.training_patients import TrainingPatients
from fedgen_privacy.random import SecretRandom

SIDE = 16


def study(task: dict[str, Any], **data: Any) -> Study:
    base = {"image_size": (SIDE, SIDE), **({} if task else {"labels": ["all"]})}
    return Study.model_validate(
        {
            "study": {"name": "t"},
            "data": base | data,
            "task": task,
            "aggregation": {"secure": False},
            "privacy": {"mode": "none"},
        }
    )


def volume(path: Path, value: float, depth: int = 5, shift: float = 0.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.eye(4)
    affine[0, 3] = shift
    # The value tells the contrast, the slice tells itself.
    data = np.zeros((SIDE, SIDE, depth), np.float32) + value + np.arange(depth)
    data[0, 0] += hash(path.name) % 7
    nib.save(nib.Nifti1Image(data, affine), path)


@pytest.fixture
def brains(tmp_path: Path):
    """brains(missing={(subject, contrast), ...}): ten subjects with T1w and FLAIR volumes, as BIDS without a table."""

    def make(missing=(), shifted=()) -> Path:
        folder = tmp_path / "brains"
        for n in range(10):
            for contrast, value in (("T1w", 10 * n), ("FLAIR", 10 * n + 100)):
                if (n, contrast) not in missing:
                    path = folder / f"sub-{n:02d}" / "anat" / f"sub-{n:02d}_{contrast}.nii.gz"
                    volume(path, value, shift=40.0 if n in shifted and contrast == "FLAIR" else 0.0)
        return folder

    return make


def prepared(asked: Study, folder: Path, tmp_path: Path):
    return prepare_sites(asked, folder, tmp_path / "own", tmp_path / "cache").sites[0]


TRANSLATE = {"kind": "translate", "target": "FLAIR"}
WINDOW = {"intensity": {"lower": 0, "upper": 300}}


def test_contrasts_of_one_patient_and_place_are_one_record(brains, tmp_path) -> None:
    asked = study(
        TRANSLATE, contrasts=["T1w", "FLAIR"], slices={"every": 1, "lower": 0, "upper": 1}, **WINDOW
    )
    site = prepared(asked, brains(), tmp_path)
    assert site.images.shape == (50, 2, SIDE, SIDE)
    assert site.contrasts == ("T1w", "FLAIR")
    assert bool(site.present.all())
    records = one_record_each(asked.made, site)
    t1, flair = ((records.fields[name][:, 0, 0, 8, 8] + 1) * 150 for name in ("T1w", "FLAIR"))
    assert torch.allclose(flair - t1, torch.full((50,), 100.0), atol=0.5)
    assert torch.equal(records.fields["present"], torch.ones(50, 1, 1))
    assert torch.equal(records.weights["patient"], torch.ones(50, 1))


def test_a_contrast_has_a_window_of_its_own(brains, tmp_path) -> None:
    windows = {"FLAIR": {"lower": 100, "upper": 400}}
    asked = study(TRANSLATE, contrasts=["T1w", "FLAIR"], windows=windows, **WINDOW)
    fields = fields_of(asked.made, prepared(asked, brains(), tmp_path), torch.arange(3))
    assert torch.allclose(fields["T1w"][:, 0, 8, 8], fields["FLAIR"][:, 0, 8, 8], atol=1e-2)


def test_a_time_that_lacks_a_contrast_is_left_out_and_counted_or_its_absence_is_told(
    brains, tmp_path
) -> None:
    folder = brains(missing={(3, "T1w"), (4, "FLAIR")})
    found = prepare_sites(
        study(TRANSLATE, contrasts=["T1w", "FLAIR"], **WINDOW), folder, tmp_path / "own", tmp_path / "cache"
    )
    assert found.sites[0].n_patients == 8
    told = " ".join(finding.sentence for finding in found.findings)
    assert "no T1w of the same patient and time" in told
    assert "no FLAIR of the same patient and time" in told
    sources = {"contrasts": ["T1w", "T2w", "FLAIR"], "required": ["FLAIR"], **WINDOW}
    some = prepared(study(TRANSLATE, **sources), folder, tmp_path / "other")
    records = one_record_each(study(TRANSLATE, **sources).made, some)
    # Nobody has a T2w, and the one without T1w has FLAIR alone, which nothing is given to make.
    assert some.n_patients == 8
    assert not records.fields["present"][:, 0, 1].any()
    assert not records.fields["T2w"].any()


def test_grids_that_differ_are_refused(brains, tmp_path) -> None:
    with pytest.raises(DataError, match="different grids: register"):
        prepared(study(TRANSLATE, contrasts=["T1w", "FLAIR"], **WINDOW), brains(shifted={2}), tmp_path)


def test_unpaired_contrasts_have_weights_of_their_own(brains, tmp_path) -> None:
    asked = study(TRANSLATE, contrasts=["T1w", "FLAIR"], paired=False, **WINDOW)
    folder = brains(missing={(n, "T1w" if n % 2 else "FLAIR") for n in range(9)})
    site = prepared(asked, folder, tmp_path)
    cohort = TrainingPatients(site, 4, asked.made)
    records = cohort.records(torch.arange(cohort.n_patients), SecretRandom(bytes(32)))
    assert set(records.weights) == {"T1w", "FLAIR"}
    sums = {name: weights.sum(dim=1) for name, weights in records.weights.items()}
    for name, total in sums.items():
        assert bool(((total == 0) | torch.isclose(total, torch.ones(()))).all())
        assert bool((records.fields[name].flatten(2).abs().sum(dim=2)[records.weights[name] == 0] == 0).all())
    assert bool((sums["T1w"] + sums["FLAIR"] >= 1).all())


def test_neighbours_of_a_slice_are_channels_of_a_source_and_not_of_the_target(brains, tmp_path) -> None:
    slices = {"every": 2, "lower": 0, "upper": 1, "neighbours": 1}
    asked = study(TRANSLATE, contrasts=["T1w", "FLAIR"], slices=slices, **WINDOW)
    assert [field.channels for field in (*asked.made.given, *asked.made.makes)] == [3, 1]
    fields = fields_of(asked.made, prepared(asked, brains(), tmp_path), torch.arange(3))
    values = ((fields["T1w"][:, :, 8, 8] + 1) * 150).round()
    # At the ends of the volume the last slice stands in for the one beyond.
    assert (values - values[0, 0]).tolist() == [[0, 0, 1], [1, 2, 3], [3, 4, 4]]
    assert torch.allclose(
        (fields["FLAIR"][:, 0, 8, 8] - fields["T1w"][:, 1, 8, 8]) * 150, torch.tensor(100.0), atol=1
    )


def test_super_resolution_makes_its_source_of_the_target(brains, tmp_path) -> None:
    asked = study({**TRANSLATE, "downsample": 4}, contrasts=["FLAIR"], **WINDOW)
    site = prepared(asked, brains(), tmp_path)
    fields = fields_of(asked.made, site, torch.arange(4))
    assert set(fields) == {"FLAIR", "coarse", "present"}
    assert torch.allclose(fields["coarse"].mean(), fields["FLAIR"].mean(), atol=0.02)
    assert not torch.equal(fields["coarse"], fields["FLAIR"])


@pytest.fixture
def table(tmp_path: Path):
    """table(rows): 12 gray PNG with a mask, age, sex and an embedding each; `rows` changes cells by row and column."""

    def make(changes: dict[tuple[int, str], str] | None = None) -> Path:
        folder = tmp_path / "images"
        folder.mkdir()
        rng = np.random.default_rng(0)
        rows = []
        for n in range(12):
            Image.fromarray(rng.integers(0, 255, (SIDE, SIDE), dtype=np.uint8)).save(folder / f"{n}.png")
            mask = np.zeros((SIDE, SIDE), np.uint8)
            mask[:4], mask[8:] = 1, 2
            Image.fromarray(mask).save(folder / f"m{n}.png")
            np.save(folder / f"e{n}.npy", np.eye(3, dtype=np.float32)[n % 3] * 5)
            row = {
                "image": f"{n}.png",
                "patient": f"p{n}",
                "site": "s",
                "label": "all",
                "lungs": f"m{n}.png",
                "age": str(20 + 5 * n),
                "sex": "FM"[n % 2],
                "vector": f"e{n}.npy",
            }
            row |= {column: value for (line, column), value in (changes or {}).items() if line == n}
            rows.append(row)
        with (folder / "metadata.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
        return folder

    return make


COVARIATES = {"age": {"lower": 20, "upper": 100}, "sex": {"values": ["F", "M"]}}


def test_covariates_embeddings_and_masks_reach_the_records(table, tmp_path) -> None:
    asked = study(
        {"makes": ["image", "mask"], "given": ["covariates", "embedding"]},
        columns={"mask": "lungs", "embedding": "vector"},
        unmasked="exclude",
        mask_classes=["lung", "heart"],
        covariates=COVARIATES,
        embedding_size=3,
    )
    site = prepared(asked, table(), tmp_path)
    fields = fields_of(asked.made, site, torch.arange(12))
    order = [int(n) for n in ((fields["covariates"][:, 0] + 1) / 2 * 80 / 5).round()]
    assert sorted(order) == list(range(12))
    assert [int(row[1:].argmax()) for row in fields["covariates"]] == [n % 2 for n in order]
    assert torch.equal(fields["embedding"], torch.eye(3)[[n % 3 for n in order]])
    assert fields["mask"].shape == (12, 2, SIDE, SIDE)
    assert fields["mask"][0, :, :, 0].tolist() == [[1.0] * 4 + [-1.0] * 12, [-1.0] * 8 + [1.0] * 8]


@pytest.mark.parametrize(
    "task", [{"given": []}, {"given": ["covariates"]}, {"kind": "translate", "target": "FLAIR"}]
)
def test_labels_that_nothing_is_asked_by_are_not_read(task) -> None:
    data = {"covariates": COVARIATES} if task.get("given") else {}
    data |= {"contrasts": ["T1w", "FLAIR"]} if "target" in task else {}
    asked = study(task, **data)
    assert (asked.data.labels, asked.data.classes) == ((), ("image",))
    assert Study.model_validate(asked.model_dump(mode="json")) == asked


def test_a_table_of_any_labels_or_none_is_as_good(table, tmp_path) -> None:
    said = study({"given": []})
    folder = table({(n, "label"): f"finding {n}" for n in range(6)} | {(7, "label"): ""})
    site = prepared(said, folder, tmp_path)
    assert site.n_images == 12
    assert site.classes == ("image",)
    assert site.labels.tolist() == [0] * 12
    # One that is listed is a choice of images.
    some = study({"given": []}, labels=["all"], other_labels="exclude")
    assert prepared(some, folder, tmp_path / "some").n_images == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({(3, "age"): "old"}, "has age 'old', which is no number"),
        ({(3, "sex"): "X"}, "has sex 'X', which data.covariates.sex.values"),
        ({(3, "age"): ""}, "no value of one of data.covariates"),
        ({(3, "vector"): "none.npy"}, "does not exist"),
    ],
)
def test_a_wrong_cell_is_one_sentence(table, tmp_path, change, message) -> None:
    asked = study(
        {"given": ["covariates", "embedding"]},
        columns={"embedding": "vector"},
        covariates=COVARIATES,
        embedding_size=3,
    )
    with pytest.raises(DataError, match=message):
        prepared(asked, table(change), tmp_path)


def test_a_damaged_embedding_is_one_sentence(table, tmp_path) -> None:
    folder = table()
    asked = study({"given": ["embedding"]}, columns={"embedding": "vector"}, embedding_size=3)
    for content, message in ((b"\x93NUMPY", "cannot be read as an embedding"), (None, "holds 4 numbers")):
        if content is None:
            np.save(folder / "e5.npy", np.ones(4))
        else:
            (folder / "e5.npy").write_bytes(content)
        with pytest.raises(DataError, match=message):
            prepared(asked, folder, tmp_path)


def test_images_without_a_mask_are_excluded_only_where_asked(table, tmp_path) -> None:
    folder = table({(n, "lungs"): "" for n in (0, 5)})
    columns = {"columns": {"mask": "lungs"}}
    assert prepared(study({}, **columns), folder, tmp_path).n_images == 12
    kept = prepared(study({}, unmasked="exclude", **columns), folder, tmp_path / "other")
    assert kept.n_images == 10
    assert bool(kept.masked.all())


@pytest.mark.parametrize(
    ("task", "data", "message"),
    [
        ({"kind": "translate"}, {}, "target is missing"),
        (TRANSLATE, {}, "task.target is FLAIR, which data.contrasts"),
        (TRANSLATE, {"contrasts": ["FLAIR"]}, "nothing is given to make FLAIR from"),
        (TRANSLATE, {"contrasts": ["T1w", "FLAIR"], "required": ["T1w"]}, "required must name task.target"),
        (TRANSLATE, {"contrasts": ["T1w", "FLAIR"], "required": ["T2w"]}, "which contrasts does not list"),
        (TRANSLATE, {"contrasts": ["T1w", "FLAIR"], "modality": "T1w"}, "leave modality out"),
        ({}, {"contrasts": ["T1w", "FLAIR"]}, "task.kind is create"),
        ({"makes": ["image", "mask"]}, {}, "set data.unmasked to exclude"),
        ({"makes": ["mask"]}, {}, "must be .image. or .image, mask."),
        ({"given": ["covariates"]}, {}, "data.covariates lists none"),
        ({"given": ["embedding"]}, {}, "name the column"),
        ({"given": []}, {"labels": ["a", "b"]}, "nothing tells them apart"),
        ({}, {"labels": []}, "data.labels lists none"),
        ({}, {"slices": {"neighbours": 1}}, "leave it out"),
        ({"target": "FLAIR"}, {}, "are of a translation"),
        ({}, {"covariates": {"age": {"lower": 3}}}, "either lower and upper, or values"),
        ({}, {"embedding_size": 3}, "belong together"),
    ],
)
def test_what_does_not_go_together_is_one_sentence(task, data, message) -> None:
    with pytest.raises((StudyError, ValueError), match=message):
        study(task, **data)
