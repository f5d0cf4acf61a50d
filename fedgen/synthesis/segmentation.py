"""The mask of a synthetic image as a DICOM segmentation of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydicom.dataset import Dataset
from torch import Tensor

from fedgen import __version__
from fedgen.errors import DataError
from fedgen.synthesis.dicom import derived_uid, radiological
from fedgen.synthesis.dicom_tags import MAKER, add_equipment, located
from fedgen.task.image_spec import ImageSpec

#: What the study's masks mark is not known: a category that fits every region, and a type of our own.
_CATEGORY = ("309825002", "SCT", "Spatial and Relational Concept")
_TYPE = ("region", "99FEDGEN", "Region marked by the masks of the study")


def dicom_segmentation(
    mask: Tensor, image: Dataset, grid: ImageSpec, classes: Sequence[str] = ("mask",)
) -> Dataset:
    """A binary segmentation that lies on its image: same patient, study and frame of reference.

    Args:
        mask: (1, *size) of classes on the grid of the image, 0 outside of all.
        image: what `dicom_image` made of the image.
        grid: what is known of the image.
        classes: names of the values 1, 2, ...; each is a segment.

    Raises:
        DataError: a volume of which it is not known where it lies: a segmentation could not name its frames.
    """
    if grid.dimensions == 3 and not located(grid):
        raise DataError(
            "The place of a volume in the patient is not known, so its mask cannot be a DICOM segmentation: "
            "ask for nifti in synthesis.formats instead of dicom."
        )
    # It takes a second to import, and most releases have no masks.
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.seg import (
        SegmentAlgorithmTypeValues,
        Segmentation,
        SegmentationTypeValues,
        SegmentDescription,
    )
    from highdicom.sr import CodedConcept

    algorithm = AlgorithmIdentificationSequence(
        name=MAKER, version=__version__, family=CodedConcept("123109", "DCM", "Artificial Intelligence")
    )
    descriptions = [
        SegmentDescription(
            segment_number=number,
            segment_label=name[:64],
            segmented_property_category=CodedConcept(*_CATEGORY),
            segmented_property_type=CodedConcept(*_TYPE),
            algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
        )
        for number, name in enumerate(classes, start=1)
    ]
    pixels, _, _ = radiological(mask[0].numpy().astype(np.uint8), grid)
    segmentation = Segmentation(
        source_images=[image],
        pixel_array=pixels if grid.dimensions == 3 else pixels[np.newaxis],
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=descriptions,
        series_instance_uid=derived_uid(image.SeriesInstanceUID, "mask"),
        series_number=2,
        sop_instance_uid=derived_uid(image.SOPInstanceUID, "mask"),
        instance_number=1,
        manufacturer=MAKER,
        manufacturer_model_name=MAKER,
        software_versions=f"{MAKER} {__version__}",
        device_serial_number="none",
        series_description="Synthetic mask",
        omit_empty_frames=False,
    )
    if grid.dimensions == 2 and "SharedFunctionalGroupsSequence" in segmentation:
        for measures in segmentation.SharedFunctionalGroupsSequence[0].get("PixelMeasuresSequence", ()):
            # As in a NIfTI file: a slice is as thick as one voxel of 1 mm, since its thickness is not known.
            measures.SliceThickness = measures.get("SliceThickness") or 1
    if "FrameOfReferenceUID" not in segmentation:
        segmentation.PatientOrientation = image.PatientOrientation
    segmentation.SyntheticData = "YES"
    segmentation.PatientIdentityRemoved = image.PatientIdentityRemoved
    segmentation.DeidentificationMethod = image.DeidentificationMethod
    segmentation.InstitutionName = image.InstitutionName
    add_equipment(segmentation, image.ContributingEquipmentSequence[0].ContributionDescription)
    # Not the clock of this machine: the same mask is the same file.
    for name in ("ContentDate", "ContentTime"):
        setattr(segmentation, name, getattr(image, name))
    for name in ("InstanceCreationDate", "InstanceCreationTime", "SeriesDate", "SeriesTime"):
        if name in segmentation:
            delattr(segmentation, name)
    return segmentation
