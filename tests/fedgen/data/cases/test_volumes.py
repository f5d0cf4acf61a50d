"""Volumes: whatever the order of their voxels, the data type and the header, the same slices or a word about it."""

from __future__ import annotations

import itertools
import struct
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

from fedgen.data.build import build_index
from fedgen.data.decoders.decoder import UnreadableError
from fedgen.data.decoders.nifti import DECODER
from fedgen.data.decoders.registry import decoder_for
from fedgen.data.index import SliceRange
from fedgen.data.read import read_stored
from fedgen.errors import DataError
from fedgen.study.data import DataSection

SHAPE = (4, 6, 5)


def anatomy() -> np.ndarray:
    """Values by place: x to the patient's right, y to anterior, z to superior."""
    return np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)


def expected(axis: int, volume: np.ndarray | None = None) -> np.ndarray:
    """Slices along an axis by plain indexing, independent of any library."""
    volume = anatomy() if volume is None else volume
    others = [i for i in range(3) if i != axis]
    slices = []
    for place in range(volume.shape[axis]):
        plane = np.take(volume, place, axis)
        rows = volume.shape[others[1]]
        slices.append(
            [[plane[x, rows - 1 - row] for x in range(volume.shape[others[0]])] for row in range(rows)]
        )
    return np.array(slices)[..., np.newaxis]


def everything(axis: int) -> SliceRange:
    return SliceRange(axis, 0, SHAPE[axis], 1)


ORDERS = [
    "".join(sides)
    for axes in itertools.permutations(("LR", "PA", "IS"))
    for sides in itertools.product(*axes)
]


def stored_as(order: str, spacing: tuple[float, float, float] = (1, 2, 3)) -> tuple[np.ndarray, np.ndarray]:
    """`anatomy` with its voxels in another order, and the affine that says so: of 48 orders."""
    array, affine = anatomy(), np.diag([*spacing, 1.0])
    affine[:3, 3] = (-10, 20, 30)
    turn = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(order)
    )
    turned = nib.orientations.apply_orientation(array, turn)
    return turned, affine @ nib.orientations.inv_ornt_aff(turn, array.shape)


@pytest.mark.parametrize("order", ORDERS)
def test_every_order_of_voxels_gives_the_same_slices(tmp_path: Path, order: str) -> None:
    array, affine = stored_as(order)
    path = tmp_path / "a.nii"
    nib.save(nib.Nifti1Image(array, affine), path)
    for axis in range(3):
        np.testing.assert_array_equal(DECODER.pixels(path, everything(axis)), expected(axis))
        header = DECODER.header(path, axis)
        assert header.orientation == {0: "IA", 1: "IR", 2: "PR"}[axis]
        assert header.spacing == pytest.approx({0: (3, 2), 1: (3, 1), 2: (2, 1)}[axis])
        assert (header.depth, header.depth_orientation) == (SHAPE[axis], "RAS"[axis])
        assert header.depth_spacing == pytest.approx((1, 2, 3)[axis])
        assert header.notes == ()


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("order", ["RAS", "LPS", "PIR", "SAL"])
def test_the_affine_of_the_slices_says_where_every_pixel_lies(tmp_path: Path, order: str, axis: int) -> None:
    array, affine = stored_as(order)
    nib.save(nib.Nifti1Image(array, affine), tmp_path / "a.nii")
    header = DECODER.header(tmp_path / "a.nii", axis)
    assert header.affine is not None
    pixels = DECODER.pixels(tmp_path / "a.nii", everything(axis))[..., 0]
    for place in itertools.product(*map(range, pixels.shape)):
        millimetres = np.array(header.affine) @ [*place, 1]
        voxel = np.linalg.inv(affine) @ [*millimetres, 1]
        assert array[tuple(np.rint(voxel[:3]).astype(int))] == pixels[place]


