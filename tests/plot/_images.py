"""Small pictures and maps written by hand."""

import jax.numpy as jnp
import numpy as np

import xaijax as xai

PICTURES = np.random.default_rng(0).random((3, 6, 8, 3)).astype(np.float32)
LABELS = np.repeat(np.repeat([[0, 1], [2, 3]], 3, axis=0), 4, axis=1)  # [6, 8]


def maps(values, target=None, method="Grad-CAM"):
    """An attribution of maps [N, h, w], or [N, h, w, K] of all outputs."""
    values = jnp.asarray(values, jnp.float32)
    every = values.ndim == 4
    output = jnp.tile(jnp.arange(values.shape[-1]) / 2.0, (len(values), 1)) if every else jnp.arange(len(values)) / 4.0
    target = None if target is None else jnp.asarray(target)
    return xai.Attribution(values, output, target=target, method=method)


def of_regions(values, labels=LABELS, method="LIME"):
    values = jnp.atleast_2d(jnp.asarray(values, jnp.float32))
    count = len(values)
    regions = jnp.broadcast_to(jnp.asarray(labels), (count, *labels.shape))
    return xai.Attribution(values, jnp.zeros(count), regions=regions, method=method)


def bars(figure):
    """The color bars of a figure: their limits, tick labels and label."""
    return [ax for ax in figure.axes if ax.get_label() == "<colorbar>"]


def tick_labels(bar):
    return [label.get_text() for label in bar.get_yticklabels()]
