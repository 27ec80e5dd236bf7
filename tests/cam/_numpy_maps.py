"""The papers' equations in NumPy float64, written from the papers: activations A and gradients G [N, h, w, C] are given."""

import numpy as np


def grad_cam(a, g):
    alpha = g.mean(axis=(1, 2))
    return np.einsum("nhwk,nk->nhw", a, alpha)


def grad_cam_plus_plus(a, g):
    maps = np.zeros(a.shape[:3])
    for n, k in np.ndindex(a.shape[0], a.shape[3]):
        slope, total = g[n, :, :, k], a[n, :, :, k].sum()
        alpha = slope**2 / (2 * slope**2 + total * slope**3)
        maps[n] += (alpha * np.maximum(slope, 0)).sum() * a[n, :, :, k]
    return maps


def hires_cam(a, g):
    return (a * g).sum(axis=3)


def xgrad_cam(a, g):
    maps = np.zeros(a.shape[:3])
    for n, k in np.ndindex(a.shape[0], a.shape[3]):
        maps[n] += a[n, :, :, k] * (g[n, :, :, k] * a[n, :, :, k] / a[n, :, :, k].sum()).sum()
    return maps


def layer_cam(a, g):
    return (np.where(g > 0, g, 0) * a).sum(axis=3)


def elementwise_grad_cam(a, g):
    product = a * g
    return np.where(product > 0, product, 0).sum(axis=3)


def fem(a, g):
    maps = np.zeros(a.shape[:3])
    for n, k in np.ndindex(a.shape[0], a.shape[3]):
        channel = a[n, :, :, k]
        maps[n] += channel.mean() * (channel >= channel.mean() + 2 * channel.std())
    return maps


def eigen_cam(a, g):
    return _projected(a, np.abs(a).sum(axis=3))


def eigen_grad_cam(a, g):
    return _projected(a * g, (a * g).sum(axis=3))


def _projected(rows, guide):
    maps = np.zeros(rows.shape[:3])
    for n in range(len(rows)):
        matrix = rows[n].reshape(-1, rows.shape[3])
        _, _, right = np.linalg.svd(matrix, full_matrices=False)
        maps[n] = (matrix @ right[0]).reshape(rows.shape[1:3])
        maps[n] *= np.sign((maps[n] * guide[n]).sum())
    return maps


def resize(maps, sides):
    """Linear, places at the middle of their cells, borders repeated; [..., h, w]."""
    for axis, side in zip((-2, -1), sides, strict=True):
        old = maps.shape[axis]
        at = (np.arange(side) + 0.5) * old / side - 0.5
        maps = np.apply_along_axis(lambda line, at=at, old=old: np.interp(at, np.arange(old), line), axis, maps)
    return maps


def unit(mask):
    """To [0, 1]; a constant mask becomes zero."""
    return (mask - mask.min()) / (mask.max() - mask.min()) if mask.max() > mask.min() else 0 * mask


def softmax(scores):
    powers = np.exp(scores - scores.max())
    return powers / powers.sum()
