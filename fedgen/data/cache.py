"""Decoded sites on disk: safetensors, and a JSON that says from which files and options they were made."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from fedgen.data.decode import DECODER_VERSION, DecodedSite, decode_site
from fedgen.data.fingerprint import Fingerprints
from fedgen.data.index import IndexEntry, PatientIndex
from fedgen.errors import DataError
from fedgen.run.atomic import write_atomic
from fedgen.study.data import DataSection

#: The options that change what decoding yields; a new split does not decode anew.
_OPTIONS = {"image_size", "channels", "intensity", "slices", "volume", "columns"}


def decode_sites(folder: Path, index: PatientIndex, data: DataSection, cache: Path) -> dict[str, DecodedSite]:
    """Decode each site of `index`, or read it back from `cache`.

    A cached site is used only where its entries, the options, the decoder's version and every file's size and
    time of change agree, and its own checksum holds; otherwise it is decoded anew and the cache replaced.

    Args:
        folder: the folder that was indexed.
        index: its index.
        data: the study's data section.
        cache: folder of the cache; it holds patients' images and belongs with the data.

    Returns:
        One `DecodedSite` a site, in alphabetical order.

    Raises:
        DataError: a file cannot be used, or the cache cannot be written.
    """
    sites = {}
    for number, site in enumerate(index.sites):
        entries = index.at(site)
        # Numbered, because a site's name may be longer than a file name can be.
        path = cache / f"site-{number:03d}.safetensors"
        key = cache_key(folder, entries, data)
        decoded = _read(path, key)
        if decoded is None:
            decoded = decode_site(folder, entries, data)
            _write(path, key, decoded)
        sites[site] = decoded
    return sites


def cache_key(folder: Path, entries: tuple[IndexEntry, ...], data: DataSection) -> str:
    """SHA-256 of everything the decoded site depends on.

    Raises:
        DataError: an indexed file is gone.
    """
    paths = sorted({path for entry in entries for path in (*entry.files, entry.mask) if path is not None})
    description = {
        "decoder": DECODER_VERSION,
        "options": data.model_dump(mode="json", include=_OPTIONS),
        "entries": [asdict(entry) for entry in entries],
        "files": [[path, *_state(folder / path)] for path in paths],
    }
    return hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()


def _state(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read any more ({error.strerror}): index the folder again."
        ) from None
    return status.st_size, status.st_mtime_ns


def _write(path: Path, key: str, site: DecodedSite) -> None:
    tensors: dict[str, NDArray[Any]] = {
        "images": site.images,
        "entries": site.entries,
        "above": site.above,
        "below": site.below,
        "span": site.span,
        "exact": site.fingerprints.exact,
        "near": site.fingerprints.near,
        "detail": site.fingerprints.detail,
        "blank": site.fingerprints.blank,
    }
    if site.masks is not None:
        tensors["masks"] = site.masks
    content = save(tensors)
    write_atomic(path, content)
    # Written last: a crash in between leaves a cache without its JSON, which counts as none.
    record = {"key": key, "sha256": hashlib.sha256(content).hexdigest(), "decoder": DECODER_VERSION}
    write_atomic(path.with_suffix(".json"), (json.dumps(record, indent=1) + "\n").encode())


def _read(path: Path, key: str) -> DecodedSite | None:
    try:
        record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        if record["key"] != key:
            return None
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != record["sha256"]:
            return None
        tensors = load(content)
        return DecodedSite(
            images=tensors["images"],
            masks=tensors.get("masks"),
            entries=tensors["entries"],
            above=tensors["above"],
            below=tensors["below"],
            span=tensors["span"],
            fingerprints=Fingerprints(
                tensors["exact"], tensors["near"], tensors["detail"], tensors["blank"].astype(np.bool_)
            ),
        )
    except (OSError, ValueError, KeyError, TypeError, SafetensorError):
        # A cache that cannot be read is no cache; the files themselves are still there.
        return None
