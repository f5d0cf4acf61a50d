import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedgen.errors import StudyError
from fedgen.synthesis.counts import class_counts


@given(images=st.integers(0, 5000), parts=st.lists(st.integers(0, 50), min_size=1, max_size=8).filter(any))
def test_every_class_is_within_one_image_of_its_share_and_the_total_is_exact(
    images: int, parts: list[int]
) -> None:
    classes = tuple(f"c{index}" for index in range(len(parts)))
    shares = [part / sum(parts) for part in parts]
    counts = class_counts(images, classes, dict(zip(classes, shares, strict=True)))
    assert sum(counts) == images
    for count, share in zip(counts, shares, strict=True):
        assert abs(count - images * share) < 1 + 1e-6
        assert share > 0 or count == 0


@given(images=st.integers(0, 5000), n=st.integers(1, 9))
def test_equal_shares_differ_by_at_most_one(images: int, n: int) -> None:
    counts = class_counts(images, tuple(f"c{index}" for index in range(n)), None)
    assert sum(counts) == images
    assert max(counts) - min(counts) <= 1


def test_the_largest_remainder_wins() -> None:
    assert class_counts(10, ("a", "b", "c"), {"a": 0.46, "b": 0.27, "c": 0.27}) == [4, 3, 3]
    assert class_counts(1, ("a", "b", "c"), {"a": 0.2, "b": 0.5, "c": 0.3}) == [0, 1, 0]


def test_a_share_that_floating_point_cannot_hold_stays_whole() -> None:
    assert 0.29 * 100 < 29
    assert class_counts(100, ("a", "b"), {"a": 0.29, "b": 0.71}) == [29, 71]


@pytest.mark.parametrize(
    ("classes", "balance", "word"),
    [
        ((), None, "data.labels"),
        (("a",), {"a": 0.5}, "sum to 1"),
        (("a", "b"), {"a": -0.5, "b": 1.5}, "0 or more"),
        (("a",), {"a": 0.5, "z": 0.5}, "names z"),
    ],
)
def test_an_impossible_balance_is_refused(
    classes: tuple[str, ...], balance: dict[str, float] | None, word: str
) -> None:
    with pytest.raises(StudyError, match=word):
        class_counts(10, classes, balance)
