"""How many synthetic images each class gets."""

from __future__ import annotations

import math
from collections.abc import Mapping

from fedgen.errors import StudyError


def class_counts(images: int, classes: tuple[str, ...], balance: Mapping[str, float] | None) -> list[int]:
    """Number of images of each class, in the order of `classes`; sums to `images` exactly.

    Largest remainder (Hamilton) apportionment: every class gets the whole part of its share, and what is
    left goes one by one to the largest fractions; equal fractions are served in class order.

    Args:
        images: total, at least 0.
        classes: class names, at least one.
        balance: share of each class by name, summing to 1; a class not named has share 0; None means
            equal shares.

    Raises:
        StudyError: there is no class, or `balance` names an unknown class or does not sum to 1.

    >>> class_counts(10, ("none", "lesion", "cyst"), None)
    [4, 3, 3]
    """
    if not classes:
        raise StudyError("synthesis needs at least one class: list them under data.labels.")
    if balance is None:
        whole, rest = divmod(images, len(classes))
        return [whole + (index < rest) for index in range(len(classes))]
    unknown = sorted(set(balance) - set(classes))
    if unknown:
        raise StudyError(f"synthesis.balance names {', '.join(unknown)}: use only names of data.labels.")
    shares = [float(balance.get(name, 0.0)) for name in classes]
    total = math.fsum(shares)
    if min(shares) < 0 or abs(total - 1) > 1e-6:
        raise StudyError(
            f"shares in synthesis.balance must be 0 or more and sum to 1, not {total:g}: mend them."
        )
    quotas = [images * share / total for share in shares]
    # A share such as 0.29 of 100 is 28.999... in floating point: whole numbers must stay whole.
    quotas = [
        float(round(quota)) if abs(quota - round(quota)) < 1e-9 * max(1, images) else quota
        for quota in quotas
    ]
    counts = [math.floor(quota) for quota in quotas]
    by_fraction = sorted(range(len(classes)), key=lambda index: counts[index] - quotas[index])
    for index in by_fraction[: images - sum(counts)]:
        counts[index] += 1
    return counts
