"""Memory and throughput of whole data sets: `python -m tests.scale._measured memory 100000`, or `throughput`."""

import json
import sys
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import xaijax as xai


class Watched:
    """Rows of a table, made when they are asked for; notes what the process holds as it goes."""

    def __init__(self, rows, every):
        self.rows, self.every, self.held = rows, every, []
        self.weights = np.random.default_rng(0).normal(size=8).astype(np.float32)

    def __len__(self):
        return self.rows

    def __getitem__(self, row):
        if row % self.every == 0:
            self.held.append((row, resident_bytes()))
        return np.sin(self.weights * (row + 1)).astype(np.float32)


def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def memory(rows, batch_size=256):
    """How much more the process holds in the last quarter of a run than in the first, as a share."""
    source = Watched(rows, every=max(1, rows // 400))
    model = xai.function(lambda w, x: jnp.tanh(x @ w).sum(axis=1), jnp.ones((8, 16)))
    masker = xai.mask.baseline(jnp.zeros(8))
    explainer = jax.tree_util.Partial(explain_by_permutation, model)
    with tempfile.TemporaryDirectory() as out:
        options = {"masker": masker}
        summary = xai.scale.explain_dataset(
            explainer, source, out, key=jax.random.key(0), options=options, batch_size=batch_size, progress=False
        )
    during = [
        (row, held) for row, held in source.held if row > 2 * batch_size
    ]  # after the sample and the first batches
    quarters = [[held for row, held in during if 4 * row // rows == quarter] for quarter in (0, 3)]
    first, last = (sum(held) / len(held) for held in quarters)
    return {
        "rows": rows,
        "first_quarter_bytes": first,
        "last_quarter_bytes": last,
        "growth": last / first - 1,
        "rows_per_second": summary.rows_per_second,
    }


def explain_by_permutation(model, x, masker, key, ids):
    return xai.shap.permutation(xai.game(model, x, masker), num_permutations=2, key=key, ids=ids)


def throughput(rows=512, batch_size=32, repeats=3, channels=48):
    """Rows per second of a data set of pictures by Grad-CAM, compared with those of the bare explainer on the same batches."""
    sizes = [(3, 3, 3, channels), (3, 3, channels, channels), (3, 3, channels, channels), (channels, 10)]
    keys = jax.random.split(jax.random.key(0), len(sizes))
    weights = [jax.random.normal(key, size) * 0.1 for key, size in zip(keys, sizes, strict=True)]
    model = xai.function(network, weights)
    images = np.random.default_rng(0).normal(size=(rows, 48, 48, 3)).astype(np.float32)
    explainer = jax.tree_util.Partial(xai.cam.grad_cam, model)
    options = {"layer": "last", "target": 3}
    bare = jax.jit(lambda explainer, x: explainer(x, **options))
    jax.block_until_ready(bare(explainer, images[:batch_size]))
    found = []
    for _ in range(repeats):
        started = time.perf_counter()
        for start in range(0, rows, batch_size):
            jax.block_until_ready(bare(explainer, images[start : start + batch_size]))
        alone = rows / (time.perf_counter() - started)
        with tempfile.TemporaryDirectory() as out:
            summary = xai.scale.explain_dataset(
                explainer, images, out, options=options, batch_size=batch_size, progress=False
            )
        found.append(
            {
                "milliseconds_per_row": 1000 / alone,
                "share": summary.rows_per_second / alone,
                "busy_share": summary.busy_share,
                "seconds_to_start": summary.seconds_to_start,
            }
        )
    return found


def network(weights, x):
    *kernels, head = weights
    for kernel in kernels:
        x = jax.nn.relu(
            jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        )
    return xai.tag(x, "last").mean(axis=(1, 2)) @ head


if __name__ == "__main__":
    what, *numbers = sys.argv[1:]
    print(json.dumps({"memory": memory, "throughput": throughput}[what](*map(int, numbers)), indent=1))
