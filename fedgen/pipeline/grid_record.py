"""What the images of a release are: joined from what the sites say of theirs, and kept in run.json."""

from __future__ import annotations

from collections.abc import Sequence

from fedgen.data.geometry import join_grids
from fedgen.errors import DataError
from fedgen.run.directory import RunDirectory
from fedgen.run.events import AskedSite
from fedgen.run.summary import RunSummary
from fedgen.study.study import Study
from fedgen.task.image_spec import ImageSpec


def joined_image(study: Study, sites: Sequence[AskedSite]) -> tuple[ImageSpec, list[str]]:
    """What all sites' images are, and what is not known and a reader of the release must know, in sentences.

    Args:
        study: says in which formats images are released.
        sites: every site whose images the model may have learned from.
    """
    grids = {site.site: site.grid for site in sites}
    joined, findings = join_grids(grids, study.data)
    known = [grid for grid in grids.values() if grid is not None]
    # Pictures of which nobody ever knew more, released as pictures, miss nothing.
    missed = {
        "spacing_unknown": any(grid.spacing for grid in known),
        "orientation_unknown": any(grid.orientation for grid in known),
    }
    with_geometry = not {"nifti", "dicom"}.isdisjoint(study.synthesis.formats)
    return joined, [finding.sentence for finding in findings if with_geometry or missed[finding.kind]]


def recorded_image(run: RunDirectory) -> ImageSpec:
    """What the training wrote into run.json.

    Raises:
        DataError: nothing.
    """
    image = RunSummary.read(run).image
    if image is None:
        raise DataError(
            f"{run.path} does not say what its images are (entry image of run.json): train it to its end first."
        )
    return image
