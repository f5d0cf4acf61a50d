"""Volumes of brains from three pretend sites, given age and sex, without privacy and with it; as NIfTI.

    OMP_NUM_THREADS=1 python simulations/brain_volumes/run.py FOLDER --out runs/brain_volumes

FOLDER is a BIDS folder of skull-stripped T1w volumes of 64 x 80 x 64 voxels with participants.tsv (participant_id,
site, age, sex); those of the site `ixi_hammersmith` are taken. In the order of their names every third is PUBLIC: the
prior is made of them, and their texture is lent. The others are dealt in turn to three pretend sites.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import sys
import time
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from PIL import Image
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from in_process import trained

from fedgen.data.prepare import prepare_sites
from fedgen.data.site_data import LabelledImages, SiteData
from fedgen.pipeline.model import trained_networks
from fedgen.priors.build import Said, of_images
from fedgen.priors.file import parse_prior
from fedgen.study.load import load_study
from fedgen.study.show import study_hash
from fedgen.study.study import Study
from fedgen.synthesis.dicom_tags import Provenance
from fedgen.synthesis.samples import write_samples

HERE = Path(__file__).parent
NAMES = ("north", "south", "west")
AGES = (25, 45, 65, 80)
#: Volumes of each sex and age that are drawn, of which the first is written and shown.
EACH = 8
PLAIN = ["privacy.mode=none", "aggregation.secure=false"]


def dealt(source: Path, folder: Path, public: bool) -> int:
    """Write the public part, or the sites', as a BIDS folder of its own; how many people."""
    with (source / "participants.tsv").open(encoding="utf-8") as table:
        people = [row for row in csv.DictReader(table, delimiter="\t") if row["site"] == "ixi_hammersmith"]
    people.sort(key=lambda row: row["participant_id"])
    chosen = [row for n, row in enumerate(people) if (n % 3 == 0) == public]
    folder.mkdir(parents=True)
    with (folder / "participants.tsv").open("w", encoding="utf-8", newline="") as table:
        writer = csv.writer(table, delimiter="\t")
        writer.writerow(("participant_id", "site", "label", "age", "sex"))
        for row, site in zip(chosen, cycle(NAMES), strict=False):
            name = row["participant_id"]
            (folder / name / "anat").mkdir(parents=True)
            for file in (source / name / "anat").glob("*_T1w.nii.gz"):
                shutil.copy(file, folder / name / "anat" / file.name)
            writer.writerow((name, "public" if public else site, "brain", row["age"], row["sex"]))
    return len(chosen)


def prior_of(sites: list[SiteData], path: Path) -> str:
    """The file of the prior of public volumes; the share of their variance that its components tell."""
    images = np.concatenate([site.images.float().numpy() for site in sites])
    said = Said("IXI, Hammersmith Hospital, every third session", "CC BY-SA 3.0")
    content = of_images(np.ascontiguousarray(images), 8, len(images), said)
    path.write_bytes(content)
    return f"{parse_prior(content, path).card.explained:.0%}"


def asked_for() -> Tensor:
    """Covariates of what is drawn: both sexes at each of AGES, (2 len(AGES), 3)."""
    return torch.tensor(
        [[(age - 20) / 30 - 1, sex == "F", sex == "M"] for sex in "FM" for age in AGES]
    ).float()


def made_by(study: Study, sites: list[SiteData], work: Path, prior: Path) -> tuple[Tensor, float]:
    """Volumes as `asked_for`, and the seconds of training and drawing."""
    started = time.perf_counter()
    recipe, model = trained(study, sites, work, prior)
    networks = trained_networks(recipe, model, "cpu")
    covariates = asked_for()
    images = recipe.family.sample(
        networks, {"covariates": covariates}, len(covariates), torch.Generator().manual_seed(3)
    )
    return images, time.perf_counter() - started


