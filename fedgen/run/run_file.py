"""The base of every JSON file in a run directory: one typed model that its writer and its readers share."""

from __future__ import annotations

import json
from typing import ClassVar, Literal, Self

from pydantic import ValidationError

from fedgen.errors import DataError
from fedgen.run.directory import RunDirectory
from fedgen.run.version import VERSION, foreign
from fedgen.schema.section import Section


class RunFile(Section):
    """A file with a version number; one of another version is refused, never guessed at.

    Attributes:
        version: of the form of all files of a run.
    """

    #: In the run directory.
    name: ClassVar[str]
    version: Literal[2] = VERSION

    def write(self, run: RunDirectory, name: str | None = None) -> None:
        """Write the file into its run, under its own name where none is given.

        Raises:
            ValueError: a number in it is NaN or infinite; nothing is written.
            DataError: the disk is full or the folder is not writable.
        """
        run.write_json(name or self.name, self.model_dump(mode="json"))

    @classmethod
    def read(cls, run: RunDirectory, name: str | None = None) -> Self:
        """The file of a run.

        Raises:
            DataError: it is not there, damaged, or of another version of fedgen.
        """
        path = run.path / (name or cls.name)
        found = run.read_json(name or cls.name)
        if found.get("version") != VERSION:
            raise foreign(path, found.get("version"))
        try:
            return cls.model_validate_json(json.dumps(found))
        except ValidationError as error:
            raise DataError(
                f"{path} is damaged ({_first(error)}): run the stage that writes it again."
            ) from None

    @classmethod
    def find(cls, run: RunDirectory) -> Self | None:
        """The file of a run; None where no stage has written it yet.

        Raises:
            DataError: as `read`.
        """
        return cls.read(run) if (run.path / cls.name).exists() else None


def _first(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"
