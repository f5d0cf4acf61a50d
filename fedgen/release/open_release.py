"""A signed release as a torch data set: verified first, then read."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from fedgen.errors import DataError
from fedgen.release.archive import FolderFiles, open_files
from fedgen.release.release_manifest import IMAGES, MANIFEST
from fedgen.release.shown import unpack_images
from fedgen.release.verify import verify
from fedgen.synthesis.released_images import ReleasedImages
from fedgen.synthesis.released_images import load_release as load_samples


def load_release(
    path: str | Path,
    form: str | None = None,
    transform: Callable[[Tensor], Tensor] | None = None,
    key: str | None = None,
) -> ReleasedImages:
    """The synthetic images of a run or of a signed release, as a torch data set; a release is verified first.

    Args:
        path: a run's folder, or its `samples`; or a signed release, as a folder or a zip archive.
        form: `png`, `nifti` or `dicom`; where None, the one of those written that says most of its images.
        transform: applied to each image.
        key: Ed25519 public key (64 hex digits) that must have signed the release; None for any.

    Raises:
        DataError: there is no release, none in this format, or it is not what was signed, or not with this key.
    """
    path = Path(path)
    if path.is_dir() and not (path / MANIFEST).exists():
        if key is not None:
            raise DataError(f"{path} is not signed, so no key can have signed it: name a signed release.")
        return load_samples(path, form, transform)
    files = open_files(path)
    manifest = verify(files, public_key(key)).require_right()
    if manifest.kind != "images":
        raise DataError(f"{path} is a released model, which holds no images: `fedgen translate` uses it.")
    if isinstance(files, FolderFiles):
        return load_samples(path / IMAGES, form, transform)
    # Read from files, whatever the format; they are there as long as the data set is.
    unpacked = tempfile.TemporaryDirectory(prefix="fedgen-release-")
    unpack_images(files, Path(unpacked.name))
    images = load_samples(Path(unpacked.name), form, transform)
    images.kept = unpacked
    return images


def public_key(text: str | None) -> bytes | None:
    """An Ed25519 public key in 64 hex digits, or in a file that holds them.

    Raises:
        DataError: it is neither.
    """
    if text is None:
        return None
    told = text.strip()
    if len(told) != 64 and Path(text).is_file():
        told = Path(text).read_text(encoding="utf-8", errors="replace").strip()
    try:
        found = bytes.fromhex(told)
    except ValueError:
        found = b""
    if len(found) != 32:
        raise DataError(
            f"{text[:100]!r} is no Ed25519 public key: give its 64 hex digits, or a file that holds them."
        )
    return found