def saved(folder: Path, array: np.ndarray, affine: Any = None, name: str = "a.nii", edit: Any = None) -> Path:
    image = nib.Nifti1Image(array, np.eye(4) if affine is None else affine)
    image.set_sform(image.affine, 1)
    image.set_qform(image.affine, 1)
    if edit is not None:
        edit(image)
    nib.save(image, folder / name)
    return folder / name


def kinds(path: Path) -> list[str]:
    return [note.sentence for note in DECODER.header(path, 2).notes]


def test_complex_numbers_are_read_by_their_magnitude(tmp_path: Path) -> None:
    path = saved(tmp_path, (anatomy() * (3 + 4j)).astype(np.complex64))
    np.testing.assert_allclose(DECODER.pixels(path, everything(2)), 5 * expected(2), rtol=1e-6)
    assert kinds(path) == ["the values are complex numbers, of which the magnitude is taken."]


@pytest.mark.parametrize("names", ["RGB", "RGBA"])
def test_colour(tmp_path: Path, names: str) -> None:
    array = np.zeros(SHAPE, [(name, "u1") for name in names])
    array["R"], array["B"] = anatomy(), 7
    if "A" in names:
        array["A"] = 255
    got = DECODER.pixels(saved(tmp_path, array), everything(2))
    np.testing.assert_array_equal(got[..., :1], expected(2))
    np.testing.assert_array_equal(got[..., 1:], np.broadcast_to([0, 7], (*got.shape[:3], 2)))
    if "A" in names:
        array["A"][1, 1, 1] = 0
        with pytest.raises(UnreadableError, match="has transparent voxels"):
            DECODER.pixels(saved(tmp_path, array), everything(2))


def patched(path: Path, offset: int, form: str, *values: float) -> Path:
    content = bytearray(path.read_bytes())
    struct.pack_into(f"<{form}", content, offset, *values)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("slope", "intercept", "told"), [(0, 9, False), (np.nan, 9, True), (np.inf, 0, True)]
)
def test_a_scale_that_is_none(tmp_path: Path, slope: float, intercept: float, told: bool) -> None:
    """A slope of zero means unscaled (NIfTI-1 standard); what is no number is told."""
    path = patched(saved(tmp_path, anatomy().astype(np.int16)), 112, "2f", slope, intercept)
    np.testing.assert_array_equal(DECODER.pixels(path, everything(2)), expected(2))
    assert (len(kinds(path)) == 1) == told


def test_a_scale_is_applied(tmp_path: Path) -> None:
    path = patched(saved(tmp_path, anatomy().astype(np.int16)), 112, "2f", 0.5, -3)
    np.testing.assert_allclose(DECODER.pixels(path, everything(2)), expected(2) * 0.5 - 3)


def test_data_types_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="data code 9999"):
        DECODER.header(patched(saved(tmp_path, anatomy()), 70, "h", 9999), 2)


def test_forms_that_contradict_each_other_are_told(tmp_path: Path) -> None:
    def pixdim(image: Any) -> None:
        image.set_qform(None, 0)
        image.header["pixdim"][1:4] = 1

    path = saved(tmp_path, anatomy(), np.diag([1, 2, 1, 1.0]), edit=pixdim)
    assert DECODER.header(path, 2).spacing == (2, 1)
    assert "pixdim contradicts the affine" in kinds(path)[0]
    path = saved(tmp_path, anatomy(), edit=lambda image: image.set_qform(np.diag([-1, -1, 1, 1]), 1))
    assert "sform and qform contradict each other" in kinds(path)[0]
    # The sform is the one that is taken.
    np.testing.assert_array_equal(DECODER.pixels(path, everything(2)), expected(2))
    # Two coordinate systems with the same sides are no contradiction.
    shifted = np.eye(4)
    shifted[:3, 3] = 40
    assert not kinds(saved(tmp_path, anatomy(), edit=lambda image: image.set_qform(shifted, 2)))


