"""Nearest patients against a naive loop."""

import numpy as np
import pytest
import torch

from fedgen.evidence.audit.features import mirrored, pixels, thumbnails
from fedgen.evidence.audit.nearest import Nearest, isolation, merge, nearest_patients


def naive(query, mirror, references, patients, own):
    best = {}
    for reference, patient in zip(references, patients, strict=True):
        if patient == own:
            continue
        similar = max(float(query @ reference), float(mirror @ reference))
        best[patient] = min(best.get(patient, 9.0), max(0.0, 2 - 2 * similar) ** 0.5)
    return sorted((distance, patient) for patient, distance in best.items())


@pytest.fixture
def vectors():
    rng = torch.Generator().manual_seed(0)
    return lambda n: torch.nn.functional.normalize(torch.randn(n, 12, generator=rng), dim=1)


@pytest.mark.parametrize("budget", [30, 1 << 20])
@pytest.mark.parametrize("exclude", [False, True])
def test_search_equals_a_loop(vectors, budget, exclude):
    queries, mirrors, references = vectors(9), vectors(9), vectors(30)
    patients = torch.arange(30) // 3 + 5
    own = torch.arange(9) + 5 if exclude else None
    found = nearest_patients(queries, mirrors, references, patients, depth=4, own=own, budget=budget)
    for i in range(9):
        expected = naive(queries[i], mirrors[i], references, patients.tolist(), i + 5 if exclude else -1)[:4]
        np.testing.assert_allclose(found.distance[i], [d for d, _ in expected], atol=1e-5)
        assert found.patient[i].tolist() == [p for _, p in expected]
        assert patients[found.image[i]] == expected[0][1]


def test_merged_sites_equal_one_search(vectors):
    queries, references, patients = vectors(7), vectors(20), torch.arange(20) // 2
    whole = nearest_patients(queries, queries, references, patients, depth=5)
    halves = [
        nearest_patients(queries, queries, references[rows], patients[rows], depth=5)
        for rows in (slice(0, 8), slice(8, 20))
    ]
    joined = merge(halves, [8, 12], depth=5)
    np.testing.assert_allclose(joined.distance, whole.distance, atol=1e-6)
    assert joined.patient.equal(whole.patient)
    assert joined.image.equal(whole.image)


def test_a_patient_alone_has_nobody_to_be_near_to(vectors):
    found = nearest_patients(
        vectors(1), vectors(1), vectors(2), torch.zeros(2).long(), own=torch.zeros(1).long()
    )
    assert torch.isinf(found.distance).all()
    assert isolation(found).tolist() == [1.0]


def test_isolation_by_hand():
    distance = torch.tensor([[0.1, 0.4, 0.6], [0.0, 0.0, 0.0], [0.2, 0.4, torch.inf]])
    found = Nearest(distance, torch.zeros(3, 3).long(), torch.zeros(3).long())
    np.testing.assert_allclose(isolation(found), [0.2, 1.0, 0.5])


@pytest.mark.parametrize("size", [(64, 64), (8, 64, 48)])
def test_thumbnails_forget_brightness_and_contrast_only(size):
    image = torch.rand(2, 1, *size, generator=torch.Generator().manual_seed(0))
    features = thumbnails(torch.cat([image, 0.3 * image + 0.2]))
    np.testing.assert_allclose(features[:2] @ features[2:].T, features[:2] @ features[:2].T, atol=1e-5)
    assert float(features[0] @ features[1]) < 0.5
    np.testing.assert_allclose(features.norm(dim=1), 1, atol=1e-5)
    np.testing.assert_allclose(
        mirrored(features, image), thumbnails(torch.cat([image, image]).flip(-1)), atol=1e-5
    )


def test_a_constant_image_resembles_nothing():
    constant = torch.full((1, 1, 40, 24), 0.5)
    assert thumbnails(constant).abs().max() == 0
    assert pixels(constant) == [b""]


def test_equal_pixels_survive_half_precision():
    image = torch.arange(256).reshape(1, 1, 16, 16).float() / 127.5 - 1
    assert pixels(image.half()) == pixels(image)
    assert pixels(image) != pixels(image + 0.01)
