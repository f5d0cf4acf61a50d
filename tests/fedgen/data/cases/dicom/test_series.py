"""Files of a series become volumes by geometry, and what is odd about them is told, asked or refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from fedgen.data.build import build_index
from fedgen.data.folder_scan import scan_folder
from fedgen.data.index import PatientIndex
from fedgen.data.read import read_stored
from fedgen.errors import DataError
from fedgen.study.data import DataSection

WriteDicom = Callable[..., Dataset]


def data(**keys: Any) -> DataSection:
    whole = {"lower": 0, "upper": 1, "every": 1}
    given = {"labels": ["image"], "image_size": [16, 16], "slices": whole, "one_class_sites": "allow", **keys}
    return DataSection.model_validate(given)


def pixels(seed: int, shape: tuple[int, int] = (6, 8)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, shape).astype(np.uint16)


@pytest.fixture
def series(write_dicom: WriteDicom, tmp_path: Path) -> Callable[..., Path]:
    """series(places, ...) -> a folder with an axial slice at each place along the patient."""

    def make(places: list[float], name: str = "s", step: tuple[float, float] = (0, 0), **tags: Any) -> Path:
        for n, z in enumerate(places):
            write_dicom(
                tmp_path / "dicom" / f"{name}{n}.dcm", pixels(n), plane="PL", position=(step[0] * n, step[1] * n, z),
                PixelSpacing=[1, 1], InstanceNumber=n, **{"SeriesInstanceUID": "1.2.3", **tags},
            )  # fmt: skip
        return tmp_path / "dicom"

    return make


def told(index: PatientIndex, kind: str) -> list[str]:
    return [finding.sentence for finding in index.findings if finding.kind == kind]


def test_slices_lie_as_their_places_say(series) -> None:
    folder = series([10, 0, 5, -5])
    (entry,) = build_index(folder, data()).entries
    assert entry.files == ("s3.dcm", "s1.dcm", "s2.dcm", "s0.dcm")
    got = read_stored(folder, entry)[..., 0]
    np.testing.assert_array_equal(got, [pixels(n)[:, ::-1] for n in (3, 1, 2, 0)])


@pytest.mark.parametrize("places", [[0, 5, 15, 20], [0, 5, 10, 17], [0, 1, 10]])
def test_unequal_distances_are_told_and_not_cut_across(series, places: list[float]) -> None:
    folder = series(places)
    index = build_index(folder, data())
    assert index.n_images == len(places)
    assert "not at equal distances" in told(index, "uneven_slices")[0]
    with pytest.raises(DataError, match=r"unequal distances along axis 2.* set data\.slices\.axis to 2"):
        build_index(folder, data(slices={"axis": 0}))


def test_rounded_places_are_equal_distances(series) -> None:
    assert not told(build_index(series([0, 3.333, 6.667, 10.001]), data()), "uneven_slices")


@pytest.mark.parametrize(("step", "axis", "words"), [(5, 0, 1), (5, 2, 0), (2, 0, 0)])
def test_to_cut_across_thick_slices_is_told(series, step: float, axis: int, words: int) -> None:
    folder = series([step * n for n in range(6)])
    index = build_index(folder, data(slices={"axis": axis}))
    assert len(told(index, "cut_across")) == words


def test_a_tilted_gantry_is_told(series) -> None:
    index = build_index(series([0, 5, 10], step=(0, 1.5)), data())
    assert len(told(index, "tilted_slices")) == 1
    assert not told(index, "uneven_slices")


def test_directions_and_sizes_of_a_series_are_volumes_of_their_own(series, write_dicom: WriteDicom) -> None:
    folder = series([0, 5, 10])
    for n in range(2):
        write_dicom(
            folder / f"sagittal{n}.dcm", pixels(n), plane="IP", position=(5 * n, 0, 0), PixelSpacing=[1, 1]
        )
        write_dicom(
            folder / f"large{n}.dcm",
            pixels(n, (9, 9)),
            plane="PL",
            position=(0, 0, 2 * n),
            PixelSpacing=[1, 1],
        )
    index = build_index(folder, data())
    assert sorted(len(entry.files) for entry in index.entries) == [2, 2, 3]
    (sentence,) = told(index, "several_stacks")
    assert sentence.startswith("7 files: its series holds images of several directions, sizes or spacings")


@pytest.mark.parametrize(
    "tags",
    [
        [{"EchoTime": 30}, {"EchoTime": 10}],
        [{"TemporalPositionIdentifier": 2}, {"TemporalPositionIdentifier": 1}],
        [{"DiffusionBValue": 1000.0}, {"DiffusionBValue": 0.0}],
        [{"ImageType": ["ORIGINAL", "PRIMARY", "P"]}, {"ImageType": ["ORIGINAL", "PRIMARY", "M"]}],
        # Nothing but InstanceNumber: the later one at each place is the second volume.
        [{"shift": 100}, {"shift": 0}],
    ],
)
def test_of_several_images_at_a_place_one_must_be_named(
    write_dicom: WriteDicom, tmp_path: Path, tags: Any
) -> None:
    for v, own in enumerate(tags):
        shift = own.get("shift", 0)
        for n in range(3):
            rest = {key: value for key, value in own.items() if key != "shift"}
            write_dicom(
                tmp_path / f"{v}-{n}.dcm", pixels(10 * v + n), plane="PL", position=(0, 0, 5 * n),
                InstanceNumber=n + shift, **rest,
            )  # fmt: skip
    with pytest.raises(
        DataError, match=r"holds 2 volumes at one place .*set data\.volume to the one to take, 0 to 1"
    ):
        build_index(tmp_path, data())
    for volume, name in ((0, "1"), (1, "0")):
        index = build_index(tmp_path, data(volume=volume))
        (entry,) = index.entries
        assert entry.files == tuple(f"{name}-{n}.dcm" for n in range(3))
        assert [(each.count, f"data.volume is {volume}" in each.reason) for each in index.excluded] == [
            (3, True)
        ]


def test_images_at_a_place_that_nothing_tells_apart_are_refused(series, write_dicom: WriteDicom) -> None:
    folder = series([0, 5, 10])
    write_dicom(folder / "again.dcm", pixels(9), plane="PL", position=(0, 0, 5), PixelSpacing=[1, 1])
    with pytest.raises(DataError, match="several images at one place, and nothing in their tags"):
        build_index(folder, data())
    # Inspection goes on: it is one problem, and none of the files is lost.
    scan = scan_folder(folder, data())
    assert (len(scan.problems), scan.unasked.total()) == (1, 0)


def test_the_frames_of_one_object_may_be_several_volumes(write_dicom: WriteDicom, tmp_path: Path) -> None:
    frames = np.stack([pixels(n) for n in range(4)])

    def groups(dataset: Dataset) -> None:
        items = []
        for echo, place in ((30.0, 0), (10.0, 5), (10.0, 0), (30.0, 5)):
            item, position, orientation, time = Dataset(), Dataset(), Dataset(), Dataset()
            position.ImagePositionPatient = [0, 0, place]
            orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
            time.EffectiveEchoTime = echo
            item.PlanePositionSequence, item.PlaneOrientationSequence = (
                Sequence([position]),
                Sequence([orientation]),
            )
            item.MREchoSequence = Sequence([time])
            items.append(item)
        dataset.PerFrameFunctionalGroupsSequence = Sequence(items)

    write_dicom(tmp_path / "a.dcm", frames, change=groups)
    with pytest.raises(DataError, match="holds 2 volumes at one place"):
        build_index(tmp_path, data())
    for volume, order in ((0, (2, 1)), (1, (0, 3))):
        (entry,) = build_index(tmp_path, data(volume=volume)).entries
        np.testing.assert_array_equal(read_stored(tmp_path, entry)[..., 0], frames[list(order)][..., ::-1])


def test_frames_of_several_directions_are_set_aside(write_dicom: WriteDicom, tmp_path: Path) -> None:
    def groups(dataset: Dataset) -> None:
        items = []
        for directions in ([1, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, -1]):
            item, orientation = Dataset(), Dataset()
            orientation.ImageOrientationPatient = directions
            item.PlaneOrientationSequence = Sequence([orientation])
            items.append(item)
        dataset.PerFrameFunctionalGroupsSequence = Sequence(items)

    write_dicom(tmp_path / "loc.dcm", np.stack([pixels(0), pixels(1)]), change=groups)
    write_dicom(tmp_path / "a.dcm", pixels(2))
    (left,) = build_index(tmp_path, data()).excluded
    assert (left.count, left.reason) == (1, "localizer, or slices of several directions in one file")


def test_files_without_a_place_are_images_of_their_own_and_told(
    write_dicom: WriteDicom, tmp_path: Path
) -> None:
    for n in range(4):
        write_dicom(tmp_path / f"{n}.dcm", pixels(n), plane="PL")
    index = build_index(tmp_path, data(slices={"lower": 0.5, "upper": 0.5}))
    assert index.n_images == 4
    (sentence,) = told(index, "slices_not_chosen")
    assert sentence.startswith("4 files: it says not where it lies")


def test_a_table_of_single_images_chooses_them_itself(series) -> None:
    folder = series([0, 5, 10])
    uids = [f"1.2.9.{n}" for n in range(3)]
    for n, uid in enumerate(uids):
        dataset = pydicom.dcmread(folder / f"s{n}.dcm")
        dataset.SOPInstanceUID = uid
        dataset.save_as(folder / f"s{n}.dcm")
    rows = "".join(f"{uid},{label}\n" for uid, label in zip(uids, ("a", "b", "a"), strict=True))
    (folder / "labels.csv").write_text(f"SOPInstanceUID,label\n{rows}")
    asked = {"labels": ["a", "b"], "slices": {"lower": 0.5, "upper": 0.5}}
    index = build_index(folder, data(**asked))
    assert [(entry.files, entry.label) for entry in index.entries] == [
        (("s0.dcm",), "a"), (("s1.dcm",), "b"), (("s2.dcm",), "a"),
    ]  # fmt: skip
    assert len(told(index, "slices_not_chosen")) == 1
    # Where the study says nothing of slices, it asked for nothing that is not done.
    silent = DataSection(labels=("a", "b"), image_size=(16, 16))
    assert not told(build_index(folder, silent), "slices_not_chosen")


def test_a_volume_that_changed_on_disk_is_refused(series, write_dicom: WriteDicom) -> None:
    folder = series([0, 5, 10])
    (entry,) = build_index(folder, data()).entries
    write_dicom(folder / "s1.dcm", pixels(1, (9, 9)), plane="PL", position=(0, 0, 5))
    with pytest.raises(Exception, match="index the folder again"):
        read_stored(folder, entry)


def test_one_uid_for_all_is_no_copy_of_one_image(series) -> None:
    folder = series([0, 5, 10], SOPInstanceUID="1.2.3.4")
    with pytest.raises(DataError, match=r"2 of 3 images would be left out .* SOPInstanceUID of another"):
        build_index(folder, data())


def test_the_frames_of_a_dose_grid_lie_as_their_offsets_say(write_dicom: WriteDicom, tmp_path: Path) -> None:
    frames = np.stack([pixels(n) for n in range(3)])
    write_dicom(
        tmp_path / "a.dcm", frames, plane="PL", position=(0, 0, 50), GridFrameOffsetVector=[0, -3, -6],
        Modality="RTDOSE", PixelSpacing=[1, 1],
    )  # fmt: skip
    (entry,) = build_index(tmp_path, data(modality="RTDOSE")).entries
    assert (entry.orientation, entry.slices is not None and entry.slices.axis) == ("PR", 2)
    np.testing.assert_array_equal(read_stored(tmp_path, entry)[..., 0], frames[::-1, :, ::-1])
