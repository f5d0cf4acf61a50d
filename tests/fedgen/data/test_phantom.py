"""The phantom: reproducible, valid DICOM, both classes everywhere, lesions where the masks say."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydantic import ValidationError

from fedgen.data.phantom.anatomy import TISSUES, Head, cut
from fedgen.data.phantom.scanner import Scanner, scan
from fedgen.data.phantom.write import _cohort, phantom_sites, write_phantom, write_phantom_site
from fedgen.errors import DataError, StudyError
from fedgen.study.data import Phantom

SMALL = Phantom(sites=2, patients=4)
GOLDEN = ["9e5609d8ba72068b", "a9d716d64f2e1089"]
TOP = {"labels.csv", "phantom.json"}


def digest(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_seed_fixes_every_byte(tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        write_phantom(tmp_path / name, SMALL, seed, (32, 32))
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    uids = [{str(pydicom.dcmread(f).SOPInstanceUID) for f in (tmp_path / n).rglob("*.dcm")} for n in "ac"]
    assert uids[0]
    assert not uids[0] & uids[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]


def test_the_images_are_those_of_this_version(tmp_path: Path) -> None:
    """Every run that is continued relies on it: where this changes, PHANTOM_VERSION must.

    Each SOPInstanceUID is a hash of the image's pixels, identity and number, so the table stands for all of them.
    """
    write_phantom(tmp_path / "p", SMALL, 3, (32, 40))
    table = (tmp_path / "p" / "labels.csv").read_bytes()
    masks = b"".join(
        np.asarray(Image.open(path)).tobytes() for path in sorted((tmp_path / "p").rglob("mask-*.png"))
    )
    assert [hashlib.sha256(content).hexdigest()[:16] for content in (table, masks)] == GOLDEN


def test_files_are_byte_for_byte_what_pydicom_writes(tmp_path: Path) -> None:
    write_phantom(tmp_path / "p", SMALL, 3, (32, 40))
    for path in (tmp_path / "p").rglob("*.dcm"):
        read = pydicom.dcmread(path)
        anew = pydicom.Dataset()
        for element in read:
            # Decoded and set again, so that every element is encoded by pydicom, in its own order.
            setattr(anew, element.keyword, element.value)
        anew.file_meta = pydicom.dataset.FileMetaDataset()
        anew.file_meta.MediaStorageSOPClassUID = read.SOPClassUID
        anew.file_meta.MediaStorageSOPInstanceUID = read.SOPInstanceUID
        anew.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        anew.save_as(tmp_path / "again.dcm", enforce_file_format=True)
        assert (tmp_path / "again.dcm").read_bytes() == path.read_bytes()


def test_one_site_alone_is_the_site_of_the_whole(tmp_path: Path) -> None:
    assert phantom_sites(SMALL) == ("Ashford", "Brookside")
    write_phantom(tmp_path / "all", SMALL, 3, (32, 32))
    write_phantom_site(tmp_path / "one", SMALL, "Brookside", 3, (32, 32))
    whole, one = digest(tmp_path / "all"), digest(tmp_path / "one")
    own = {name for name in whole if name.startswith("Brookside")}
    assert {name: whole[name] for name in own} == {name: one[name] for name in set(one) - TOP}
    rows = (tmp_path / "all" / "labels.csv").read_text().splitlines()
    kept = [row for row in rows if "Ashford" not in row]
    assert 2 < len(kept) < len(rows)
    assert (tmp_path / "one" / "labels.csv").read_text().splitlines() == kept
    # Written again it stays; another site, or the whole, is something else.
    write_phantom_site(tmp_path / "one", SMALL, "Brookside", 3, (32, 32))
    for other in (
        lambda p: write_phantom_site(p, SMALL, "Ashford", 3, (32, 32)),
        lambda p: write_phantom(p, SMALL, 3),
    ):
        with pytest.raises(DataError, match="holds something else than this phantom"):
            other(tmp_path / "one")
    with pytest.raises(StudyError, match="no site 'Cedarhill': take one of Ashford, Brookside"):
        write_phantom_site(tmp_path / "none", SMALL, "Cedarhill", 3)
    assert not (tmp_path / "none").exists()


def test_there_are_sixty_four_hospitals_and_no_two_are_alike(tmp_path: Path) -> None:
    many = Phantom(sites=64, patients=4)
    names = phantom_sites(many)
    assert len(set(names)) == 64 and names[:2] == phantom_sites(SMALL)
    first, last = (_cohort(name, 4, 3) for name in (names[0], names[-1]))
    assert first.scanner != last.scanner
    with pytest.raises(ValidationError, match="less than or equal to 64"):
        Phantom(sites=65, patients=4)


def test_an_existing_phantom_stays_and_anything_else_is_refused(tmp_path: Path) -> None:
    write_phantom(tmp_path / "a", SMALL, 3, (32, 32))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "a").rglob("*")}
    write_phantom(tmp_path / "a", SMALL, 3, (32, 32))
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "a").rglob("*")} == before
    with pytest.raises(DataError, match="holds something else than this phantom"):
        write_phantom(tmp_path / "a", SMALL, 4, (32, 32))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(DataError, match="is not empty"):
        write_phantom(tmp_path / "mine", SMALL, 3)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="Cannot write"):
        write_phantom(tmp_path / "file" / "phantom", SMALL, 0)


def test_files_are_what_a_hospital_would_export(tmp_path: Path) -> None:
    write_phantom(tmp_path / "p", SMALL, 0, (48, 40))
    with (tmp_path / "p" / "labels.csv").open() as handle:
        rows = {row["SOPInstanceUID"]: row for row in csv.DictReader(handle)}
    files = sorted((tmp_path / "p").rglob("*.dcm"))
    assert len(files) == len(rows)
    seen: dict[str, set[str]] = {}
    for file in files:
        dataset = pydicom.dcmread(file)
        row = rows[dataset.SOPInstanceUID]
        assert dataset.PatientID
        assert dataset.PatientName
        assert len(dataset.PatientBirthDate) == 8
        assert dataset.SeriesDescription in ("T1w", "T2w")
        assert dataset.pixel_array.shape == (48, 40)
        seen.setdefault(dataset.InstitutionName, set()).add(row["label"])
        mask = np.asarray(Image.open(tmp_path / "p" / row["mask"]))
        assert mask.shape == (48, 40)
        assert mask.any() == (row["label"] == "lesion")
    assert seen == {"Ashford": {"none", "lesion"}, "Brookside": {"none", "lesion"}}


@pytest.mark.parametrize("seed", range(12))
def test_tissues_fill_every_pixel_and_lesions_are_bright(seed: int) -> None:
    rng = np.random.default_rng(seed)
    head = Head.draw(rng, lesion=True)
    for level in (-0.7, 0.0, 0.7):
        anatomy = cut(head, level, (96, 96))
        np.testing.assert_allclose(anatomy.tissues.sum(axis=0), 1)
        assert anatomy.tissues.min() >= 0
        assert 20 < anatomy.lesion.sum() < 1200
        # Corners are air, and no lesion grows out of the brain.
        assert anatomy.tissues[0][[0, 0, -1, -1], [0, -1, 0, -1]].min() == 1
        outside = sum(anatomy.tissues[TISSUES.index(name)] for name in ("air", "scalp", "skull"))
        assert outside[anatomy.lesion].max() < 0.5
        image = scan(anatomy, "T1w", Scanner.of_site(seed, rng), rng)
        white = anatomy.tissues[TISSUES.index("white")] > 0.95
        assert image[anatomy.lesion].mean() > image[white].mean() + 0.08
        assert image.min() >= 0
        assert image.max() <= 1


def test_patients_and_sites_look_different() -> None:
    rng = np.random.default_rng(0)
    shapes = [cut(Head.draw(rng, lesion=False), 0, (64, 64)).tissues[0] for _ in range(6)]
    assert min(np.abs(a - b).mean() for i, a in enumerate(shapes) for b in shapes[:i]) > 0.003
    anatomy = cut(Head.draw(rng, lesion=False), 0, (64, 64))
    looks = [scan(anatomy, "T1w", Scanner.of_site(n, rng), rng) for n in range(4)]
    assert min(np.abs(a - b).mean() for i, a in enumerate(looks) for b in looks[:i]) > 0.02
