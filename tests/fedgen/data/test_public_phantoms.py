"""Public phantoms are nobody's patients, and are prepared as a site's files are."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.uid import MRImageStorage

from fedgen.data.phantom import cohort, public, write
from fedgen.data.phantom.dicom import encode_image
from fedgen.data.phantom.patient import draw_patient
from fedgen.data.phantom.public import public_phantoms
from fedgen.data.phantom.series import RESCALE_SLOPE, elements, instance_uid
from fedgen.data.public_images import prepared_images, public_images
from fedgen.errors import StudyError
from fedgen.study.data import Intensity, Phantom
from fedgen.study.model import PhantomPrior

FEW = PhantomPrior(patients=24, seed=7, components=4, donors=4)


def test_images_are_those_that_files_of_them_would_give(tmp_path, monkeypatch) -> None:
    stored = []

    def noting(values, *rest):
        stored.append(np.round(values[0, ..., 0] / RESCALE_SLOPE).astype(np.uint16))
        return prepared_images(values, *rest)

    monkeypatch.setattr(public, "prepared_images", noting)
    window = Intensity(lower=10, upper=240)
    images = public_phantoms(FEW, "T1w", (32, 40), window)
    assert images.shape == (24, 1, 32, 40)
    assert images.dtype == np.float32
    patient = draw_patient("public", 0, "none", np.random.default_rng(0))
    for number, pixels in enumerate(stored):
        uid = instance_uid(pixels, "public", patient, "T1w", number)
        tags = elements(pixels.shape, "public", patient, "T1w", number, 0.0)
        (tmp_path / f"{number:02}.dcm").write_bytes(encode_image(MRImageStorage, uid, tags, pixels[:, ::-1]))
    assert np.array_equal(public_images(tmp_path, (32, 40), 1, window), images)


def test_the_same_seed_gives_the_same_and_more_patients_begin_alike() -> None:
    images = public_phantoms(FEW, "T1w", (16, 16), Intensity())
    more = public_phantoms(FEW.model_copy(update={"patients": 60}), "T1w", (16, 16), Intensity())
    assert np.array_equal(images, more[:24])
    other = public_phantoms(FEW.model_copy(update={"seed": 8}), "T1w", (16, 16), Intensity())
    assert not np.array_equal(images, other)


def test_no_public_patient_is_a_sites_even_where_the_seeds_are_equal(tmp_path, monkeypatch) -> None:
    heads = {public: set(), cohort: set()}
    for module, found in heads.items():

        def noting(*arguments, found=found):
            patient = draw_patient(*arguments)
            found.add(patient.head.seed)
            return patient

        monkeypatch.setattr(module, "draw_patient", noting)
    public_phantoms(FEW.model_copy(update={"patients": 80}), "T1w", (16, 16), Intensity())
    write.write_phantom(tmp_path / "phantom", Phantom(sites=16, patients=4), 7, (32, 32))
    assert len(heads[public]) == 80
    assert len(heads[cohort]) == 64
    assert not heads[public] & heads[cohort]


def test_all_contrasts_are_taken_where_the_study_takes_all() -> None:
    both, t1, t2 = (public_phantoms(FEW, which, (16, 16), Intensity()) for which in ("MR", "T1w", "T2w"))
    assert np.array_equal(both, public_phantoms(FEW, None, (16, 16), Intensity()))
    # The random numbers do not depend on the contrast.
    assert np.array_equal(both[0], t1[0])
    assert np.array_equal(both[2], t2[2])
    with pytest.raises(StudyError, match=r"heads of T1w and T2w, and data\.modality is CT"):
        public_phantoms(FEW, "CT", (16, 16), Intensity())
