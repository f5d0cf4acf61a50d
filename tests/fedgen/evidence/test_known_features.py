"""Features are made once an image, whoever asks for it, and are those that the extractor gives."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fedgen.evidence import known_features
from fedgen.evidence.known_features import BATCH, digests, extract, first_equal
from fedgen.extractors.contract import Extractor
from fedgen.extractors.registry import build_extractor


class Counting(Extractor):
    """Mean and largest value, and how many images it was asked of."""

    name = "counting"
    num_features = 2

    def __init__(self, hash: str = "a") -> None:
        super().__init__(1)
        self.hash = hash
        self.asked = 0

    def forward(self, images: Tensor) -> Tensor:
        self.asked += len(images)
        flat = images.flatten(1)
        return torch.stack([flat.mean(1), flat.amax(1)], dim=1)


@pytest.fixture(autouse=True)
def _nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    known_features._known.clear()


def images(n: int, side: int = 4, seed: int = 0) -> Tensor:
    return torch.rand(n, 1, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_an_image_is_looked_at_once_whoever_asks_and_in_whatever_order() -> None:
    extractor, some = Counting(), images(3 * BATCH + 5)
    found = extract(extractor, some)
    assert torch.equal(found, torch.cat([Counting()(each[None]) for each in some]))
    order = torch.randperm(len(some), generator=torch.Generator().manual_seed(1))[:50]
    assert torch.equal(extract(extractor, some[order]), found[order])
    assert torch.equal(extract(Counting(), torch.cat([some[:2], some[:2]])), found[[0, 1, 0, 1]])
    assert extractor.asked == len(some)
    new = images(3, seed=2)
    assert torch.equal(extract(extractor, torch.cat([new, some[:4], new]))[3:7], found[:4])
    assert extractor.asked == len(some) + len(new)


def test_another_extractor_and_another_shape_are_not_taken_for_the_same() -> None:
    some, other = images(4), Counting("b")
    extract(Counting("a"), some)
    extract(other, some)
    assert other.asked == len(some)
    assert len({*digests(some), *digests(some.reshape(4, 1, 2, 8)), *digests(some + 1)}) == 12
    assert digests(some.half()) == digests(some.half().float())


def test_equal_images_are_found_and_their_features_made_once() -> None:
    extractor, some = Counting(), images(4)
    again = some[[2, 0, 2, 3, 0]]
    assert first_equal(again).tolist() == [0, 1, 0, 3, 1]
    assert torch.equal(extract(extractor, again), Counting()(again))
    assert extractor.asked == 3
    # A change in place is seen.
    again[2] += 1
    assert first_equal(again).tolist() == [0, 1, 2, 3, 1]
    with torch.inference_mode():
        assert first_equal(again[[0, 0]]).tolist() == [0, 0]


def test_what_is_remembered_is_bounded_and_the_last_asked_for_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_features, "MOST_BYTES", 5 * 2 * 4)
    extractor, some = Counting(), images(9)
    extract(extractor, some[:5])
    extract(extractor, some[:1])
    found = extract(extractor, some[5:])
    assert len(known_features._known) == 5 and torch.equal(found, Counting()(some[5:]))
    extract(extractor, some[[0, 5, 6, 7, 8]])
    assert extractor.asked == 9
    extract(extractor, some[1:2])
    assert extractor.asked == 10


@pytest.mark.parametrize("name", ["radiomics", "random_conv", "thumbnails"])
def test_the_features_of_an_image_do_not_depend_on_its_company(name: str) -> None:
    extractor, some = build_extractor(name, 1), images(7, side=32)
    together = extract(extractor, some)
    alone = torch.cat([extractor(each[None]) for each in some])
    assert together.dtype == torch.float32 and torch.allclose(together, alone, rtol=1e-5, atol=1e-6)
    assert extract(extractor, some[:0]).shape == (0, extractor.num_features)
