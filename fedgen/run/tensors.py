"""A safetensors file that a study names by its hash: read whole, compared, and its metadata found; never pickle."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from fedgen.errors import DataError, StudyError

#: The one key of a file's metadata; several would be written in an order that changes from time to time.
KEY = "fedgen"


@dataclass(frozen=True)
class NamedFile:
    """A kind of file that a study names.

    Attributes:
        what: it is, in a sentence.
        key: of the study that names it.
        option: of a command that is given it.
        made_by: the command that makes one.
    """

    what: str
    key: str
    option: str
    made_by: str

    def read(self, sha256: str, path: Path) -> bytes:
        """The very bytes that the study names.

        Raises:
            StudyError: the file is another than the study names.
            DataError: it is absent or cannot be read.
        """
        content = self.content(path)
        found = hashlib.sha256(content).hexdigest()
        if found != sha256:
            raise StudyError(
                f"{path} has the sha256 {found}, but {self.key}.sha256 is {sha256}: give the file that the study was "
                "written for."
            )
        return content

    def content(self, path: Path) -> bytes:
        """The file's bytes, whichever they are.

        Raises:
            DataError: it is absent or cannot be read.
        """
        try:
            return path.read_bytes()
        except FileNotFoundError:
            raise DataError(
                f"The study starts from {self.what} but {path} does not exist: give the file with {self.option}."
            ) from None
        except OSError as error:
            raise DataError(
                f"The {self.what} {path} cannot be read ({error.strerror}): check the path and its permissions."
            ) from None

    def tensors(self, content: bytes, path: Path) -> dict[str, Tensor]:
        """The tensors in a file's bytes.

        Raises:
            DataError: they are no safetensors.
        """
        try:
            return load(content)
        except SafetensorError as error:
            raise DataError(
                f"{path} is not a safetensors file ({error}): make one with `{self.made_by}`."
            ) from None


def metadata(content: bytes) -> str | None:
    """What fedgen wrote into the header of a file that safetensors has read; None where it wrote nothing."""
    # Its length in 8 little-endian bytes, then JSON.
    length = int.from_bytes(content[:8], "little")
    text = json.loads(content[8 : 8 + length]).get("__metadata__", {}).get(KEY)
    return None if text is None else str(text)
