"""Images that are the same, or nearly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedgen.data.fingerprint import Fingerprints

Pairs = NDArray[np.int64]

#: Bits of 256 in which the hashes of look-alikes differ at most. A first sieve: brains of different people pass it.
NEAR_BITS = 16
#: Correlation of the fine detail from which two images are one picture. Over all pairs of different patients that pass
#: the sieve it stays below 0.79 in 368 chest films, 0.89 in 392 slices of registered heads and 0.90 in 5856 children's
#: films of 28 x 28; copies that were saved as JPEG, halved, or changed in contrast have 0.97 and more from 64 x 64 on.
NEAR_CORRELATION = 0.93
#: An image that looks like those of more than so many others is of a simple kind (a digit), not of one person.
MOST_ALIKE = 5
#: Side of the blocks of comparisons, which fit the processor's cache.
_BLOCK = 1024
#: Pairs whose detail is compared at once.
_PAIRS = 2048


def exact_groups(fingerprints: Fingerprints) -> list[NDArray[np.int64]]:
    """Indices of equal images, one array a group of two or more; blank images are left out."""
    candidates = np.flatnonzero(~fingerprints.blank)
    if not len(candidates):
        return []
    _, inverse, counts = np.unique(
        fingerprints.exact[candidates], axis=0, return_inverse=True, return_counts=True
    )
    order = np.argsort(inverse, kind="stable")
    groups = np.split(candidates[order], np.cumsum(counts)[:-1])
    return sorted((group for group in groups if len(group) > 1), key=lambda group: int(group[0]))


def near_pairs(fingerprints: Fingerprints, bits: int = NEAR_BITS) -> Pairs:
    """Pairs that are one picture, changed a little: exact duplicates are left out.

    Every pair is compared by its hashes, a block of rows at a time; those within `bits` of 256 by their fine detail.

    Returns:
        (pairs, 2) indices i < j, in lexicographic order; blank images are left out.
    """
    kept = np.flatnonzero(~fingerprints.blank)
    words = _telling_words(fingerprints.near[kept])
    found = [np.empty((0, 2), np.int64)]
    for row in range(0, len(kept), _BLOCK):
        for column in range(row, len(kept), _BLOCK):
            pairs = _near_block(words, row, column, bits)
            if len(pairs):
                found.append(kept[_same_detail(fingerprints.detail, kept, pairs, row, column)])
    pairs = np.concatenate(found)
    equal = (fingerprints.exact[pairs[:, 0]] == fingerprints.exact[pairs[:, 1]]).all(axis=1)
    pairs = pairs[~equal]
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def _same_detail(
    detail: NDArray[np.int8], kept: NDArray[np.int64], pairs: Pairs, row: int, column: int
) -> Pairs:
    """Those of a block's pairs, numbers in `kept`, whose detail is the same."""
    rows, columns = (_unit(detail[kept[start : start + _BLOCK]]) for start in (row, column))
    same = [np.empty((0, 2), np.int64)]
    for start in range(0, len(pairs), _PAIRS):
        some = pairs[start : start + _PAIRS]
        likeness = np.einsum("ij,ij->i", rows[some[:, 0] - row], columns[some[:, 1] - column])
        same.append(some[likeness >= NEAR_CORRELATION])
    return np.concatenate(same)


def _unit(detail: NDArray[np.int8]) -> NDArray[np.float32]:
    """Each row by its length, so that a product of two is their correlation; a row without detail stays zero."""
    rows = detail.astype(np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)


def _telling_words(hashes: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """The hashes as (N, 4) words, their bits permuted so that the first word holds those that vary most.

    A permutation changes no distance, but lets the first word alone rule out nearly every pair.
    """
    bits = np.unpackbits(hashes, axis=1)
    order = (
        np.argsort(np.abs(bits.mean(axis=0) - 0.5), kind="stable") if len(bits) else np.arange(bits.shape[1])
    )
    return np.ascontiguousarray(np.packbits(bits[:, order], axis=1)).view(np.uint64)


def _near_block(words: NDArray[np.uint64], row: int, column: int, bits: int) -> Pairs:
    # A pair within `bits` over all four words is within `bits` in the first one.
    first = np.bitwise_count(words[row : row + _BLOCK, :1] ^ words[np.newaxis, column : column + _BLOCK, 0])
    rows, columns = np.nonzero(first <= bits)
    rows, columns = rows + row, columns + column
    later = columns > rows
    rows, columns = rows[later], columns[later]
    distance = np.bitwise_count(words[rows] ^ words[columns]).sum(axis=1, dtype=np.int64)
    near = distance <= bits
    return np.stack([rows[near], columns[near]], axis=1)


def across_patients(pairs: Pairs, patients: Sequence[str]) -> Pairs:
    """The pairs whose images belong to different patients."""
    names = np.asarray(patients, dtype=object)
    return pairs[names[pairs[:, 0]] != names[pairs[:, 1]]]


def pairs_of_groups(groups: Sequence[NDArray[np.int64]]) -> Pairs:
    """Each group as pairs of its first image with every other one."""
    pairs = [(int(group[0]), int(other)) for group in groups for other in group[1:]]
    return np.array(pairs, np.int64).reshape(-1, 2)


def telling(near: Pairs, patients: Sequence[str]) -> Pairs:
    """Look-alikes of different patients, without images that look like those of more than `MOST_ALIKE` others."""
    pairs = across_patients(near, patients)
    counts = np.bincount(pairs.ravel(), minlength=len(patients))
    return pairs[(counts[pairs] <= MOST_ALIKE).all(axis=1)]
