"""Attributions written by hand, and what is read from the axes."""

import itertools

import jax.numpy as jnp

import xaijax as xai


def attribution(values, std_errors=None, base_value=0.5, kind=xai.Attribution, **fields):
    values = jnp.atleast_2d(jnp.asarray(values, jnp.float32))
    base = jnp.full(len(values), base_value)
    errors = None if std_errors is None else jnp.atleast_2d(jnp.asarray(std_errors))
    return kind(values, base + values.sum(axis=1), base, errors, **{"method": "test", "efficient": True} | fields)


def texts(ax):
    return [text.get_text() for text in ax.texts]


def labels(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def overlapping(ax):
    """Which texts lie on each other, and which leave the axes to the left or right."""
    written = [text for text in ax.texts if text.get_text()]
    boxes = {text: text.get_window_extent() for text in written}
    pairs = [(one.get_text(), other.get_text()) for one, other in itertools.combinations(written, 2)
             if boxes[one].overlaps(boxes[other])]  # fmt: skip
    inside = ax.get_window_extent()
    outside = [text.get_text() for text in written if boxes[text].x0 < inside.x0 - 1 or boxes[text].x1 > inside.x1 + 1]
    return pairs + outside
