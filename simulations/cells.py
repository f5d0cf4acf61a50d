"""Cells of a table, kept on disk: one that is there is not made again, and one that was killed is.

A cell is a JSON file named after what it is, with a digest of everything that decides it. Where one of these changes
(the code of a family, a study, the images, a prior) the digest does, and the cell is made anew beside the old one.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import fedgen
from fedgen.data.site_data import LabelledImages, SiteData
from fedgen.evidence.pooled import PooledImages
from fedgen.run.atomic import write_atomic

SAYING = (ast.Module, ast.ClassDef, ast.FunctionDef)
PACKAGE = Path(fedgen.__file__).parent


@dataclass(frozen=True)
class Cells:
    """A folder of them.

    Attributes:
        folder: made when the first is.
        make: whether a missing one is made, or only those are read that are there.
    """

    folder: Path
    make: bool = True

    def get(
        self, name: str, key: Mapping[str, Any], made: Callable[[], Mapping[str, Any]]
    ) -> dict[str, Any] | None:
        """The cell of this name and key; None where it is missing and none is to be made."""
        path = self.path(name, key)
        if not path.exists():
            if not self.make:
                return None
            content = json.dumps({"key": key, **made()}, indent=1, ensure_ascii=False, default=str)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, (content + "\n").encode())
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found

    def path(self, name: str, key: Mapping[str, Any]) -> Path:
        """Where the cell is, or would be."""
        return self.folder / f"{name}-{digest(key)[:16]}.json"


def digest(key: Mapping[str, Any]) -> str:
    """Of a key."""
    return hashlib.sha256(json.dumps(key, sort_keys=True, default=str).encode()).hexdigest()


@cache
def code(*places: str) -> str:
    """Digest of what the package's modules at these places do, files or folders below `fedgen/`, without comments."""
    found = hashlib.sha256()
    for place in places:
        path = PACKAGE / place
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            tree = ast.parse(file.read_text(encoding="utf-8"))
            for node in ast.walk(tree):
                if isinstance(node, SAYING) and ast.get_docstring(node) is not None:
                    node.body = node.body[1:]
            found.update(f"{file.relative_to(PACKAGE)} {ast.dump(tree)}".encode())
    return found.hexdigest()


def of_sites(sites: list[SiteData]) -> str:
    """Digest of images, labels, patients and parts."""
    found = hashlib.sha256()
    for site in sites:
        found.update(site.site.encode())
        for tensor in (site.images, site.labels, site.patients, site.parts):
            found.update(tensor.contiguous().numpy().tobytes())
    return found.hexdigest()


def of_images(images: PooledImages) -> str:
    """Digest of images and labels."""
    return hashlib.sha256(images.images.numpy().tobytes() + images.labels.numpy().tobytes()).hexdigest()


def keep_images(path: Path, made: LabelledImages, model: Tensor) -> str:
    """Images as 8-bit pixels, as a release has them, with their labels and the model; the sha256 of the pixels."""
    pixels = ((made.images + 1) * 127.5).round().clamp(0, 255).byte().numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    begun = path.with_suffix(".part.npz")
    np.savez_compressed(begun, pixels=pixels, labels=made.labels.numpy(), model=model.detach().cpu().numpy())
    begun.replace(path)
    return hashlib.sha256(pixels.tobytes() + made.labels.numpy().tobytes()).hexdigest()


def kept_images(path: Path) -> tuple[LabelledImages, Tensor]:
    """What `keep_images` kept."""
    with np.load(path) as found:
        images = torch.from_numpy(found["pixels"]).float() / 127.5 - 1
        return LabelledImages(images, torch.from_numpy(found["labels"])), torch.from_numpy(found["model"])
