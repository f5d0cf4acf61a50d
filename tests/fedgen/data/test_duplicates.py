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
    across_patients,
    exact_groups,
    near_pairs,
    pairs_of_groups,
    patient_groups,
    refuse_tied_patients,
)
from fedgen.data.fingerprint import Fingerprints, dhash, sha256
from fedgen.data.inspect import inspect_data
from fedgen.errors import DataError
from fedgen.study.data import DataSection


def fingerprints(images: list[np.ndarray]) -> Fingerprints:
    found = Fingerprints.empty(len(images))
    for i, image in enumerate(images):
        found.put(i, image.astype(np.float32)[..., np.newaxis])
    return found


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 5), max_size=12), st.integers(0, 40), st.integers(0, 2**31 - 1))
def test_pairs_agree_with_a_naive_loop(contents: list[int], bits: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = len(contents)
    prints = Fingerprints(
        np.repeat(np.array(contents, np.uint8).reshape(-1, 1), 32, axis=1),
        np.packbits(rng.random((n, 256)) < rng.choice([0.02, 0.05, 0.5]), axis=1),
        rng.random(n) < 0.2,
    )
    hashes = np.unpackbits(prints.near, axis=1)
    usable = [i for i in range(n) if not prints.blank[i]]
    pairs = [(i, j) for i in usable for j in usable if i < j]
    near = [(i, j) for i, j in pairs if contents[i] != contents[j] and (hashes[i] != hashes[j]).sum() <= bits]
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
    assert dhash(image).shape == (32,)


def test_blank_images_tie_nobody_together() -> None:
    prints = fingerprints([np.zeros((8, 8)), np.zeros((8, 8))])
    assert patient_groups(["a", "b"], prints) == ()


def test_ties_are_transitive() -> None:
    prints = Fingerprints.empty(7)
    prints.exact[:, 0] = [1, 1, 2, 2, 3, 4, 4]
    patients = ["a", "b", "b", "c", "d", "e", "e"]
    # a-b share image 1, b-c share image 2; e has its own image twice.
    assert patient_groups(patients, prints) == (("a", "b", "c"),)
    assert across_patients(np.array([[0, 1], [5, 6]]), patients).tolist() == [[0, 1]]
    refuse_tied_patients(())
    with pytest.raises(DataError, match="1 group of patients share equal images"):
        refuse_tied_patients((("a", "b", "c"),))


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
    report = inspect_data(png_folder, DataSection())
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
    }


def test_inspection_asks_about_one_person_under_two_identities(png_folder: Path) -> None:
    images = png_folder / "images"
    (images / "south-0-0.png").write_bytes((images / "north-0-0.png").read_bytes())
    report = inspect_data(png_folder, DataSection())
    assert len(report.shared_between_patients) == 1
    assert any("under two identities?" in finding.sentence for finding in report.findings)
