"""Equal and nearly equal images, and the inspection report about them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fedgen.data.duplicates import (
    MOST_ALIKE,
    across_patients,
    exact_groups,
    near_pairs,
    pairs_of_groups,
    telling,
)
from fedgen.data.fingerprint import Fingerprints, detail, dhash, sha256, small_picture
from fedgen.data.index import IndexEntry, PatientIndex
from fedgen.data.inspect.look import inspect_data
from fedgen.data.ties import Likeness, connected, picture_findings, tied_patients


def fingerprints(images: list[np.ndarray]) -> Fingerprints:
    found = Fingerprints.empty(len(images))
    for i, image in enumerate(images):
        found.put(i, image.astype(np.float32)[..., np.newaxis])
    return found


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    one, other = one.astype(float), other.astype(float)
    return float(one @ other / np.sqrt((one @ one) * (other @ other)))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 5), max_size=12), st.integers(0, 40), st.integers(0, 2**31 - 1))
def test_pairs_agree_with_a_naive_loop(contents: list[int], bits: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = len(contents)
    few = rng.normal(size=(3, 1024))
    prints = Fingerprints(
        np.repeat(np.array(contents, np.uint8).reshape(-1, 1), 32, axis=1),
        np.packbits(rng.random((n, 256)) < rng.choice([0.02, 0.05, 0.5]), axis=1),
        np.round(30 * few[rng.integers(0, 3, n)] + rng.normal(size=(n, 1024)))
        .clip(-127, 127)
        .astype(np.int8),
        rng.random(n) < 0.2,
    )
    hashes = np.unpackbits(prints.near, axis=1)
    usable = [i for i in range(n) if not prints.blank[i]]
    pairs = [(i, j) for i in usable for j in usable if i < j]
    near = [
        (i, j)
        for i, j in pairs
        if contents[i] != contents[j]
        and (hashes[i] != hashes[j]).sum() <= bits
        and cosine(prints.detail[i], prints.detail[j]) >= 0.93
    ]
    assert [tuple(pair) for pair in near_pairs(prints, bits).tolist()] == near
    equal = {(i, j) for i, j in pairs if contents[i] == contents[j]}
    groups = exact_groups(prints)
    assert {(i, j) for g in groups for i in g.tolist() for j in g.tolist() if i < j} == equal
    assert len(pairs_of_groups(groups)) == len(usable) - len({contents[i] for i in usable})


def test_blocks_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    prints = Fingerprints.empty(50)
    prints.exact[:] = np.arange(50)[:, np.newaxis]
    prints.near[:] = rng.integers(0, 256, (1, 32))
    prints.near[::7, 0] ^= 1
    prints.detail[:] = rng.integers(-100, 100, (1, 1024))
    whole = near_pairs(prints)
    monkeypatch.setattr("fedgen.data.duplicates._BLOCK", 8)
    np.testing.assert_array_equal(near_pairs(prints), whole)
    assert len(whole) == 50 * 49 // 2


def test_a_recompressed_rescaled_copy_is_near_and_another_picture_is_not(picture: Callable) -> None:
    original = picture(1, (120, 160))
    buffer = io.BytesIO()
    small = Image.fromarray(original).resize((80, 60), Image.Resampling.BILINEAR)
    small.point(lambda v: int(0.8 * v + 20)).save(buffer, "JPEG", quality=80)
    copy = np.asarray(Image.open(buffer))
    prints = fingerprints([original, picture(2, (120, 160)), copy])
    assert near_pairs(prints).tolist() == [[0, 2]]
    assert exact_groups(prints) == []


def test_equality_is_of_values_and_shape_not_of_files() -> None:
    image = np.arange(12, dtype=np.float32).reshape(3, 4, 1)
    assert sha256(image) == sha256(image.astype(np.float64).astype(np.float32).copy(order="F"))
    assert sha256(image) != sha256(image.reshape(4, 3, 1))
    assert sha256(image) != sha256(image + 1)
    assert dhash(small_picture(image)).shape == (32,)
    assert detail(small_picture(image)).shape == (1024,)


def index_of(patients: list[str], studies: dict[str, str] | None = None) -> PatientIndex:
    return PatientIndex(
        "table",
        tuple(
            IndexEntry(
                files=(f"{n}.png",),
                patient=patient,
                site="s",
                label="none",
                mask=None,
                modality="",
                series="",
                study=(studies or {}).get(patient, ""),
                spacing=None,
                orientation="",
                slices=None,
                size=(8, 8),
            )
            for n, patient in enumerate(patients)
        ),
    )


def test_blank_images_tie_nobody_together() -> None:
    likeness = Likeness.of(fingerprints([np.zeros((8, 8)), np.zeros((8, 8))]))
    assert tied_patients(index_of(["a", "b"]), ["a", "b"], likeness) == ()


def test_ties_are_transitive() -> None:
    prints = Fingerprints.empty(7)
    prints.exact[:, 0] = [1, 1, 2, 2, 3, 4, 4]
    prints.blank[4] = True
    prints.near[:] = np.arange(7)[:, np.newaxis] * 36
    patients = ["a", "b", "b", "c", "d", "e", "e"]
    # a-b share image 1, b-c share image 2; e has its own image twice.
    likeness = Likeness.of(prints)
    assert tied_patients(index_of(patients), patients, likeness) == (("a", "b", "c"),)
    (finding,) = picture_findings(patients, np.zeros(7, np.int64), likeness)
    assert (finding.kind, finding.count) == ("joined_patients", 3)
    assert across_patients(np.array([[0, 1], [5, 6]]), patients).tolist() == [[0, 1]]


def test_one_form_and_one_examination_tie_without_a_picture() -> None:
    nothing = Likeness.of(Fingerprints.empty(0))
    uid = "1.2.840.113619.2.1"
    index = index_of(["007", "7", "x", "y", "Z 1"], {"x": uid, "y": uid, "Z 1": "1", "7": "1"})
    assert tied_patients(index, [], nothing) == (("007", "7"), ("x", "y"))
    assert connected([("a", "b"), ("c", "b"), ("d", "d")]) == (("a", "b", "c"),)


def test_equal_images_of_different_classes_are_told() -> None:
    prints = Fingerprints.empty(3)
    prints.exact[:, 0] = [1, 1, 2]
    prints.near[2] = 255
    (finding,) = picture_findings(["a", "a", "b"], np.array([0, 1, 1]), Likeness.of(prints))
    assert (finding.kind, finding.count) == ("equal_images_other_labels", 1)


def test_a_simple_kind_of_picture_ties_nobody() -> None:
    # A digit looks like many others; one person's picture under another identity looks like few.
    many = np.array([[0, other] for other in range(1, MOST_ALIKE + 2)] + [[20, 21]])
    assert telling(many, [str(n) for n in range(22)]).tolist() == [[20, 21]]
    assert len(telling(many[:MOST_ALIKE], [str(n) for n in range(22)])) == MOST_ALIKE


def test_inspection_reports_everything_and_refuses_nothing(png_folder: Path, png_rows, write_rows) -> None:
    images = png_folder / "images"
    (images / "south-0-0.png").write_bytes((images / "north-0-0.png").read_bytes())
    near = np.asarray(Image.open(images / "north-2-0.png")).astype(int)
    Image.fromarray(np.clip(near + 2, 0, 255).astype(np.uint8)).save(images / "south-3-1.png")
    (images / "north-5-0.png").write_bytes(b"broken")
    whole = (images / "north-6-0.png").read_bytes()
    (images / "north-6-0.png").write_bytes(whole[: len(whole) // 2])
    (images / "north-6-1.png").unlink()
    png_rows[0]["patient"] = "south0"
    png_rows[4]["label"] = "unheard of"
    write_rows(png_folder / "metadata.csv", png_rows)
    report = inspect_data(png_folder)
    assert [(site.site, site.patients) for site in report.sites] == [("north", 9), ("south", 8)]
    assert report.sites[0].labels["unheard of"] == 1
    assert report.sizes == {"20x28": 30}
    assert report.colours == {"gray": 29}
    assert report.intensity is not None
    assert 0 <= report.intensity["minimum"] < report.intensity["maximum"] <= 255
    assert {problem.path for problem in report.unreadable} == {
        f"images/north-{n}.png" for n in ("5-0", "6-0", "6-1")
    }
    assert any("does not exist (row" in problem.sentence for problem in report.unreadable)
    assert report.patients_at_several_sites == ("south0",)
    (group,) = report.exact_duplicates
    assert [image.path for image in group] == ["images/north-0-0.png", "images/south-0-0.png"]
    assert report.shared_between_patients == ()
    assert [{a.patient, b.patient} for a, b in report.near_duplicates] == [{"north2", "south3"}]
    counts = {finding.kind: finding.count for finding in report.findings}
    assert counts == {
        "unreadable": 3,
        "patient_at_several_sites": 1,
        "exact_duplicates": 1,
        "near_duplicates": 1,
        "small_site": 8,
    }


def test_inspection_asks_about_one_person_under_two_identities(png_folder: Path) -> None:
    images = png_folder / "images"
    (images / "south-0-0.png").write_bytes((images / "north-0-0.png").read_bytes())
    report = inspect_data(png_folder)
    assert len(report.shared_between_patients) == 1
    assert any("under two identities?" in finding.sentence for finding in report.findings)


def brain(seed: int, size: int = 96) -> np.ndarray:
    """A head on black, as registration leaves it: the shape is everybody's, the folds are one person's."""
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    inside = (x / 0.7) ** 2 + (y / 0.9) ** 2 < 1
    coarse = np.random.default_rng(seed).normal(0, 1, (14, 14))
    folds = np.asarray(
        Image.fromarray(coarse.astype(np.float32)).resize((size, size), Image.Resampling.BICUBIC)
    )
    return np.clip((140 - 60 * np.hypot(x, y) + 12 * folds) * inside, 0, 255).astype(np.uint8)


def test_heads_of_different_people_are_not_near() -> None:
    images = [brain(seed) for seed in range(40)]
    prints = fingerprints(images)
    hashes = np.unpackbits(prints.near, axis=1)
    # The hash alone would cry wolf: their shape is the same.
    closest = min((hashes[i] != hashes[j]).sum() for i in range(40) for j in range(i))
    assert closest <= 40
    assert len(near_pairs(prints, bits=256)) == 0


@pytest.mark.parametrize("change", ["noise", "jpeg", "half", "gamma", "moved"])
def test_a_head_changed_a_little_is_near(change: str) -> None:
    original = brain(3)
    changed = original
    if change == "noise":
        changed = np.clip(original + np.random.default_rng(1).normal(0, 3, original.shape), 0, 255)
    elif change == "jpeg":
        buffer = io.BytesIO()
        Image.fromarray(original).save(buffer, "JPEG", quality=40)
        changed = np.asarray(Image.open(buffer))
    elif change == "half":
        changed = np.asarray(Image.fromarray(original).resize((48, 48), Image.Resampling.BILINEAR))
    elif change == "gamma":
        changed = 255 * (original / 255) ** 0.8
    else:
        changed = np.roll(original, 1, axis=1)
    prints = fingerprints([original, *(brain(seed) for seed in range(10, 20)), changed])
    assert near_pairs(prints).tolist() == [[0, 11]]
