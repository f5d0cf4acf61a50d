"""Images that are the same, or nearly, and the patients they tie together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from fedgen.data.findings import plural
from fedgen.data.fingerprint import Fingerprints
from fedgen.errors import DataError

Pairs = NDArray[np.int64]

#: Bits of 256 in which two hashes may differ and still be called near; on real chest films and brain slices
#: of different patients the closest pairs differ in more.
NEAR_BITS = 10
#: Side of the blocks of comparisons, which fit the processor's cache.
_BLOCK = 1024


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
    """Pairs whose difference hashes differ in at most `bits` of 256 bits, exact duplicates left out.

    Every pair is compared, a block of rows at a time.

    Returns:
        (pairs, 2) indices i < j, in lexicographic order; blank images are left out.
    """
    kept = np.flatnonzero(~fingerprints.blank)
    words = _telling_words(fingerprints.near[kept])
    found = [
        _near_block(words, row, column, bits)
        for row in range(0, len(kept), _BLOCK)
        for column in range(row, len(kept), _BLOCK)
    ]
    pairs = kept[np.concatenate(found)] if found else np.empty((0, 2), np.int64)
    equal = (fingerprints.exact[pairs[:, 0]] == fingerprints.exact[pairs[:, 1]]).all(axis=1)
    pairs = pairs[~equal]
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


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


def patient_groups(patients: Sequence[str], fingerprints: Fingerprints) -> tuple[tuple[str, ...], ...]:
    """Patients tied together by equal images, possibly one person under two identities.

    Connected components of "has an image equal to one of"; patients tied to no other are left out.

    Args:
        patients: identity of the patient of each of the N images.
        fingerprints: of the same N images.

    Returns:
        Groups of two or more patients, each sorted, in alphabetical order.
    """
    pairs = across_patients(pairs_of_groups(exact_groups(fingerprints)), patients)
    if not len(pairs):
        return ()
    names, numbers = np.unique(np.asarray(patients), return_inverse=True)
    links = coo_array(
        (np.ones(len(pairs)), (numbers[pairs[:, 0]], numbers[pairs[:, 1]])), shape=(len(names),) * 2
    )
    _, component = connected_components(links, directed=False)
    groups: dict[int, list[str]] = {}
    for name, number in zip(names.tolist(), component.tolist(), strict=True):
        groups.setdefault(number, []).append(name)
    return tuple(sorted(tuple(sorted(group)) for group in groups.values() if len(group) > 1))


def refuse_tied_patients(groups: Sequence[Sequence[str]]) -> None:
    """For a caller that wants clean identities rather than joined patients.

    Raises:
        DataError: there is a group.
    """
    if groups:
        raise DataError(
            f"{plural(len(groups), 'group')} of patients share equal images : see them with "
            "`fedgen data inspect`, find out whether each is one person and correct the identities."
        )
