"""Small made-up folders in each layout."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

Rows = Sequence[dict[str, str]]


def _picture(seed: int, size: tuple[int, int] = (20, 28)) -> np.ndarray:
    # Smooth, so that neither hash sees noise.
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 7)).astype(np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((size[1], size[0]), Image.Resampling.BICUBIC))


@pytest.fixture
def picture() -> Callable[..., np.ndarray]:
    """picture(seed, size) -> (H, W) uint8, different for each seed."""
    return _picture


@pytest.fixture
def write_rows() -> Callable[[Path, Rows], None]:
    """write_rows(path, rows): a CSV."""

    def write(path: Path, rows: Rows) -> None:
        with path.open("w", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)

    return write


@pytest.fixture
def png_rows(tmp_path: Path) -> Rows:
    """Two sites, eight patients each, two images a patient, both classes, PNG files under `pngs/images`."""
    folder = tmp_path / "pngs" / "images"
    folder.mkdir(parents=True)
    rows = []
    for site in ("north", "south"):
        for p in range(8):
            for i in range(2):
                name = f"{site}-{p}-{i}.png"
                Image.fromarray(_picture(len(rows))).save(folder / name)
                label = ("none", "lesion")[p % 2]
                rows.append(
                    {"image": f"images/{name}", "patient": f"{site}{p}", "site": site, "label": label}
                )
    return rows


@pytest.fixture
def png_folder(tmp_path: Path, png_rows: Rows, write_rows: Callable[[Path, Rows], None]) -> Path:
    """`png_rows` with their metadata.csv."""
    write_rows(tmp_path / "pngs" / "metadata.csv", png_rows)
    return tmp_path / "pngs"


@pytest.fixture
def one_png(tmp_path: Path, write_rows: Callable[[Path, Rows], None]) -> Callable[..., Path]:
    """one_png(array or bytes) -> folder with this single image of class `none`."""

    def make(content: np.ndarray | bytes, name: str = "one.png", **cells: str) -> Path:
        folder = tmp_path / "single"
        folder.mkdir(exist_ok=True)
        if isinstance(content, bytes):
            (folder / name).write_bytes(content)
        else:
            Image.fromarray(content).save(folder / name)
        row = {"image": name, "patient": "p", "site": "s", "label": "none", **cells}
        write_rows(folder / "metadata.csv", [row])
        return folder

    return make


@pytest.fixture
def bids_folder(tmp_path: Path) -> Path:
    """Three participants of two persons at two sites, one with sessions, T1w, ce-gad_T1w, T2w and dseg."""
    folder = tmp_path / "bids"
    folder.mkdir()
    lines = ["participant_id\tsession\tsite\tsex\tperson_id"]
    lines += ["sub-a\t\tnorth\tF\tann", "sub-b\tses-1\tsouth\tM\tbob", "sub-b\tses-2\tsouth\tM\tbob"]
    lines += ["sub-c\t\tsouth\tF\tann"]
    (folder / "participants.tsv").write_text("\n".join(lines) + "\n")
    for i, stem in enumerate(("sub-a", "sub-b_ses-1", "sub-b_ses-2", "sub-c")):
        anat = folder / stem.replace("_", "/") / "anat"
        anat.mkdir(parents=True)
        for j, suffix in enumerate(("T1w", "ce-gad_T1w", "T2w", "dseg")):
            volume = np.random.default_rng([i, j]).integers(0, 200, (6, 8, 11)).astype(np.uint8)
            if suffix == "dseg":
                volume = (volume > 100).astype(np.uint8) * 3
            nib.save(nib.Nifti1Image(volume, np.diag([2.0, 2.0, 3.0, 1.0])), anat / f"{stem}_{suffix}.nii.gz")
    return folder
