"""Masks that belong to their images by name: found, used by a rule, and never laid on another image of that name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.uid import generate_uid

from fedgen.data.build import build_index
from fedgen.data.inspect.look import inspect_data
from fedgen.data.layouts.named_masks import Named, files_by_rule, named_masks, rule_for
from fedgen.data.masks.read import read_masks
from fedgen.errors import DataError
from fedgen.study.data import DataSection

Dicom = Callable[..., Path]


def section(mask: str | None = None, **keys: Any) -> DataSection:
    return DataSection.model_validate({"labels": ["any"], "columns": {"mask": mask}, **keys})


def drawn(path: Path, seed: int, shape: tuple[int, int] = (24, 32)) -> np.ndarray:
    """A mask of two classes like no other."""
    values = np.random.default_rng(seed).integers(0, 2, shape).astype(np.uint8) * 255
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return values > 0


def picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (24, 32)).astype(np.uint8)).save(path)


def uid(path: Path) -> str:
    return str(dcmread(path, stop_before_pixels=True).SOPInstanceUID)


#: Of each rule, where the mask of an image lies.
PLACES: dict[str, Callable[[str, str], str]] = {
    "masks/{uid}": lambda name, uid: f"masks/{uid}.png",
    "masks/{name}": lambda name, uid: f"masks/deep/{name}.png",
    "Segmentations/{uid}_mask": lambda name, uid: f"Segmentations/{uid}_mask.tif",
    "{uid}_seg": lambda name, uid: f"dicom/{uid}_seg.png",
    "{name}-mask": lambda name, uid: f"dicom/{name}-mask.bmp",
    "{uid}": lambda name, uid: f"drawn by hand/{uid}.png",
    "{name}": lambda name, uid: f"dicom/{name}.png",
}


@pytest.mark.parametrize("rule", list(PLACES))
def test_pictures_named_after_dicom_images_are_their_masks(rule: str, tmp_path: Path, dicom: Dicom) -> None:
    series = generate_uid()
    right = {}
    for number in range(4):
        # One series, whose images have a mask each.
        image = dicom(
            tmp_path / "dicom" / f"IM{number}.dcm", number, SeriesInstanceUID=series, InstanceNumber=number
        )
        right[image.name] = drawn(tmp_path / PLACES[rule](image.stem, uid(image)), number)
    seen = inspect_data(tmp_path)
    assert seen.masks == {rule: 4}
    assert seen.left_out == {f'named as the mask of an image, which data.columns.mask "{rule}" uses': 4}
    assert "unused_share" not in seen.section
    assert f'mask: "{rule}"' in seen.section
    assert seen.section_note == ""
    index = build_index(tmp_path, section(rule))
    assert [finding.kind for finding in index.findings] == []
    assert len(index.entries) == 4
    for entry in index.entries:
        np.testing.assert_array_equal(read_masks(tmp_path, entry)[0][0], right[Path(entry.path).name])


def test_files_without_an_ending_have_masks_too(tmp_path: Path, dicom: Dicom) -> None:
    image = dicom(tmp_path / "dicom" / "1.2.840.7", 1)
    drawn(tmp_path / "masks" / "1.2.840.7.png", 1)
    assert inspect_data(tmp_path).masks == {"masks/{name}": 1}
    drawn(tmp_path / "masks" / f"{uid(image)}.png", 1)
    assert inspect_data(tmp_path).masks == {"masks/{name}": 1, "masks/{uid}": 1}


def test_a_copy_to_look_at_is_no_mask(tmp_path: Path, dicom: Dicom) -> None:
    image = dicom(tmp_path / "dicom" / "IM1.dcm", 1)
    picture(tmp_path / "preview" / f"{uid(image)}.png", 1)
    seen = inspect_data(tmp_path)
    assert seen.masks == {}
    assert seen.left_out == {"image that is not DICOM": 1}


def test_slices_of_a_volume_keep_their_own_masks(tmp_path: Path, dicom: Dicom) -> None:
    series, right = generate_uid(), {}
    for number in range(3):
        image = dicom(
            tmp_path / f"{number}.dcm",
            number,
            Modality="CT",
            PatientID="P1",
            SeriesInstanceUID=series,
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            ImagePositionPatient=[0, 0, number],
            PixelSpacing=[1, 1],
        )
        right[image.name] = drawn(tmp_path / "masks" / f"{number}.png", number)
    entries = build_index(tmp_path, section("masks/{name}")).entries
    for entry in entries:
        # Columns are turned to the patient's right.
        np.testing.assert_array_equal(read_masks(tmp_path, entry)[0][0], right[entry.path][:, ::-1])
    assert len(entries) == 3
    with pytest.raises(DataError, match="masks of single slices"):
        build_index(tmp_path, section("masks/{name}", image_size=[16, 16, 16]))


@pytest.mark.parametrize(
    ("rule", "mask"), [("masks/{name}", "masks/{}.png"), ("{name}_mask", "sick/{}_mask.png")]
)
def test_masks_beside_pictures_in_folders_are_no_images(rule: str, mask: str, tmp_path: Path) -> None:
    """Datasets of ultrasound lay `a_mask.png` beside `a.png`."""
    right = {}
    for number in range(4):
        picture(tmp_path / "sick" / f"a ({number}).png", number)
        right[number] = drawn(tmp_path / mask.format(f"a ({number})"), number)
        picture(tmp_path / "well" / f"b ({number}).png", 10 + number)
    drawn(tmp_path / "sick" / "a (0)_mask_1.png", 9)
    seen = inspect_data(tmp_path)
    assert seen.images == 8
    assert seen.masks == {rule: 4, "{name}_mask_1": 1}
    data = section(rule, patient_rule="image", labels=["sick", "well"])
    index = build_index(tmp_path, data)
    assert len(index.entries) == 8
    masked = [entry for entry in index.entries if entry.mask]
    assert [entry.label for entry in masked] == ["sick"] * 4
    for number, entry in enumerate(masked):
        np.testing.assert_array_equal(read_masks(tmp_path, entry)[0][0], right[number])


def test_a_rule_that_tells_no_mask_from_an_image_is_refused(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 0)
    with pytest.raises(DataError, match="tells no mask from an image: name the folder"):
        build_index(tmp_path, section("{name}", patient_rule="image"))


def test_a_table_needs_no_column_of_masks(tmp_path: Path) -> None:
    lines = ["image,patient,site,label"]
    for number in range(4):
        picture(tmp_path / "im" / f"{number}.png", number)
        drawn(tmp_path / "masks" / f"{number}.png", number)
        lines.append(f"im/{number}.png,p{number},north,any")
    (tmp_path / "metadata.csv").write_text("\n".join(lines) + "\n")
    assert inspect_data(tmp_path).masks == {"masks/{name}": 4}
    masks = [entry.mask for entry in build_index(tmp_path, section("masks/{name}")).entries]
    assert masks == [f"masks/{number}.png" for number in range(4)]


def of(masks: list[str], images: list[str], rule: str = "masks/{name}") -> Any:
    return named_masks(rule, masks, [Named(path) for path in images])


def test_images_of_one_name_find_the_mask_of_their_own_folder() -> None:
    found = of(
        ["a/masks/1.png", "b/masks/1.png", "masks/P3/1.png"], ["a/im/1.dcm", "b/im/1.dcm", "im/P3/1.dcm"]
    )
    assert found.of == {
        "a/im/1.dcm": "a/masks/1.png",
        "b/im/1.dcm": "b/masks/1.png",
        "im/P3/1.dcm": "masks/P3/1.png",
    }
    assert (found.lost, found.problems) == ((), ())


def test_an_image_without_a_mask_does_not_take_that_of_another() -> None:
    found = of(["a/masks/1.png"], ["a/im/1.dcm", "b/im/1.dcm"])
    assert (found.of, found.problems) == ({"a/im/1.dcm": "a/masks/1.png"}, ())


def test_masks_that_could_be_of_several_images_are_problems() -> None:
    found = of(["masks/1.png"], ["a/1.dcm", "b/1.dcm"])
    assert found.of == {}
    (problem,) = found.problems
    assert problem.sentence.startswith(
        "masks/1.png is named as the mask of a/1.dcm and of b/1.dcm: name masks"
    )


def test_two_masks_of_one_image_are_a_problem_and_a_mask_of_none_is_told() -> None:
    found = of(["masks/x/1.png", "masks/y/1.png", "masks/2.png"], ["im/1.dcm"])
    assert found.of == {}
    assert found.lost == ("masks/2.png",)
    assert [problem.path for problem in found.problems] == ["masks/y/1.png"]


def test_rules_find_what_they_say() -> None:
    files = ["s/masks/x/a_m.png", "masks/a.png", "a_m.png", "masks/b_m.dcm", "masks/c_m.txt"]
    assert files_by_rule("masks/{name}_m", files) == {"s/masks/x/a_m.png": "a"}
    assert files_by_rule("{name}_m", files) == {"s/masks/x/a_m.png": "a", "a_m.png": "a"}


def test_names_that_say_nothing_of_masks_have_no_rule() -> None:
    names = {"a", "b"}
    assert rule_for("Masks/x/a.png", names) == "Masks/{name}"
    assert rule_for("a_Mask.png", names) == "{name}_Mask"
    for path in ("a.png", "c_mask.png", "masks/c.png", "a_label_map_of_all.png", "amask.png"):
        assert rule_for(path, names) is None
