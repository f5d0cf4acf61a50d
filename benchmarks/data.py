"""10 000 PNG and 10 000 DICOM: index, inspect, prepare, prepare again; and an epoch from the cache against MONAI's.

    python benchmarks/data.py [--quick] [--out FILE.json]

Pictures of 96 x 96 pixels of 8 bits, and DICOM files of 96 x 96 of 12 in 16 bits, two a patient, at four sites; the
study asks for 64 x 64. Every step is a process of its own, so that the peak of memory is the step's, with that of
Python and its libraries before it; its seconds are without their start, of the wall's clock and of the processor in all
threads. `prepare again` is a new run on the same files, which decodes nothing.

The epoch reads every image of the PNG folder once, in batches of 64 in random order, as float32 tensors: ours from the
memory-mapped cache, MONAI's from a PersistentDataset with the same window and size, after its own first epoch has
filled it. Both in one process on one core, in turn, five times; medians of processor seconds.

The benchmark exits 0 whatever the numbers. --quick: 1000 files each.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

RESULTS = Path(__file__).parent / "results"
SIDE, ASKED, BATCH, TURNS = 96, 64, 64, 5
STEPS = ("index", "inspect", "prepare", "prepare again")
STUDY: dict[str, Any] = {
    "study": {"name": "files", "seed": 1},
    "data": {"image_size": (ASKED, ASKED), "labels": ("none", "lesion")},
    "privacy": {"mode": "none"},
}


def main() -> None:
    """Make the files, take the steps, print a table and write JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="1000 files of each kind")
    parser.add_argument("--out", type=Path, help="JSON file; default results/data.json, none with --quick")
    parser.add_argument("--step", nargs=2, metavar=("STEP", "FOLDER"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step:
        print(json.dumps(_step(given.step[0], Path(given.step[1]))))
        return
    from secagg.meter import machine

    count = 1000 if given.quick else 10_000
    with tempfile.TemporaryDirectory(prefix="fedgen-data-") as place:
        rows = []
        for kind, write in (("PNG", _write_png), ("DICOM", _write_dicom)):
            folder = Path(place) / kind
            write(folder / "images", count)
            rows += [{"files": kind, "step": step, **_apart(step, folder)} for step in STEPS]
        epochs = _epochs(Path(place) / "PNG")
    result = {"machine": machine(), "count": count, "side": SIDE, "steps": rows, "epoch": epochs}
    print(f"| {count} files | step | seconds | processor s | peak MB | of that before |\n" + "|---" * 6 + "|")
    for row in rows:
        times = f"{row['seconds']:.1f} | {row['processor']:.1f}"
        print(f"| {row['files']} | {row['step']} | {times} | {row['peak_mb']:.0f} | {row['before_mb']:.0f} |")
    print(
        f"\nAn epoch of {count} images: cache {epochs['fedgen']:.3f} s, MONAI PersistentDataset "
        f"{epochs['monai']:.3f} s, {epochs['monai'] / epochs['fedgen']:.1f} times as long"
    )
    out = given.out or (None if given.quick else RESULTS / "data.json")
    if out is not None:
        out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _apart(step: str, folder: Path) -> dict[str, float]:
    command = [sys.executable, str(Path(__file__)), "--step", step, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _step(step: str, folder: Path) -> dict[str, float]:
    """One step in this process; what it had before the step is not the step's."""
    images, data = folder / "images", _data()
    from fedgen.data.build import build_index
    from fedgen.data.inspect.look import inspect_data
    from fedgen.data.prepare import prepare_sites
    from fedgen.study.study import Study

    actions: dict[str, Callable[[], object]] = {
        "index": lambda: build_index(images, data),
        "inspect": lambda: inspect_data(images),
    }
    study = Study.model_validate(STUDY)
    own = folder / step.replace(" ", "-")
    action = actions.get(step, lambda: prepare_sites(study, images, own, folder / "cache"))
    before = _peak()
    started, worked = time.perf_counter(), time.process_time()
    action()
    return {
        "seconds": time.perf_counter() - started,
        "processor": time.process_time() - worked,
        "peak_mb": _peak(),
        "before_mb": before,
    }


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _data() -> Any:
    from fedgen.study.data import DataSection

    return DataSection.model_validate(STUDY["data"])


def _picture(number: int) -> Any:
    """A smooth picture that is no other's."""
    import numpy as np
    from PIL import Image

    coarse = np.random.default_rng(number).integers(0, 256, (9, 9)).astype(np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def _who(number: int) -> tuple[str, str, str]:
    """Patient, site and label of a file."""
    patient = number // 2
    return f"p{patient}", f"site{patient % 4}", ("none", "lesion")[patient // 4 % 2]


def _write_png(folder: Path, count: int) -> None:
    from PIL import Image

    folder.mkdir(parents=True)
    rows = []
    for number in range(count):
        Image.fromarray(_picture(number)).save(folder / f"{number}.png")
        patient, site, label = _who(number)
        rows.append((f"{number}.png", patient, site, label))
    _table(folder / "metadata.csv", ("image", "patient", "site", "label"), rows)


def _write_dicom(folder: Path, count: int) -> None:
    import numpy as np
    from pydicom.uid import MRImageStorage

    from fedgen.data.phantom.dicom import encode_image

    rows = []
    for number in range(count):
        patient, site, label = _who(number)
        place = folder / site / patient
        place.mkdir(parents=True, exist_ok=True)
        stored = (_picture(number).astype(np.uint16)) * 16
        uid = f"1.2.826.0.1.3680043.8.498.{number + 1}"
        tags = {
            "StudyInstanceUID": f"{uid}.1", "SeriesInstanceUID": f"{uid}.2", "PatientID": patient,
            "InstitutionName": site, "Modality": "MR", "SeriesDescription": "T1w", "InstanceNumber": 1,
            "PixelSpacing": ("1", "1"), "ImageOrientationPatient": (1, 0, 0, 0, 1, 0),
            "ImagePositionPatient": (0, 0, number % 2), "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2", "Rows": SIDE, "Columns": SIDE, "BitsAllocated": 16,
            "BitsStored": 12, "HighBit": 11, "PixelRepresentation": 0, "RescaleSlope": "0.0625",
            "RescaleIntercept": "0",
        }  # fmt: skip
        (place / f"{number}.dcm").write_bytes(encode_image(MRImageStorage, uid, tags, stored))
        rows.append((uid, label))
    _table(folder / "labels.csv", ("SOPInstanceUID", "label"), rows)


def _table(path: Path, header: tuple[str, ...], rows: list[Any]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def _epochs(folder: Path) -> dict[str, float]:
    """Median seconds of an epoch from each cache."""
    import torch
    from monai.data import DataLoader, PersistentDataset
    from monai.transforms import Compose, EnsureChannelFirst, LoadImage, Resize, ScaleIntensityRange

    from fedgen.data.build import build_index
    from fedgen.data.cache.decoded_sites import decode_sites

    torch.set_num_threads(1)
    images, data = folder / "images", _data()
    sites = decode_sites(images, build_index(images, data), data, folder / "cache")
    tensors = [torch.from_numpy(site.images) for site in sites.values()]
    steps = Compose(
        [
            LoadImage(image_only=True), EnsureChannelFirst(), ScaleIntensityRange(0, 255, -1, 1, clip=True),
            Resize((ASKED, ASKED)),
        ]
    )  # fmt: skip
    files = [str(path) for path in sorted(images.glob("*.png"))]
    theirs = PersistentDataset(files, steps, cache_dir=folder / "monai")
    loader = DataLoader(theirs, batch_size=BATCH, shuffle=True)

    def ours() -> None:
        for images in tensors:
            for rows in torch.randperm(len(images)).split(BATCH):
                images[rows].float()

    def monai() -> None:
        for _ in loader:
            pass

    monai()
    seconds: dict[str, list[float]] = {"fedgen": [], "monai": []}
    for _ in range(TURNS):
        for name, epoch in (("fedgen", ours), ("monai", monai)):
            started = time.process_time()
            epoch()
            seconds[name].append(time.process_time() - started)
    return {name: statistics.median(taken) for name, taken in seconds.items()}


if __name__ == "__main__":
    main()
