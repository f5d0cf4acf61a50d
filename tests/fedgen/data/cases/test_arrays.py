"""Many images in one file: entries point into it, nothing is copied out, and nobody is a patient by accident."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedgen.data.build import build_index
from fedgen.data.decoders import arrays as arrays_module
from fedgen.data.decoders.decoder import UnreadableError
from fedgen.data.decoders.registry import decoder_for
from fedgen.data.inspect.look import inspect_data
from fedgen.data.prepare import prepare_sites
from fedgen.data.read import read_stored
from fedgen.errors import DataError
from fedgen.study.data import DataSection
from fedgen.study.study import Study


def section(**keys: Any) -> DataSection:
    return DataSection.model_validate({"labels": ["0", "1"], "patient_rule": "image", **keys})


def images(n: int, seed: int = 0, kind: str = "u1") -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (n, 20, 16)).astype(kind)


def medmnist(folder: Path) -> dict[str, np.ndarray]:
    """Arrays as MedMNIST names and shapes them."""
    arrays = {}
    for seed, (part, n) in enumerate((("train", 9), ("val", 4), ("test", 5))):
        arrays[f"{part}_images"] = images(n, seed)
        arrays[f"{part}_labels"] = (np.arange(n) % 2).astype(np.uint8)[:, np.newaxis]
    np.savez_compressed(folder / "sample.npz", **arrays)
    return arrays


def test_every_image_of_every_stack_with_its_label(tmp_path: Path) -> None:
    arrays = medmnist(tmp_path)
    (tmp_path / "README.md").write_text("of what")
    index = build_index(tmp_path, section())
    assert (index.layout, len(index.entries), len(index.patients)) == ("arrays", 18, 18)
    for entry in index.entries:
        file, stack, number = entry.patient.split("/")
        assert entry.files == (file,) == ("sample.npz",)
        np.testing.assert_array_equal(read_stored(tmp_path, entry)[0, ..., 0], arrays[stack][int(number)])
        labels = arrays[stack.replace("images", "labels")]
        assert entry.label == str(labels[int(number), 0])
    (finding,) = [f for f in index.findings if f.kind == "image_is_patient"]
    assert "epsilon holds for an image alone" in finding.sentence


def test_without_a_rule_nobody_knows_who_is_a_patient(tmp_path: Path) -> None:
    medmnist(tmp_path)
    with pytest.raises(
        DataError, match=r"set data\.patient_rule to image, so that each image counts as a patient"
    ):
        build_index(tmp_path, section(patient_rule=None))
    report = inspect_data(tmp_path)
    assert "patient_rule: image" in report.section
    assert "labels: ['0', '1']" in report.section
    assert report.section_note == ""


def test_a_stack_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    medmnist(tmp_path)
    index = build_index(tmp_path, section())
    loaded = []
    load = arrays_module._loaded
    monkeypatch.setattr(arrays_module, "_loaded", lambda path, name: loaded.append(name) or load(path, name))
    monkeypatch.setattr(arrays_module, "_STACKS", arrays_module._Stacks(2))
    for entry in index.entries:
        read_stored(tmp_path, entry)
    assert sorted(loaded) == ["test_images", "train_images", "val_images"]


@pytest.mark.parametrize(
    "shape", [(6, 20, 16), (6, 20, 16, 1), (6, 1, 20, 16), (6, 20, 16, 3), (6, 3, 20, 16)]
)
@pytest.mark.parametrize("kind", ["u1", "i2", "f4", "f8", "?"])
@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_stacks_of_every_shape_and_type(
    tmp_path: Path, shape: tuple[int, ...], kind: str, ending: str
) -> None:
    stack = np.random.default_rng(0).integers(0, 100, shape).astype(kind)
    if ending == "npy":
        np.save(tmp_path / "x_train.npy", stack)
        np.save(tmp_path / "y_train.npy", np.arange(6) % 2)
    else:
        np.savez(tmp_path / "a.npz", x_train=stack, y_train=np.arange(6) % 2)
    index = build_index(tmp_path, section())
    right = stack if stack.ndim == 4 else stack[..., np.newaxis]
    right = np.moveaxis(right, 1, -1) if right.shape[1] in (1, 3) else right
    for number, entry in enumerate(index.entries):
        assert (entry.label, entry.size) == (str(number % 2), (20, 16))
        np.testing.assert_array_equal(read_stored(tmp_path, entry)[0], right[number].astype(np.float32))


def test_patients_and_classes_that_a_file_names(tmp_path: Path) -> None:
    patients = np.array(["ann", "ann", "bob", "cid", "cid", "cid"])
    labels = np.array(["0", "0", "1", "1", "1", ""])
    np.savez(tmp_path / "a.npz", images=images(6), labels=labels, patients=patients)
    index = build_index(tmp_path, section(patient_rule=None, other_labels="exclude"))
    assert [(entry.patient, entry.label) for entry in index.entries] == [
        ("ann", "0"), ("ann", "0"), ("bob", "1"), ("cid", "1"), ("cid", "1")
    ]  # fmt: skip
    assert not {"image_is_patient"} & {finding.kind for finding in index.findings}


def test_what_is_no_image_is_left_out_with_a_count(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=images(6), labels=np.arange(6) % 2)
    np.save(tmp_path / "weights.npy", np.ones(7))
    index = build_index(tmp_path, section(unused_share=0.5))
    assert [(e.reason, e.count) for e in index.excluded] == [
        ("arrays that are neither images nor their labels", 1)
    ]


def idx(path: Path, array: np.ndarray, *, packed: bool = False) -> Path:
    """Written by hand from the description of the format."""
    code = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}[array.dtype.str[1:]]
    head = struct.pack(">HBB", 0, code, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    content = head + array.astype(array.dtype.newbyteorder(">")).tobytes()
    path.write_bytes(gzip.compress(content) if packed else content)
    return path


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", ["u1", "i2", "f4"])
def test_idx_files_with_their_labels(tmp_path: Path, packed: bool, kind: str) -> None:
    stack, end = images(8, kind=kind), ".gz" if packed else ""
    idx(tmp_path / f"train-images-idx3-ubyte{end}", stack, packed=packed)
    idx(tmp_path / f"train-labels-idx1-ubyte{end}", (np.arange(8) % 2).astype(np.uint8), packed=packed)
    index = build_index(tmp_path, section())
    assert (index.layout, index.excluded, len(index.entries)) == ("arrays", (), 8)
    for number, entry in enumerate(index.entries):
        assert entry.label == str(number % 2)
        np.testing.assert_array_equal(read_stored(tmp_path, entry)[0, ..., 0], stack[number])


def test_damaged_and_dangerous_files_are_refused(tmp_path: Path) -> None:
    path = idx(tmp_path / "train-images-idx3-ubyte", images(8))
    content = path.read_bytes()
    packed = tmp_path / "train-images-idx3-ubyte.gz"
    packed.write_bytes(gzip.compress(content[:-9]))
    with pytest.raises(UnreadableError, match="is cut short"):
        decoder_for(packed).pixels(packed, None)
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(UnreadableError, match="holds 0 stacks of images"):
        decoder_for(tmp_path / "a.npy").header(tmp_path / "a.npy", 2)
    (tmp_path / "b.npz").write_bytes(b"no zip")
    with pytest.raises(UnreadableError, match=r"is no \.npz file or is damaged"):
        decoder_for(tmp_path / "b.npz").header(tmp_path / "b.npz", 2)


def test_a_row_of_a_table_names_one_image_of_many(tmp_path: Path) -> None:
    """So that a hospital can say who its patients are without copying a pixel."""
    arrays = medmnist(tmp_path)
    np.save(tmp_path / "one.npy", images(3, 7))
    rows = ["image,patient,site,label"]
    rows += [f"sample.npz/train_images/{n},p{n // 3},north,{n % 2}" for n in range(9)]
    rows += ["one.npy/2,q,north,1"]
    (tmp_path / "metadata.csv").write_text("\n".join(rows) + "\n")
    index = build_index(tmp_path, section(patient_rule=None))
    assert (index.layout, len(index.patients), len(index.entries)) == ("table", 4, 10)
    first, last = index.entries[0], index.entries[-1]
    np.testing.assert_array_equal(read_stored(tmp_path, first)[0, ..., 0], arrays["train_images"][0])
    np.testing.assert_array_equal(read_stored(tmp_path, last)[0, ..., 0], images(3, 7)[2])
    (tmp_path / "metadata.csv").write_text("image,patient,site,label\nsample.npz/train_images/9,p,north,1\n")
    with pytest.raises(
        DataError, match=r"whose stacks are train_images of 9, val_images of 4, test_images of 5"
    ):
        build_index(tmp_path, section())


def test_they_train_as_other_images_do(tmp_path: Path) -> None:
    medmnist(tmp_path)
    study = Study.model_validate(
        {
            "study": {"name": "arrays"},
            "aggregation": {"secure": False},
            "data": {"image_size": [16, 16], "labels": ["0", "1"], "patient_rule": "image"},
        }
    )
    prepared = prepare_sites(study, tmp_path, tmp_path / "own", tmp_path / "cache")
    (site,) = prepared.sites
    assert (site.n_images, site.n_patients) == (18, 18)


@pytest.mark.parametrize(
    "labels", [np.arange(5) % 2, np.eye(2)[np.arange(6) % 2]], ids=["too few", "one hot"]
)
def test_labels_of_another_number_than_the_images_are_told(tmp_path: Path, labels: np.ndarray) -> None:
    np.savez(tmp_path / "a.npz", images=images(6), labels=labels)
    told = [finding.sentence for finding in build_index(tmp_path, section(labels=[])).findings]
    size = " x ".join(map(str, labels.shape))
    assert f"a.npz: labels holds {size} instead of one a picture (6), and is not read." in told