def picture(rows: list[Tensor], path: Path) -> None:
    """For each row of volumes (n, 1, D, H, W) its axial slices above its sagittal ones; faces up, and to the right."""
    lines = []
    for row in rows:
        volumes = row[:, 0].numpy()
        lines.append(np.hstack([volume[34, ::-1] for volume in volumes]))
        lines.append(np.hstack([volume[::-1, ::-1, 30] for volume in volumes]))
    width = max(line.shape[1] for line in lines)
    padded = [np.pad(line, ((0, 3), (0, width - line.shape[1])), constant_values=-1) for line in lines]
    pixels = ((np.vstack(padded).clip(-1, 1) + 1) * 127.5).astype(np.uint8)
    Image.fromarray(pixels).save(path, optimize=True)


def slope_of_ventricles(images: Tensor, ages: Tensor) -> float:
    """By how many ml dark voxels in the middle of the head grow in ten years, over images (n, 1, D, H, W)."""
    middle = images[:, 0, 24:44, 24:56, 20:44]
    dark = (middle < -0.45).flatten(1).sum(dim=1).double() * 2.5**3 / 1000
    return float(10 * np.polyfit(ages.double().numpy(), dark.numpy(), 1)[0])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/brain_volumes"))
    arguments = parser.parse_args()
    out: Path = arguments.out
    out.mkdir(parents=True)
    results: dict[str, Any] = {}
    started = time.perf_counter()
    plain = load_study(str(HERE / "study.yaml"), PLAIN)
    data: dict[str, list[SiteData]] = {}
    for part in ("public", "sites"):
        results[f"people, {part}"] = dealt(arguments.folder, out / part, part == "public")
        data[part] = list(prepare_sites(plain, out / part, out / "own" / part, out / "cache").sites)
    results["variance of the public volumes in 8 components"] = prior_of(
        data["public"], out / "prior.safetensors"
    )
    results["seconds to read and make the prior"] = round(time.perf_counter() - started, 1)
    prior = parse_prior((out / "prior.safetensors").read_bytes(), out)
    named = [f"model.prior={{sha256: {prior.sha256}, source: IXI public part}}"]
    real = torch.cat([site.images.float() for site in data["sites"]])
    ages = torch.cat(
        [(site.covariates[:, 0] + 1) * 30 + 20 for site in data["sites"] if site.covariates is not None]
    )
    results["dark middle, ml in ten years, real"] = round(slope_of_ventricles(real, ages), 2)
    rows = [real[ages.argsort()[torch.linspace(0, len(ages) - 1, 8).long()]]]
    asked_ages = (asked_for()[:, 0] + 1) * 30 + 20
    for name, overrides in (("no privacy", PLAIN), ("epsilon 10", [])):
        study = load_study(str(HERE / "study.yaml"), [*overrides, *named])
        folder = out / name.replace(" ", "_")
        images, seconds = made_by(study, data["sites"], folder / "run", out / "prior.safetensors")
        results[f"seconds to train and draw, {name}"] = round(seconds, 1)
        results[f"dark middle, ml in ten years, {name}"] = round(slope_of_ventricles(images, asked_ages), 2)
        shown = images[: 2 * len(AGES)]
        about = Provenance(study_hash(study), name, "T1w", datetime.now(UTC))
        made = LabelledImages(shown, torch.zeros(len(shown), dtype=torch.int64))
        files = write_samples(
            folder / "samples", made, ("brain",), ("nifti",), data["sites"][0].grid, about=about
        )
        rows.append(shown)
    results["affine of what is written"] = nib.load(files[0]).affine.tolist()
    source = next((out / "sites").rglob("*_T1w.nii.gz"))
    results["affine of a source"] = nib.load(source).affine.tolist()
    results["axes of what is written"] = "".join(nib.aff2axcodes(nib.load(files[0]).affine))
    results["seconds in all"] = round(time.perf_counter() - started, 1)
    picture(rows, HERE / "volumes.png")
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