@pytest.mark.parametrize(("degrees", "told"), [(0, False), (9, False), (12, True)])
def test_oblique_volumes_are_told(tmp_path: Path, degrees: float, told: bool) -> None:
    turn = nib.eulerangles.euler2mat(z=np.radians(degrees)) @ np.diag([1, 2, 3.0])
    path = saved(tmp_path, anatomy(), nib.affines.from_matvec(turn, (5, 6, 7)))
    np.testing.assert_array_equal(DECODER.pixels(path, everything(2)), expected(2))
    assert [note.kind for note in DECODER.header(path, 2).notes] == ["turned"] * told


def test_without_a_form_left_and_right_are_a_guess(tmp_path: Path) -> None:
    def forget(image: Any) -> None:
        image.set_sform(None, 0)
        image.set_qform(None, 0)

    path = saved(tmp_path, anatomy(), np.diag([1, 2, 3, 1.0]), edit=forget)
    header = DECODER.header(path, 2)
    assert "left and right are a guess" in kinds(path)[0]
    assert (header.orientation, header.affine, header.spacing) == ("", None, (2, 1))
    index = build_index(_one(tmp_path, "a.nii"), section())
    assert [finding.kind for finding in index.findings] == ["guessed_geometry"]


@pytest.mark.parametrize("fault", [0.0, np.nan, np.inf])
def test_an_affine_of_less_than_three_axes_is_refused(tmp_path: Path, fault: float) -> None:
    path = saved(tmp_path, anatomy(), edit=lambda image: image.set_qform(None, 0))
    with pytest.raises(UnreadableError, match="affine"):
        DECODER.header(patched(path, 280, "3f", fault, 0, 0), 2)


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1), (4, 6, 1, 1)])
@pytest.mark.parametrize("axis", [0, 2])
def test_a_single_slice_is_an_image(tmp_path: Path, shape: tuple[int, ...], axis: int) -> None:
    array = anatomy()[..., 3].reshape(shape)
    folder = _one(tmp_path, saved(tmp_path, array).name)
    data = section(slices={"axis": axis})
    (entry,) = build_index(folder, data).entries
    assert (entry.n_images, entry.slices, entry.size, entry.orientation) == (1, None, (6, 4), "PR")
    np.testing.assert_array_equal(read_stored(folder, entry), expected(2)[3:4])


def test_a_single_coronal_slice_is_coronal(tmp_path: Path) -> None:
    folder = _one(tmp_path, saved(tmp_path, anatomy()[:, 2:3]).name)
    (entry,) = build_index(folder, section()).entries
    assert (entry.size, entry.orientation) == ((5, 4), "IR")
    np.testing.assert_array_equal(read_stored(folder, entry), expected(1)[2:3])


def test_of_four_dimensions_one_volume_is_named(tmp_path: Path) -> None:
    array = np.stack([anatomy(), anatomy() + 1000, anatomy() + 2000], axis=-1)
    folder = _one(tmp_path, saved(tmp_path, array, name="a.nii.gz").name)
    with pytest.raises(DataError, match=r"holds 3 volumes .* set data\.volume to the one to take, 0 to 2"):
        build_index(folder, section())
    data = section(volume=1, slices={"lower": 0, "upper": 1, "every": 1})
    (entry,) = build_index(folder, data).entries
    np.testing.assert_array_equal(read_stored(folder, entry), expected(2) + 1000)
    with pytest.raises(DataError, match=r"holds 3 volumes, but data\.volume is 3"):
        build_index(folder, section(volume=3))
    with pytest.raises(UnreadableError, match="has 5 dimensions"):
        DECODER.header(saved(tmp_path, np.zeros((3, 3, 3, 2, 2), np.float32), name="b.nii"), 2)


def test_pairs_are_one_image_in_two_files(tmp_path: Path) -> None:
    array, affine = stored_as("LPS")
    image = nib.Nifti1Pair(array, affine)
    nib.save(image, tmp_path / "a.img")
    folder = _one(tmp_path, "a.hdr")
    (entry,) = build_index(folder, section(slices={"lower": 0, "upper": 1, "every": 1})).entries
    assert entry.files == ("a.hdr", "a.img")
    np.testing.assert_array_equal(read_stored(folder, entry), expected(2))
    nib.save(nib.Nifti1Pair(array[..., :1], affine), tmp_path / "a.img")
    (entry,) = build_index(folder, section()).entries
    assert read_stored(folder, entry).shape == (1, 6, 4, 1)


