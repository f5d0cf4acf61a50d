"""The same anatomy from DICOM and NIfTI gives the same pixels, whichever way round a scanner stored it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from fedgen.data.build import build_index
from fedgen.data.decoders.dicom import DECODER
from fedgen.data.index import IndexEntry
from fedgen.data.masks.read import read_masks
from fedgen.data.read import read_stored
from fedgen.study.data import DataSection

SHAPE, SPACING = (4, 6, 5), (1.0, 2.0, 3.0)
AXES = {side: axis for axis, sides in enumerate(("RL", "AP", "SI")) for side in sides}
LPS = {"L": (1, 0, 0), "R": (-1, 0, 0), "P": (0, 1, 0), "A": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1)}
#: Axial, coronal and sagittal: as radiologists look at them, feet first, mirrored, turned.
PLANES = [
    "".join(sides)
    for axes in itertools.permutations(("LR", "PA", "IS"), 2)
    for sides in itertools.product(*axes)
]
USUAL = ("PL", "AL", "IL", "SR", "IP", "SA")
WriteDicom = Callable[..., Dataset]


def anatomy() -> np.ndarray:
    """A value a place: x to the patient's right, y to anterior, z to superior."""
    return np.arange(np.prod(SHAPE), dtype=np.uint16).reshape(SHAPE)


def right(axis: int) -> np.ndarray:
    """Slices along an axis by plain indexing: rows from the highest place down, columns from the lowest on."""
    across, up = (i for i in range(3) if i != axis)
    slices = np.empty((SHAPE[axis], SHAPE[up], SHAPE[across]))
    for place in itertools.product(*(range(side) for side in SHAPE)):
        slices[place[axis], SHAPE[up] - 1 - place[up], place[across]] = anatomy()[place]
    return slices[..., np.newaxis]


def place_in_mm(place: tuple[int, ...]) -> tuple[float, ...]:
    """LPS of a voxel whose first one lies at (-10, 20, 30) RAS."""
    x, y, z = (origin + n * side for origin, n, side in zip((-10, 20, 30), place, SPACING, strict=True))
    return (-x, -y, z)


def slices_of(plane: str) -> list[tuple[np.ndarray, tuple[float, ...], tuple[float, float]]]:
    """Pixels, position and spacing of each slice that a scanner stores with rows and columns towards `plane`."""
    down, across = AXES[plane[0]], AXES[plane[1]]
    (through,) = {0, 1, 2} - {down, across}
    found = []
    for n in range(SHAPE[through]):
        pixels, first = np.empty((SHAPE[down], SHAPE[across]), np.uint16), (0.0,) * 3
        for row, column in itertools.product(range(SHAPE[down]), range(SHAPE[across])):
            place = [0, 0, 0]
            place[through] = n
            place[down] = row if plane[0] in "RAS" else SHAPE[down] - 1 - row
            place[across] = column if plane[1] in "RAS" else SHAPE[across] - 1 - column
            pixels[row, column] = anatomy()[tuple(place)]
            if row == column == 0:
                first = place_in_mm(tuple(place))
        found.append((pixels, first, (SPACING[down], SPACING[across])))
    return found


def data(axis: int, **keys: Any) -> DataSection:
    slices = {"axis": axis, "lower": 0, "upper": 1, "every": 1}
    return DataSection.model_validate(
        {"labels": ["image"], "image_size": [16, 16], "slices": slices, "one_class_sites": "allow", **keys}
    )


def one_entry(folder: Path, axis: int) -> IndexEntry:
    (entry,) = build_index(folder, data(axis)).entries
    return entry


def nifti_entry(folder: Path, axis: int) -> IndexEntry:
    affine = np.diag([*SPACING, 1.0])
    affine[:3, 3] = (-10, 20, 30)
    folder.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(anatomy(), affine), folder / "a.nii.gz")
    (folder / "metadata.csv").write_text("image,patient,site\na.nii.gz,P1,North\n")
    return one_entry(folder, axis)


@pytest.mark.parametrize("plane", PLANES)
def test_a_series_of_files_is_the_volume_that_nifti_holds(
    write_dicom: WriteDicom, tmp_path: Path, plane: str
) -> None:
    for n, (pixels, position, spacing) in enumerate(slices_of(plane)):
        # Neither names nor InstanceNumber tell the order.
        name, number = f"{(n * 3) % 7}.dcm", (n * 5) % 7
        write_dicom(
            tmp_path / "dicom" / name, pixels, plane=plane, position=position, PixelSpacing=list(spacing),
            InstanceNumber=number,
        )  # fmt: skip
    (native,) = {0, 1, 2} - {AXES[side] for side in plane}
    for axis in range(3) if plane in USUAL else (native,):
        entry, twin = one_entry(tmp_path / "dicom", axis), nifti_entry(tmp_path / "nifti", axis)
        np.testing.assert_array_equal(read_stored(tmp_path / "dicom", entry), right(axis))
        np.testing.assert_array_equal(read_stored(tmp_path / "nifti", twin), right(axis))
        assert (entry.size, entry.spacing, entry.orientation) == (twin.size, twin.spacing, twin.orientation)
        assert (entry.slices, entry.n_images) == (twin.slices, twin.n_images)
        np.testing.assert_allclose(np.array(entry.affine), np.array(twin.affine), atol=1e-6)


