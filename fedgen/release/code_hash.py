"""Which source files a release was packed by: one hash of all that is installed."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("fedgen", "fedgen_privacy")
_ENDINGS = (".py", ".html", ".css", ".yaml")


@cache
def source_sha256() -> str:
    """SHA-256 (hex) of every source file of the workshop and the vault, with their paths inside the packages."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        spec = find_spec(package)
        for place in sorted(spec.submodule_search_locations or ()) if spec is not None else ():
            root = Path(place)
            files = sorted(path for path in root.rglob("*") if path.suffix in _ENDINGS and path.is_file())
            for path in files:
                name = f"{package}/{path.relative_to(root).as_posix()}"
                digest.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()
