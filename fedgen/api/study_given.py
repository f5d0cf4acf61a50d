"""`fedgen.study(...)`: what is to be done, from a preset, a file or values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedgen.study.load import Choose, load_study
from fedgen.study.study import Study

if TYPE_CHECKING:
    from fedgen.schema.overrides import Overrides

#: A preset's name, a file's path, the sections of a study file, or a study that is made already.
StudySource = str | PathLike[str] | Mapping[str, Any] | Study


def study(
    source: StudySource,
    overrides: Overrides = (),
    *,
    patients: Sequence[int] = (),
    phantom: bool = True,
) -> Study:
    """A study, checked, with every default filled in.

    >>> import fedgen
    >>> demo = fedgen.study("demo", {"privacy.epsilon": 1})
    >>> demo.privacy.epsilon, demo.model.family
    (1.0, 'candidates')
    >>> fedgen.study("demo", {"privacy.epsilom": 1})
    Traceback (most recent call last):
    ...
    fedgen_privacy.errors.StudyError: override privacy.epsilom: unknown key ..., did you mean privacy.epsilon ...

    Args:
        source: a preset's name such as `demo`; the path of a YAML file; the sections that such a file holds, as a
            mapping; or a study, of which another is made where there are overrides.
        overrides: values by dotted key, such as `{"training.rounds": 3}`; or texts as of `--set`.
        patients: training patients of each site, by which `model.family: auto` is settled; a study whose phantom is
            trained on knows its own.
        phantom: whether the study's phantom is what will be trained on, rather than a folder of images.

    Raises:
        StudyError: everything that is wrong, a sentence a line.
    """
    if isinstance(source, Study) and not overrides:
        return source
    return load_study(as_source(source), overrides, _settle(patients, phantom))


def as_source(source: StudySource) -> str | Mapping[str, Any]:
    """What `load_study` and `load_variants` read."""
    if isinstance(source, Study):
        return source.model_dump(mode="json")
    if isinstance(source, str | Mapping):
        return source
    # A path is a file's, never a preset's name.
    path = Path(fspath(source))
    return str(path) if path.suffix in (".yaml", ".yml") else str(path.absolute())


def _settle(patients: Sequence[int], phantom: bool) -> Choose:
    """What settles `model.family: auto`; planning, and torch with it, is loaded only where it is asked."""

    def choose(variants: Mapping[str, Study]) -> tuple[str, str]:
        from fedgen.planning.choose import chooser

        return chooser(patients, phantom=phantom)(variants)

    return choose
