"""The linear system of missing pixels, solved by SciPy in float64."""

import numpy as np
from scipy.sparse import lil_matrix
from scipy.sparse.linalg import spsolve

WEIGHTS = {(r, c): 1 / 6 if 0 in (r, c) else 1 / 12 for r in (-1, 0, 1) for c in (-1, 0, 1) if (r, c) != (0, 0)}


def imputed(image, missing):
    """The image [H, W, C] whose missing pixels are the weighted means of their neighbors."""
    numbers = {pixel: number for number, pixel in enumerate(zip(*np.nonzero(missing), strict=True))}
    matrix, right = lil_matrix((len(numbers),) * 2), np.zeros((len(numbers), image.shape[2]))
    for (row, column), number in numbers.items():
        for (down, across), weight in WEIGHTS.items():
            other = row + down, column + across
            if not (0 <= other[0] < image.shape[0] and 0 <= other[1] < image.shape[1]):
                continue
            matrix[number, number] += weight
            if other in numbers:
                matrix[number, numbers[other]] = -weight
            else:
                right[number] += weight * image[other]
    filled = image.astype(np.float64)
    if numbers:
        filled[missing] = spsolve(matrix.tocsc(), right).reshape(right.shape)
    return filled


def removed(relevance, share):
    """The pixels of greatest relevance, of which so many are removed; of equal ones the first comes first."""
    order = np.argsort(-relevance.reshape(-1), kind="stable")[: round(share * relevance.size)]
    missing = np.zeros(relevance.size, bool)
    missing[order] = True
    return missing.reshape(relevance.shape)