def test_analyze_says_nothing_of_the_sides(tmp_path: Path) -> None:
    nib.save(nib.AnalyzeImage(anatomy(), np.diag([-1, 1, 1, 1])), tmp_path / "a.hdr")
    header = DECODER.header(tmp_path / "a.hdr", 2)
    assert (header.orientation, header.affine) == ("", None)
    assert "left and right are a guess" in kinds(tmp_path / "a.hdr")[0]


def test_volumes_of_freesurfer(tmp_path: Path) -> None:
    array, affine = stored_as("PIR")
    nib.save(nib.MGHImage(array, affine), tmp_path / "a.mgz")
    np.testing.assert_array_equal(DECODER.pixels(tmp_path / "a.mgz", everything(2)), expected(2))
    assert DECODER.header(tmp_path / "a.mgz", 2).orientation == "PR"


def section(**keys: Any) -> DataSection:
    return DataSection.model_validate({"labels": ["any"], **keys})


def _one(folder: Path, name: str) -> Path:
    (folder / "metadata.csv").write_text(f"image,patient,site,label\n{name},ann,north,any\n")
    return folder


def itk_image(order: str, spacing: tuple[float, float, float] = (1, 2, 3)) -> SimpleITK.Image:
    """`stored_as` as SimpleITK holds it: axes x first, affine in LPS."""
    array, affine = stored_as(order, spacing)
    image = SimpleITK.GetImageFromArray(array.T)
    lps = np.diag([-1, -1, 1, 1]) @ affine
    sides = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(sides.tolist())
    image.SetDirection((lps[:3, :3] / sides).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    return image


@pytest.mark.parametrize("ending", [".nrrd", ".nhdr", ".mha", ".mhd"])
@pytest.mark.parametrize("order", ["RAS", "LPS", "PIR", "SAL", "ILA"])
def test_nrrd_and_metaimage_give_the_slices_of_nifti(tmp_path: Path, ending: str, order: str) -> None:
    path = tmp_path / f"a{ending}"
    SimpleITK.WriteImage(itk_image(order), str(path))
    array, affine = stored_as(order)
    nib.save(nib.Nifti1Image(array, affine), tmp_path / "a.nii")
    decoder = decoder_for(path)
    for axis in range(3):
        np.testing.assert_array_equal(decoder.pixels(path, everything(axis)), expected(axis))
        ours, nifti = decoder.header(path, axis), DECODER.header(tmp_path / "a.nii", axis)
        assert (ours.size, ours.depth, ours.orientation) == (nifti.size, nifti.depth, nifti.orientation)
        assert (*(ours.spacing or ()), ours.depth_spacing) == pytest.approx(
            (*nifti.spacing, nifti.depth_spacing)
        )
        np.testing.assert_allclose(ours.affine, nifti.affine, atol=1e-5)
        assert len(ours.companions) == (ending in (".nhdr", ".mhd"))


def nrrd(path: Path, space: str, directions: str = "(1,0,0) (0,2,0) (0,0,3)") -> Path:
    where = f"space: {space}\nspace directions: {directions}\nspace origin: (0,0,0)\n" if space else ""
    head = f"NRRD0004\ntype: float\ndimension: 3\nsizes: 4 6 5\n{where}endian: little\nencoding: raw\n\n"
    path.write_bytes(head.encode() + anatomy().T.tobytes())
    return path


@pytest.mark.parametrize(("space", "flips"), [("RAS", ()), ("LPS", (0, 1)), ("left-anterior-superior", (0,))])
def test_every_space_of_a_nrrd(tmp_path: Path, space: str, flips: tuple[int, ...]) -> None:
    path = nrrd(tmp_path / "a.nrrd", space)
    decoder = decoder_for(path)
    np.testing.assert_array_equal(decoder.pixels(path, everything(2)), expected(2, np.flip(anatomy(), flips)))
    assert decoder.header(path, 2).orientation == "PR"


@pytest.mark.parametrize("space", ["", "scanner-xyz"])
def test_a_nrrd_without_sides_is_a_guess(tmp_path: Path, space: str) -> None:
    path = nrrd(tmp_path / "a.nrrd", space)
    header = decoder_for(path).header(path, 2)
    assert (header.orientation, header.affine) == ("", None)
    assert "left and right are a guess" in header.notes[0].sentence


META = "ObjectType = Image\nNDims = 3\nBinaryData = True\n{}DimSize = 4 6 5\nElementType = MET_FLOAT\n"


def test_a_metaimage_without_a_matrix_is_a_guess(tmp_path: Path) -> None:
    path = tmp_path / "a.mha"
    for matrix, orientation in (("", ""), ("TransformMatrix = 1 0 0 0 1 0 0 0 1\n", "PR")):
        head = META.format(matrix) + "ElementDataFile = LOCAL\n"
        path.write_bytes(head.encode() + anatomy().T.tobytes())
        assert decoder_for(path).header(path, 2).orientation == orientation


def test_a_picture_in_a_metaimage_stays_as_it_is_stored(tmp_path: Path) -> None:
    stored = np.arange(24, dtype=np.float32).reshape(4, 6)
    image = SimpleITK.GetImageFromArray(stored)
    image.SetSpacing([0.5, 2])
    SimpleITK.WriteImage(image, str(tmp_path / "a.mha"))
    folder = _one(tmp_path, "a.mha")
    (entry,) = build_index(folder, section()).entries
    assert (entry.size, entry.spacing, entry.orientation) == ((4, 6), (2, 0.5), "")
    np.testing.assert_array_equal(read_stored(folder, entry)[0, ..., 0], stored)


def test_colour_vectors_and_times_of_itk(tmp_path: Path) -> None:
    decoder = decoder_for(tmp_path / "a.nrrd")
    colour = np.stack([anatomy().T, anatomy().T + 1, anatomy().T + 2], axis=-1)
    SimpleITK.WriteImage(
        SimpleITK.GetImageFromArray(colour.astype(np.uint8), isVector=True), str(tmp_path / "a.nrrd")
    )
    got = decoder.pixels(tmp_path / "a.nrrd", everything(2))
    # Without a stated direction ITK writes its own axes, which grow to the left and to posterior.
    np.testing.assert_array_equal(got[..., :1], expected(2, anatomy()[::-1, ::-1]))
    np.testing.assert_array_equal(got - got[..., :1], np.broadcast_to([0, 1, 2], got.shape))
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(colour, isVector=True), str(tmp_path / "b.nrrd"))
    # Three floats a voxel are no colour: one of them has to be named.
    assert decoder.header(tmp_path / "b.nrrd", 2).volumes == 3
    times = SimpleITK.JoinSeries([itk_image("RAS"), itk_image("RAS") + 1000])
    for ending in (".nrrd", ".mha"):
        SimpleITK.WriteImage(times, str(tmp_path / f"c{ending}"))
        assert decoder_for(tmp_path / f"c{ending}").header(tmp_path / f"c{ending}", 2).volumes == 2
        got = decoder_for(tmp_path / f"c{ending}").pixels(tmp_path / f"c{ending}", SliceRange(2, 0, 5, 1, 1))
        np.testing.assert_array_equal(got, expected(2) + 1000)


def test_pixels_elsewhere_are_refused(tmp_path: Path) -> None:
    for named, reason in (
        ("../b.raw", "in another folder"),
        ("/b.raw", "in another folder"),
        ("b.raw", "which does not exist"),
        ("LIST", "several files"),
        ("b%02d.raw 1 5 1", "several files"),
    ):
        (tmp_path / "a.mhd").write_text(META.format("") + f"ElementDataFile = {named}\n")
        with pytest.raises(UnreadableError, match=reason):
            decoder_for(tmp_path / "a.mhd").header(tmp_path / "a.mhd", 2)
