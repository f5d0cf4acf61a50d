"""Names of files that are made of other names, such as those of classes."""

from __future__ import annotations

import re


def file_stems(classes: tuple[str, ...]) -> list[str]:
    """A name for each class that is safe in any file system, and different from all the others.

    >>> file_stems(("COVID-19", "other pneumonia", "no/finding"))
    ['COVID-19', 'other-pneumonia', 'no-finding']
    """
    stems: list[str] = []
    for index, name in enumerate(classes):
        stem = re.sub(r"[^A-Za-z0-9.-]+", "-", name).strip("-.")[:48] or f"class-{index}"
        # macOS and Windows do not tell upper case from lower case.
        taken = {other.lower() for other in stems}
        stems.append(stem if stem.lower() not in taken else f"{stem}-class{index}")
    return stems
