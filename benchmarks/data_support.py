"""The public files that our dependencies carry, read by fedgen and by an independent decoder; writes the page about it.

    python benchmarks/data_support.py [--out PAGE.md]

pydicom, nibabel, scikit-image and scikit-learn bring images with their tests and examples. Each is read by fedgen's
decoders and by ITK (SimpleITK with its GDCM, NIfTI, PNG, JPEG and TIFF readers), which shares no code with them but the
codecs below it, in a process of its own. Equal means: the same values at the same places, up to the turn that puts a
slice upright, black and white exchanged where the file says that white is zero, and up to what decoders of JPEG round
differently: three levels of colours in all but 0.5 % of the values.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import queue
import warnings
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fedgen.data.decoders.decoder import UnreadableError
from fedgen.data.decoders.guard import guard
from fedgen.data.decoders.registry import by_ending, decoder_for
from fedgen.data.index import SliceRange

PAGE = Path(__file__).parent.parent / "docs/reference/data-support.md"
#: Where the files are, below each package.
SOURCES = {
    "pydicom": "data/test_files",
    "nibabel": "tests/data",
    "scikit-image": "data",
    "scikit-learn": "datasets/images",
}
PACKAGES = {"scikit-image": "skimage", "scikit-learn": "sklearn"}
SECONDS = 60
#: Where somebody looked which of the two is right: what was compared.
LOOKED = {
    "rtdose_expb.dcm": "fedgen's are those of rtdose.dcm, the same dose in little endian",
    "SC_rgb_rle_16bit.dcm": "fedgen's are those of SC_rgb_rle.dcm, the same picture in 8 bits, times 257",
    "SC_rgb_rle_16bit_2frame.dcm": "fedgen's are those of SC_rgb_rle_2frame.dcm, times 257",
    "SC_rgb_rle_32bit.dcm": "fedgen's are those of SC_rgb_rle.dcm, times 2^24 + 2^16 + 2^8 + 1",
    "SC_rgb_rle_32bit_2frame.dcm": "as SC_rgb_rle_32bit.dcm",
    "693_J2KI.dcm": "lossy JPEG 2000: 0.2 % of the values differ; nothing says which is right",
}
_COLUMNS = ("equal", "different", "only fedgen reads it", "refused", "no picture")


class Result(NamedTuple):
    """What became of a file: one of _COLUMNS, and what to say of it."""

    outcome: str
    said: str = ""


def main() -> None:
    """Read every file, print the counts and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=PAGE)
    out = parser.parse_args().out
    rows: list[tuple[str, str, str, Result]] = []
    for source, place in SOURCES.items():
        spec = find_spec(PACKAGES.get(source, source))
        assert spec is not None
        assert spec.origin is not None
        folder = Path(spec.origin).parent / place
        rows += [
            (source, kind, path.relative_to(folder).as_posix(), _apart(path)) for kind, path in _files(folder)
        ]
    text = _page(rows)
    print(text)
    out.write_text(text, encoding="utf-8")


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Files of a format that fedgen claims to read, by the name of its decoder."""
    endings = by_ending()
    for path in sorted(folder.rglob("*")):
        name = path.name.lower()
        known = [ending for ending in endings if name.endswith(ending)]
        if path.is_file() and known:
            decoder = type(endings[max(known, key=len)]).__name__.removesuffix("Decoder")
            yield (
                {
                    "Dicom": "DICOM",
                    "Nifti": "NIfTI and relatives",
                    "Raster": "pictures",
                    "Array": "arrays",
                }.get(decoder, decoder),
                path,
            )


def _apart(path: Path) -> Result:
    """`_judge` in a process of its own: what ends it ends no other."""
    context = multiprocessing.get_context("fork")
    answers: Any = context.Queue()
    worker = context.Process(target=_answer, args=(path, answers))
    worker.start()
    try:
        return Result(*answers.get(timeout=SECONDS))
    except queue.Empty:
        return Result("different", "no answer: the process ended or took too long")
    finally:
        worker.kill()
        worker.join()


def _answer(path: Path, answers: Any) -> None:
    warnings.simplefilter("ignore")
    answers.put(tuple(_judge(path)))


def _judge(path: Path) -> Result:
    try:
        decoder = decoder_for(path)
        header = decoder.header(path, 2)
        slices = None if header.depth is None else SliceRange(header.axis, 0, header.depth, 1)
        ours = decoder.pixels(path, slices).astype(np.float64)
    except UnreadableError as error:
        return Result("no picture" if "no pixels" in str(error) else "refused", str(error))
    try:
        with guard():
            theirs = _independent(path)
    except UnreadableError:
        return Result("only fedgen reads it")
    return Result("equal") if _equal(ours, theirs) else Result("different", _difference(ours, theirs))


def _independent(path: Path) -> np.ndarray:
    """(n, H, W, c) of ITK; of several volumes the first."""
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    image = SimpleITK.ReadImage(str(path))
    colours = image.GetNumberOfComponentsPerPixel()
    array = SimpleITK.GetArrayFromImage(image).astype(np.float64)
    while array.ndim > 3 + (colours > 1):
        array = array[0]
    if colours == 1:
        array = array[..., np.newaxis]
    return array if array.ndim == 4 else array[np.newaxis]


def _difference(ours: np.ndarray, theirs: np.ndarray) -> str:
    def described(values: np.ndarray) -> str:
        finite = values[np.isfinite(values)]
        said = f"{finite.min():g} to {finite.max():g}" if finite.size else "nothing finite"
        return said + (f", {values.size - finite.size} not finite" if finite.size < values.size else "")

    return f"fedgen: {described(ours)}; ITK: {described(theirs)}"


def _equal(ours: np.ndarray, theirs: np.ndarray) -> bool:
    if ours.shape[-1] != theirs.shape[-1]:
        # Gray stored as colours, or an alpha channel that is opaque.
        theirs = theirs[..., : ours.shape[-1]]
    if ours.size != theirs.size or not ours.size:
        return False
    if set(np.unique(theirs)) <= {0, 255} and ours.max() <= 1:
        theirs = theirs / 255  # ITK's form of single bits
    span = float(ours.max() - ours.min())
    most, rest = (3.0, 0.005) if ours.shape[-1] > 1 else (1e-4 * max(span, 1.0), 0.0)
    inverted = theirs.max() + theirs.min() - theirs
    for values, order in itertools.product((theirs, inverted), itertools.permutations(range(3))):
        turned = values.transpose(*order, 3)
        if turned.shape != ours.shape:
            continue
        for flips in itertools.product((1, -1), repeat=3):
            placed = turned[tuple(slice(None, None, flip) for flip in flips)]
            if np.mean(np.abs(placed - ours) > most) <= rest:
                return True
    return False


def _page(rows: list[tuple[str, str, str, Result]]) -> str:
    kinds = sorted({(source, kind) for source, kind, _, _ in rows}, key=str)
    lines = [
        "# What is read, and how it compares",
        "",
        "Made by `python benchmarks/data_support.py`: the public files that fedgen's dependencies carry, read by",
        "fedgen and by ITK, an independent decoder. *Equal*: the same values at the same places, up to the turn that",
        "puts a slice upright and to black and white where the file exchanges them; colours within three levels, as",
        "decoders of JPEG round. *Refused* and *no picture* are told with a reason.",
        "",
        f"| source | format | files | {' | '.join(_COLUMNS)} |",
        "|---" * (3 + len(_COLUMNS)) + "|",
    ]
    for source, kind in kinds:
        found = Counter(result.outcome for s, k, _, result in rows if (s, k) == (source, kind))
        counts = " | ".join(str(found[column]) for column in _COLUMNS)
        lines.append(f"| {source} {version(source)} | {kind} | {found.total()} | {counts} |")
    total = Counter(result.outcome for _, _, _, result in rows)
    lines.append(f"| all | | {total.total()} | {' | '.join(str(total[column]) for column in _COLUMNS)} |")
    endings = ", ".join(f"`{ending}`" for ending in sorted(by_ending()))
    lines += [
        "",
        f"Endings: {endings}; DICOM, NIfTI, NRRD and idx files are also known by their first bytes.",
        "",
    ]
    for title, outcome in (("Different", "different"), ("Refused", "refused")):
        told = [(source, name, result.said) for source, _, name, result in rows if result.outcome == outcome]
        if told:
            lines += [f"## {title}", "", "| file | why |", "|---|---|"]
            lines += [f"| {source}: `{name}` | {_reason(name, said)} |" for source, name, said in told]
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _reason(name: str, said: str) -> str:
    return said.replace("|", "/") + (f" ({LOOKED[name]})" if name in LOOKED else "")


if __name__ == "__main__":
    main()
