"""What verifying a release finds: a line for each check, which holds, does not, or could not be made."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from pydantic import ValidationError

from fedgen.errors import DataError, FedgenError
from fedgen.release.archive import ReleaseFiles
from fedgen.release.release_manifest import (
    ReleaseManifest,
)
from fedgen.run.run_file import RunFile

F = TypeVar("F", bound=RunFile)


class Outcome(StrEnum):
    """Of one check."""

    OK = "ok"
    WRONG = "WRONG"
    OPEN = "not checked"


@dataclass(frozen=True)
class Checked:
    """One line of what was checked.

    Attributes:
        outcome: whether it holds.
        about: what was looked at.
        sentence: what was found.
    """

    outcome: Outcome
    about: str
    sentence: str


@dataclass(frozen=True)
class Verified:
    """Everything that was checked, and the manifest where it could be read."""

    lines: tuple[Checked, ...]
    manifest: ReleaseManifest | None

    @property
    def wrong(self) -> tuple[Checked, ...]:
        """What does not hold."""
        return tuple(line for line in self.lines if line.outcome is Outcome.WRONG)

    def require_right(self) -> ReleaseManifest:
        """The manifest.

        Raises:
            DataError: something does not hold; nothing of the release is to be used.
        """
        if self.wrong or self.manifest is None:
            why = " ".join(f"{line.about}: {line.sentence}" for line in self.wrong[:5])
            raise DataError(
                f"The release is not what was signed. {why} Get it again from whoever released it."
            )
        return self.manifest


def judged(right: bool, about: str, fine: str, wrong: str) -> Checked:
    """One line, in the words of what was found."""
    return Checked(Outcome.OK, about, fine) if right else Checked(Outcome.WRONG, about, wrong)


def of_error(error: Exception, absent: str) -> str:
    """What an error says of the release; of one that is not ours, `absent`."""
    return str(error) if isinstance(error, FedgenError) else absent


def read_form(form: type[F], files: ReleaseFiles, name: str) -> F:
    """A file of a release in its typed form.

    Raises:
        DataError: it is missing, or of another form.
    """
    try:
        return form.model_validate_json(files.read(name))
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        raise DataError(
            f"{name} is of no form that this version of fedgen knows ({problem['msg']}): use the version that wrote it."
        ) from None
