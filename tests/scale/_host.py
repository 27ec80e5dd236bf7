"""One host of several: `python -m tests.scale._host WHAT PORT COUNT HOST FOLDER`. PORT 0: without jax.distributed."""

import functools
import sys
import time
from pathlib import Path

import jax
import numpy as np

import xaijax as xai
from tests import models
from tests.scale import _killed

KEY = jax.random.PRNGKey  # of the old kind, which is also one
ROWS, BATCH = 44, 6  # eight chunks, the last of two rows


def permutation(model, x, masker, key, ids):
    return xai.shap.permutation(xai.game(model, x, masker, target=2), num_permutations=2, key=key, ids=ids)


def kernel(model, x, masker, key, ids):
    return xai.shap.kernel(xai.game(model, x, masker, target=1), num_evaluations=40, key=key, ids=ids)


def cases():
    """explainer, source, options, key."""
    bind = jax.tree_util.Partial
    table, net = models.table_net(), models.linen_net()
    rows, images = np.array(models.rows(ROWS, seed=4)), np.array(models.images(ROWS))
    rows[9, 1] = np.nan
    masker = xai.mask.background(models.rows(3, seed=1))
    statistics = xai.lime.statistics(models.rows(50, seed=2))
    return {
        "grad_cam": (bind(xai.cam.grad_cam, net), images, {"layer": "conv"}, None),
        "lime": (bind(xai.lime.tabular, table), rows, {"training_statistics": statistics, "num_samples": 40}, KEY(1)),
        "permutation": (bind(permutation, table), rows, {"masker": masker}, KEY(2)),
        "kernel": (bind(kernel, table), rows, {"masker": masker}, KEY(3)),
    }


ON_HOSTS = ("grad_cam", "permutation")  # every process compiles them


def explain_all(folder, names=None, **more):
    chosen = cases()
    for name in names or chosen:
        explainer, source, options, key = chosen[name]
        given = {"key": key, "options": options, "batch_size": BATCH, "progress": False}
        xai.scale.explain_dataset(explainer, source, folder / name, **given, **more)


class SlowRows(_killed.Rows):
    """Half a second for each chunk."""

    def __getitem__(self, row):
        time.sleep(0.05)
        return super().__getitem__(row)


def explain_slowly(folder, **more):
    given = {"batch_size": _killed.BATCH, "compiled": False, "progress": False, "host_timeout": 6.0}
    xai.scale.explain_dataset(_killed.explain, SlowRows(), folder, **given, **more)


def main():
    what, port, count, host, folder = sys.argv[1:]
    count, host, folder = int(count), int(host), Path(folder)
    call = {"all": functools.partial(explain_all, names=ON_HOSTS), "slowly": explain_slowly}[what]
    if port == "0":
        call(folder, hosts=(host, count))
    else:
        assert xai.scale.connect(f"localhost:{port}", count, host) == count
        assert jax.process_count() == count
        call(folder)
    print("ended at", time.time(), flush=True)


if __name__ == "__main__":
    main()
