"""Peak memory of a compiled explanation, by block size, beside what everything at once would take."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

import xaijax as xai
from benchmarks._models import perceptron
from benchmarks._sizes import Size, pick
from xaijax.shap._permutation import _permutation

FEATURES, INPUTS = 30, 20


def measure(size: Size) -> list[dict[str, Any]]:
    """Temporary memory as XLA plans it, for growing backgrounds and counts of permutations."""
    model = perceptron(FEATURES)
    found = []
    for batch_size in pick(size, tiny=(64,), quick=(2048, 16384), full=(2048, 16384)):
        for background, permutations in pick(
            size, tiny=((10, 2),), quick=((100, 10), (10_000, 1000)), full=((100, 10), (1000, 100), (10_000, 1000))
        ):
            masker = xai.mask.background(jnp.zeros((background, FEATURES)))
            game = xai.game(model, jnp.zeros((INPUTS, FEATURES)), masker, target=0)
            lowered = _permutation.lower(
                game, jax.random.key(0), None, num_permutations=permutations, batch_size=batch_size
            )
            rows = INPUTS * 2 * permutations * (FEATURES - 1) * background
            found.append(
                {
                    "name": f"batch_size {batch_size}, {background} background rows, {permutations} permutations",
                    "batch_size": batch_size,
                    "background": background,
                    "permutations": permutations,
                    "rows": rows,
                    "bytes": lowered.compile().memory_analysis().temp_size_in_bytes,
                    "bytes_at_once": rows * FEATURES * 4,
                }
            )
    return found