@pytest.mark.parametrize("plane", USUAL)
def test_frames_of_an_enhanced_object_are_the_same_volume(
    write_dicom: WriteDicom, tmp_path: Path, plane: str
) -> None:
    stored = slices_of(plane)[::-1]

    def groups(dataset: Dataset) -> None:
        shared, measures, orientation = Dataset(), Dataset(), Dataset()
        measures.PixelSpacing = list(stored[0][2])
        orientation.ImageOrientationPatient = [*LPS[plane[1]], *LPS[plane[0]]]
        shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = (
            Sequence([measures]),
            Sequence([orientation]),
        )
        dataset.SharedFunctionalGroupsSequence = Sequence([shared])
        frames = []
        for _, position, _ in stored:
            frame, place = Dataset(), Dataset()
            place.ImagePositionPatient = list(position)
            frame.PlanePositionSequence = Sequence([place])
            frames.append(frame)
        dataset.PerFrameFunctionalGroupsSequence = Sequence(frames)

    write_dicom(tmp_path / "a.dcm", np.stack([pixels for pixels, _, _ in stored]), change=groups)
    for axis in range(3):
        entry = one_entry(tmp_path, axis)
        np.testing.assert_array_equal(read_stored(tmp_path, entry), right(axis))
        across, up = (i for i in range(3) if i != axis)
        assert entry.spacing == (SPACING[up], SPACING[across])


def test_a_fraction_of_the_depth_is_the_same_slice_of_every_source(
    write_dicom: WriteDicom, tmp_path: Path
) -> None:
    for n, (pixels, position, _) in enumerate(slices_of("PL")):
        write_dicom(tmp_path / f"{n}.dcm", pixels, plane="PL", position=position)
    index = build_index(tmp_path, data(2, slices={"lower": 0.25, "upper": 0.5}))
    np.testing.assert_array_equal(read_stored(tmp_path, index.entries[0]), right(2)[1:3:2])
    assert index.n_images == 1


def test_an_oblique_slice_is_turned_to_its_closest_axes_and_told(
    write_dicom: WriteDicom, tmp_path: Path
) -> None:
    pixels = slices_of("PL")[0][0]
    angle = np.radians(20)
    directions = [np.cos(angle), np.sin(angle), 0, -np.sin(angle), np.cos(angle), 0]
    write_dicom(
        tmp_path / "a.dcm", pixels, ImageOrientationPatient=directions, ImagePositionPatient=[0, 0, 0]
    )
    index = build_index(tmp_path, data(2))
    assert index.entries[0].orientation == "PR"
    np.testing.assert_array_equal(read_stored(tmp_path, index.entries[0])[0, ..., 0], pixels[:, ::-1])
    assert [finding.count for finding in index.findings if "oblique" in finding.sentence] == [1]


@pytest.mark.parametrize(
    ("named", "modality", "turn", "orientation"),
    [
        (["L", "F"], "DX", lambda a: a, "IL"),
        (["R", "H"], "CR", lambda a: a[::-1, ::-1], "IL"),
        (["F", "R"], "DX", lambda a: a.T[:, ::-1], "IL"),
        (["P", "F"], "DX", lambda a: a[:, ::-1], "IA"),
        (["A", "FR"], "MG", lambda a: a, "IA"),
        (["P", "L"], "MG", lambda a: a, "LP"),
        (["L"], "DX", lambda a: a, ""),
        (["X", "F"], "DX", lambda a: a, ""),
    ],
)
def test_a_radiograph_is_upright_where_it_says_how(
    write_dicom: WriteDicom, tmp_path: Path, named: list[str], modality: str, turn: Any, orientation: str
) -> None:
    pixels = np.arange(20, dtype=np.uint16).reshape(4, 5)
    write_dicom(
        tmp_path / "a.dcm", pixels, PatientOrientation=named, Modality=modality, ImagerPixelSpacing=[1, 2]
    )
    entry = one_entry(tmp_path, 2)
    np.testing.assert_array_equal(read_stored(tmp_path, entry)[0, ..., 0], turn(pixels))
    assert entry.orientation == orientation
    assert entry.spacing == ((2.0, 1.0) if turn(pixels).shape == (5, 4) else (1.0, 2.0))


def test_a_mask_without_geometry_is_turned_with_its_image(write_dicom: WriteDicom, tmp_path: Path) -> None:
    pixels = slices_of("PL")[0][0]
    dataset = write_dicom(tmp_path / "a.dcm", pixels, plane="PL", position=(0, 0, 0))
    drawn = (pixels > np.median(pixels)).astype(np.uint8)
    Image.fromarray(drawn * 255).save(tmp_path / "m.png")
    (tmp_path / "labels.csv").write_text(f"SOPInstanceUID,mask\n{dataset.SOPInstanceUID},m.png\n")
    (entry,) = build_index(tmp_path, data(2, columns={"mask": "mask"})).entries
    np.testing.assert_array_equal(read_masks(tmp_path, entry)[0][0], drawn[:, ::-1])
    assert entry.stored_orientation == "PL"


def test_what_is_no_pair_of_directions_is_told_and_not_used(write_dicom: WriteDicom, tmp_path: Path) -> None:
    pixels = slices_of("PL")[0][0]
    write_dicom(tmp_path / "a.dcm", pixels, ImageOrientationPatient=[1, 0, 0, 1, 0, 0])
    index = build_index(tmp_path, data(2))
    assert index.entries[0].orientation == ""
    np.testing.assert_array_equal(DECODER.pixels(tmp_path / "a.dcm", None)[0, ..., 0], pixels)
    assert [finding.kind for finding in index.findings] == ["guessed_geometry"]
