"""A site's tensors as one safetensors file, so that another process can read them without decoding anything."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from fedgen.data.site_data import OF_IMAGES, SiteData
from fedgen.errors import DataError
from fedgen.run.atomic import write_atomic


def write_site(path: Path, data: SiteData) -> None:
    """Write a site's tensors.

    Raises:
        DataError: the file cannot be written.
    """
    found = {name: getattr(data, name) for name in OF_IMAGES}
    tensors = {name: tensor.contiguous() for name, tensor in found.items() if tensor is not None}
    metadata = {
        "site": data.site,
        "classes": json.dumps(data.classes),
        "contrasts": json.dumps(data.contrasts),
        "spacing": json.dumps(data.spacing),
        "orientation": data.orientation,
        "enrolled": json.dumps(data.enrolled),
    }
    write_atomic(path, save(tensors, metadata=metadata))


def read_site(path: Path) -> SiteData:
    """Read them back.

    Raises:
        DataError: the file is absent or damaged.
    """
    try:
        with safe_open(path, framework="pt") as handle:
            metadata = handle.metadata()
            tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
        spacing = json.loads(metadata["spacing"])
        return SiteData(
            site=metadata["site"],
            classes=tuple(json.loads(metadata["classes"])),
            spacing=None if spacing is None else tuple(spacing),
            orientation=metadata["orientation"],
            contrasts=tuple(json.loads(metadata["contrasts"])),
            enrolled=json.loads(metadata["enrolled"]),
            **tensors,
        )
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"The site file {path} cannot be read ({error}): prepare the data again.") from None
