"""The frames of a volume in one DICOM file: numbered pages, or planes in the patient where their place is known."""

from __future__ import annotations

from collections.abc import Sequence as Order

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.valuerep import DSfloat

PAGES, PER_FRAME_GROUPS = Tag(0x0018, 0x2001), Tag(0x5200, 0x9230)


def add_pages(dataset: Dataset, frames: int) -> None:
    """Frames without a place: pages 1, 2, 3 ... (PS3.3, C.7.6.6 and C.8.6.3)."""
    dataset.FrameIncrementPointer = PAGES
    dataset.PageNumberVector = list(range(1, frames + 1))


def add_planes(
    dataset: Dataset,
    cosines: Order[float],
    spacing: Order[DSfloat],
    thickness: DSfloat,
    positions: Order[Order[DSfloat]],
) -> None:
    """Functional groups that place every frame (PS3.3, C.7.6.16), of the kinds that a secondary capture may have.

    Args:
        dataset: the multi-frame image.
        cosines: ImageOrientationPatient.
        spacing: PixelSpacing.
        thickness: mm from frame to frame.
        positions: ImagePositionPatient of each frame.
    """
    dataset.FrameIncrementPointer = PER_FRAME_GROUPS
    measures, plane = Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = list(spacing), thickness
    measures.SpacingBetweenSlices = thickness
    plane.ImageOrientationPatient = list(cosines)
    shared = Dataset()
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = Sequence([measures]), Sequence([plane])
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    dataset.PerFrameFunctionalGroupsSequence = Sequence(_frame(position) for position in positions)


def _frame(position: Order[DSfloat]) -> Dataset:
    place, groups = Dataset(), Dataset()
    place.ImagePositionPatient = list(position)
    groups.PlanePositionSequence = Sequence([place])
    return groups
