"""File names as a table spells them and as the folder does."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from fedgen.data.identity import composed


class FileNames:
    """The files of a folder, found whichever composition of letters a table was written in."""

    def __init__(self, files: Sequence[str]) -> None:
        self._files = files
        self._known = frozenset(files)

    def stored(self, path: str) -> str:
        """The file's name in the folder, or `path` itself where there is none."""
        return path if path in self._known else self._composed.get(composed(path), path)

    def has(self, path: str) -> bool:
        """Whether the folder has the file, in either composition."""
        return self.stored(path) in self._known

    def hint(self, path: str) -> str:
        """What may have been meant by a path that is not there, with a leading comma; or empty."""
        return (
            ", but a file does that differs in upper and lower case"
            if path.casefold() in self._folded
            else ""
        )

    @cached_property
    def _composed(self) -> dict[str, str]:
        return {composed(file): file for file in self._files}

    @cached_property
    def _folded(self) -> frozenset[str]:
        return frozenset(composed(file).casefold() for file in self._files)
