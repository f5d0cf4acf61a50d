"""Small MONAI bundles, as folders and archives."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

METADATA = {
    "name": "Small brains",
    "version": "0.3.1",
    "description": "Draws small brains",
    "data_source": "phantoms of nobody",
    "copyright": "2026 Nobody",
}
NETWORK = {"network_def": {"_target_": "monai.networks.nets.UNet", "spatial_dims": 2, "strides": [2, 2]}}
APACHE = "\n                 Apache License\n           Version 2.0, January 2004\n"


def saved(state: object) -> bytes:
    """As torch.save writes it."""
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()


@pytest.fixture
def bundle(tmp_path: Path) -> Callable[..., Path]:
    """`bundle({"models/model.pt": state}, more={name: text})`: a folder; a file of None is left out."""

    def build(
        weights: Mapping[str, Mapping[str, Tensor] | bytes], more: Mapping[str, str | None] | None = None
    ) -> Path:
        root = tmp_path / "bundle"
        texts: dict[str, str | None] = {
            "configs/metadata.json": json.dumps(METADATA),
            "configs/inference.json": json.dumps(NETWORK),
            "LICENSE": APACHE,
            **(more or {}),
        }
        files = {name: text.encode() for name, text in texts.items() if text is not None}
        files |= {
            n: content if isinstance(content, bytes) else saved(content) for n, content in weights.items()
        }
        for name, content in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
        return root

    return build


@pytest.fixture
def zipped(tmp_path: Path) -> Callable[[Mapping[str, bytes]], Path]:
    """`zipped({name: content})`: an archive."""

    def build(files: Mapping[str, bytes]) -> Path:
        path = tmp_path / "bundle.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return path

    return build
