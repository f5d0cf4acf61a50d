"""Layout `arrays`: files that hold many images each (.npz such as MedMNIST's, .npy, idx), their labels beside them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import ClassVar

from fedgen.data.decoders.arrays import DECODER, ArrayShape, array_shapes, array_values
from fedgen.data.decoders.decoder import Header, UnreadableError
from fedgen.data.decoders.guard import guard
from fedgen.data.findings import DataFinding
from fedgen.data.index import IndexEntry, SliceRange
from fedgen.data.layouts.layout import FolderLayout, Problem, Request, Scan, one_site, taken
from fedgen.data.layouts.patient_rule import by_rule, patient_by

#: What an array of images, of labels and of patients is called, in this order, in one name.
_WORDS = (
    ("images", "labels", "patients"),
    ("image", "label", "patient"),
    ("x", "y", "patient"),
    ("data", "target", "patient"),
)
_IDX = re.compile(r"idx\d")


class ArraysLayout(FolderLayout):
    """One entry an image: the file, the stack and the number in it. No image is copied out.

    Labels are the array of the same name with `labels` for `images` (or `y` for `x`), and so are `patients`, where
    there is one; else the study's `data.patient_rule` says who the patient is.
    """

    name: ClassVar[str] = "arrays"
    precedence: ClassVar[int] = 40
    unused: ClassVar[str] = "image beside files that hold many"

    def matches(self, request: Request) -> bool:
        """A file of at least one stack of images."""
        return any(_stacks(request, path) for path in request.files)

    def scan(self, request: Request) -> Scan:
        """Find every image of every stack."""
        result = Scan(self.name)
        site = request.site or one_site(request, result) or request.folder.resolve().name
        used: set[str] = set()
        for path in request.watched(request.files):
            try:
                stacks = _stacks(request, path)
                if not request.wants("", "") and stacks:
                    result.leave_out(path, "other modality (none given)")
                elif stacks:
                    result.entries += _entries(request, path, stacks, site, result)
                elif _is_array(request, path):
                    used.add(path)
            except UnreadableError as error:
                result.problems.append(Problem(path, str(error)))
        for path in sorted(used - result.seen):
            result.leave_out(path, "arrays that are neither images nor their labels", asked=False)
        if (
            any(entry.patient.startswith(f"{entry.path}/") for entry in result.entries)
            or request.data.patient_rule
        ):
            by_rule(result, request.data.patient_rule)
        return result


LAYOUT = ArraysLayout()


def _stacks(request: Request, path: str) -> Mapping[str, ArrayShape]:
    """The stacks of images of a file, by name; none where it is another file."""
    name = PurePosixPath(path).name.lower()
    known = name.endswith(DECODER.supported_file_endings)
    if not known and not _IDX.search(name):
        return {}
    file = request.folder / path
    with guard():
        if not known and not DECODER.recognises(file):
            return {}
        return {key: array for key, array in array_shapes(file).items() if array.images is not None}


def _entries(
    request: Request, path: str, stacks: Mapping[str, ArrayShape], site: str, result: Scan
) -> Iterator[IndexEntry]:
    for volume, (name, array) in enumerate(stacks.items()):
        assert array.images is not None
        n, height, width = array.images
        # A study of volumes has no use for images of two sides, and says so.
        taken(Header((height, width)), request.data)
        labels = _beside(request, path, name, n, 1, result)
        patients = _beside(request, path, name, n, 2, result)
        for number in range(n):
            address = f"{path}/{name}/{number}" if path.endswith(".npz") else f"{path}/{number}"
            patient = patient_by(request.data.patient_rule, address) if patients is None else patients[number]
            if patient is None:
                raise UnreadableError(
                    f"has no patient by data.patient_rule in {address}: correct the rule, or set it to image"
                )
            yield IndexEntry(
                files=(path,),
                patient=patient,
                site=site,
                label=None if labels is None else labels[number] or None,
                mask=None,
                modality="",
                series="",
                study="",
                spacing=None,
                orientation="",
                slices=SliceRange(0, number, number + 1, 1, volume),
                size=(height, width),
            )


def _beside(request: Request, path: str, name: str, n: int, kind: int, result: Scan) -> list[str] | None:
    """Labels (1) or patients (2) of the images of an array; None where there is no such array of n words or numbers."""
    for words in _WORDS:
        other = re.sub(rf"(?<![a-z]){words[0]}(?![a-z])", words[kind], name, flags=re.IGNORECASE)
        if other == name:
            continue
        file, key = request.folder / path, other
        if not path.endswith(".npz"):
            sibling = PurePosixPath(path).with_name(
                _IDX.sub("idx1", other) if _IDX.search(other) else f"{other}.npy"
            )
            if sibling.as_posix() not in request.files:
                continue
            file, key = request.folder / sibling, ""
        with guard():
            shapes = array_shapes(file)
            key = key or next(iter(shapes))
            shape = shapes[key].shape if key in shapes else ()
            if shape in ((n,), (n, 1)) and shapes[key].dtype.kind in "buifUS":
                if file != request.folder / path:
                    result.seen.add(sibling.as_posix())
                return [_word(value) for value in array_values(file, key).ravel().tolist()]
            if key in shapes:
                stored = " x ".join(map(str, shape)) or "one value"
                sentence = f"{path}: {other} holds {stored} instead of one a picture ({n}), and is not read."
                result.findings.append(DataFinding("table_reading", sentence, 1))
    return None


def _word(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").strip()
    return str(int(value) if isinstance(value, bool | float) and float(value).is_integer() else value).strip()


def _is_array(request: Request, path: str) -> bool:
    name = PurePosixPath(path).name.lower()
    return name.endswith(DECODER.supported_file_endings) or (
        bool(_IDX.search(name)) and DECODER.recognises(request.folder / path)
    )
