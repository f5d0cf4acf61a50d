"""What the images of a release are: joined from what the sites say of theirs, kept in run.json for the synthesis."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from fedgen.data.geometry import join_grids
from fedgen.errors import DataError
from fedgen.protocol.messages import SiteDescription
from fedgen.run.directory import RunDirectory
from fedgen.study.study import Study
from fedgen.task.image_spec import ImageSpec

#: Its entry in run.json.
IMAGE = "image"


def record_grid(run: RunDirectory, study: Study, sites: Sequence[SiteDescription]) -> list[str]:
    """Write down what all sites' images are.

    Args:
        run: whose run.json gets the entry.
        study: says in which formats images are released.
        sites: every site whose images the model may have learned from.

    Returns:
        What is not known and a reader of the release must know, in sentences.
    """
    grids = {site.site: site.grid for site in sites}
    joined, findings = join_grids(grids, study.data)
    run.update_summary(**{IMAGE: joined.model_dump(mode="json")})
    known = [grid for grid in grids.values() if grid is not None]
    # Pictures of which nobody ever knew more, released as pictures, miss nothing.
    missed = {
        "spacing_unknown": any(grid.spacing for grid in known),
        "orientation_unknown": any(grid.orientation for grid in known),
    }
    with_geometry = "nifti" in study.synthesis.formats
    return [finding.sentence for finding in findings if with_geometry or missed[finding.kind]]


def recorded_grid(run: RunDirectory) -> ImageSpec:
    """What `record_grid` wrote.

    Raises:
        DataError: nothing that this version understands.
    """
    try:
        return ImageSpec.model_validate(run.read_json("run.json")[IMAGE])
    except (KeyError, ValidationError):
        raise DataError(
            f"{run.path} does not say what its images are (entry {IMAGE!r} of run.json), as a run of another version "
            "of fedgen: start a new run."
        ) from None
