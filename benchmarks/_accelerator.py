"""Explanations per second of ResNet-50 on an accelerator, in float32 and bfloat16, compared with the bare model and torch.

Grad-CAM of batches of 256 images; LIME and kernel SHAP of a grid of 49 superpixels with 1,000 evaluations.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.table import Table

import xaijax as xai
from benchmarks._models import KEY, ResNet50, resnet50
from benchmarks._overhead import Case, at_once
from benchmarks._overhead import measure as measure_case
from benchmarks._peer_comparison import Side, compare_with_peer, missing
from benchmarks._peer_comparison import table as peer_table
from benchmarks._torch_models import (
    check_equal,
    images,
    install_torchvision_stub,
    threads,
    torch_resnet50,
    without_gradients,
)


class Sizes(NamedTuple):
    """The sizes of the network and of the explanations.

    stages, width, classes, side: of the network.
    batch: images of Grad-CAM.
    images, cells, samples: of LIME and SHAP.
    rows: perturbations in one evaluation of captum.
    blocks: rows in one evaluation of the bare model.
    """

    stages: tuple[int, ...]
    width: int
    classes: int
    side: int
    batch: int
    images: int
    cells: int
    samples: int
    rows: int
    blocks: tuple[int, ...]


FULL = Sizes((3, 4, 6, 3), 64, 1000, 224, 256, 4, 7, 1000, 250, (64, 125, 250))
SMALL = Sizes((1, 1), 4, 5, 16, 2, 1, 2, 12, 12, (6,))


def measure(*, quick: bool, small: bool) -> Iterator[dict[str, Any]]:
    """Yields overheads on the accelerator and, if torch has the same GPU, the peers.

    Args:
      quick: three interleaved repeats instead of nine.
      small: a tiny network of the same code, on any device, timed once, to test the code.

    Yields:
      Rows with dtype, device, explanations_per_second, and the fields of `_overhead.measure`, or of
      `_peer_comparison.compare_with_peer` for rows with a peer. Without an accelerator or without peers, a row states
      why they were skipped.
    """
    if jax.default_backend() == "cpu" and not small:
        sentence = "JAX has no accelerator, and ResNet-50 in batches of 256 takes too long on a CPU."
        yield {"name": "ResNet-50 on an accelerator", "skipped": sentence}
        return
    sizes, repeats = SMALL if small else FULL, 1 if small else 3 if quick else 9
    explained = [_Explained(sizes, dtype) for dtype in (jnp.float32, jnp.bfloat16)]
    for each in explained:
        for name in each.explainers(small):
            yield each.overhead(name, repeats)
    sentence = _why_no_peers(small)
    if sentence is not None:
        yield {"name": "ResNet-50 compared with captum and pytorch-grad-cam", "skipped": sentence}
        return
    for each in explained:
        yield from _compare_with_torch(each, repeats, small)


def table(rows: list[dict[str, Any]]) -> list[Table]:
    """Returns the overheads, and the comparison with the peers."""
    table = Table(title="ResNet-50: explanations per second, and their time ÷ that of the bare model on as many rows")
    left = ("explanation", "dtype", "device")
    for name in (*left, "per second", "ratio", "quartiles", "bare, rows/s", "first call"):
        table.add_column(name, justify="left" if name in left else "right")
    for row in rows:
        if "ratio" in row:
            low, high = row["ratio_quartiles"]
            table.add_row(
                row["name"],
                row["dtype"],
                row["device"],
                f"{row['explanations_per_second']:,.4g}",
                f"{row['ratio']:.2f}",
                f"{low:.2f}-{high:.2f}",
                f"{row['rows'] / row['bare_seconds'][row['bare_best']]:,.0f}",
                f"{row['first_seconds']:.1f} s",
            )
    return [table, peer_table([row for row in rows if "ratio" not in row])]


class _Explained:
    """The network in one dtype, its inputs, and its explainers."""

    def __init__(self, sizes: Sizes, dtype: Any):
        self.sizes, self.dtype = sizes, jnp.dtype(dtype).name
        self.module = ResNet50(sizes.stages, sizes.width, sizes.classes, dtype)
        self.model = resnet50(self.module, sizes.side)
        self.x = jax.random.normal(KEY, (max(sizes.batch, sizes.images), sizes.side, sizes.side, 3))
        self.grid = xai.mask.grid(sizes.cells, fill=0.0)

    def grad_cam(self) -> jax.Array:
        x = self.x[: self.sizes.batch]
        return xai.cam.grad_cam(self.model, x, layer=self.module.last, target=0).values

    def lime(self) -> jax.Array:
        options: dict[str, Any] = {"target": 0, "num_samples": self.sizes.samples}
        return xai.lime.image(self.model, self.x[: self.sizes.images], self.grid, key=KEY, **options).values

    def kernel(self) -> jax.Array:
        game = xai.game(self.model, self.x[: self.sizes.images], self.grid, target=0)
        return xai.shap.kernel(game, key=KEY, num_evaluations=self.sizes.samples).values

    def explainers(self, small: bool = False) -> dict[str, tuple[Callable[[], jax.Array], int, int]]:
        """Returns the explainers, the numbers of inputs, and of rows for each; a small run uses bfloat16 once."""
        regions = f"{self.sizes.cells**2} superpixels, {self.sizes.samples:,} evaluations"
        explainers = {
            f"Grad-CAM, batch {self.sizes.batch}": (self.grad_cam, self.sizes.batch, 1),
            f"LIME, {regions}": (self.lime, self.sizes.images, self.sizes.samples),
            f"kernel SHAP, {regions}": (self.kernel, self.sizes.images, self.sizes.samples),
        }
        return dict(list(explainers.items())[:1]) if small and self.dtype == "bfloat16" else explainers

    def overhead(self, name: str, repeats: int) -> dict[str, Any]:
        explain, inputs, each = self.explainers()[name]
        rows, shape = inputs * each, self.x.shape[1:]
        if each == 1:
            ways = lambda: at_once(self.model, self.x[:inputs])  # noqa: E731
        else:
            ways = lambda: _in_blocks(self.model, rows, shape, self.sizes.blocks)  # noqa: E731
        row = measure_case(Case(name, rows, explain, ways, {"side": self.sizes.side}), repeats)
        values = np.asarray(explain(), np.float32)
        return row | {
            "name": f"{name}, ResNet-50",
            "dtype": self.dtype,
            "device": jax.devices()[0].device_kind,
            "explanations_per_second": inputs / row["seconds"],
            "finite": bool(np.isfinite(values).all()),
        }


def _in_blocks(model: Any, rows: int, shape: tuple[int, ...], sizes: tuple[int, ...]) -> dict[str, Callable[[], Any]]:
    """Returns the bare model on `rows` rows in compiled loops over blocks of several sizes.

    Each block is the first one plus a constant, so that all rows take the memory of one block.
    """
    run = jax.jit(lambda model, x, shifts: jax.lax.map(lambda shift: model(x + shift), shifts))
    ways = {}
    for size in sizes:
        x, shifts = jax.random.normal(KEY, (size, *shape)), jnp.arange(rows // size, dtype=jnp.float32)
        ways[f"{rows // size} blocks of {size}"] = lambda x=x, shifts=shifts: run(model, x, shifts)
    return ways


def _why_no_peers(small: bool) -> str | None:
    """Returns a sentence if the peers are not installed or torch has no GPU."""
    if sentence := missing("torch", "captum", "pytorch_grad_cam"):
        return sentence
    torch: Any = importlib.import_module("torch")
    if small or torch.cuda.is_available():
        return None
    return "torch has no GPU (torch.cuda.is_available() is false), so that its explainers would run on the CPU."


def _compare_with_torch(ours: _Explained, repeats: int, small: bool) -> list[dict[str, Any]]:
    """Compares with the same network in torch: channels last, matrix products in TF32 as convolutions, inference mode."""
    install_torchvision_stub()
    torch: Any = importlib.import_module("torch")
    attr: Any = importlib.import_module("captum.attr")
    linear: Any = importlib.import_module("captum._utils.models.linear_model")
    pytorch_grad_cam: Any = importlib.import_module("pytorch_grad_cam")
    targets: Any = importlib.import_module("pytorch_grad_cam.utils.model_targets")

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    sizes, dtype = ours.sizes, ours.dtype
    net = torch_resnet50(ours.module, ours.model)
    x = images(ours.x)
    if dtype == "float32":
        check_equal(ours.model, net, ours.x[:1], x[:1])
    options = {"device": device, "dtype": getattr(torch, dtype), "memory_format": torch.channels_last}
    net, x = net.to(**options), x.to(**options)
    across = np.arange(sizes.side) * sizes.cells // sizes.side
    labels = torch.from_numpy(across[:, None] * sizes.cells + across).to(device)
    mask = labels[None, None].expand(1, 3, sizes.side, sizes.side)

    def synchronized(result: Any) -> Any:
        if device.type == "cuda":
            torch.cuda.synchronize()
        return result

    def each_image(explainer: Any) -> Callable[[], Any]:
        options = {
            "target": 0, "feature_mask": mask, "n_samples": sizes.samples, "perturbations_per_eval": sizes.rows,
            "return_input_shape": False,
        }  # fmt: skip
        return lambda: synchronized([explainer.attribute(image[None], **options) for image in x[: sizes.images]])

    layer, forward, batch = net.blocks[-1], without_gradients(net), x[: sizes.batch]
    captum_grad_cam = attr.LayerGradCam(net, layer)
    lime = attr.Lime(lambda x: forward(x).float(), interpretable_model=linear.SkLearnRidge(alpha=1e-3))
    kernel = attr.KernelShap(lambda x: forward(x).float())
    classes = [targets.ClassifierOutputTarget(0)] * sizes.batch

    def package_grad_cam() -> Any:
        # The hooks are released so that they do not run in captum's passes. A with-statement would swallow every IndexError.
        explainer = pytorch_grad_cam.GradCAM(net, [layer])
        try:
            return synchronized(explainer(batch, classes))
        finally:
            explainer.activations_and_grads.release()

    theirs: dict[str, Callable[[], Any]] = {
        "captum LayerGradCam": lambda: synchronized(captum_grad_cam.attribute(batch, target=0, relu_attributions=True)),
        "captum Lime": each_image(lime),
        "captum KernelShap": each_image(kernel),
    }
    pairs = list(zip(ours.explainers(small).items(), theirs.items(), strict=False))
    if dtype == "float32":  # the package converts activations to NumPy, which has no bfloat16
        pairs.append((pairs[0][0], ("pytorch-grad-cam, GradCAM", package_grad_cam)))
    tf32 = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        with threads(small):
            return [
                compare_with_peer(
                    f"{name}, ResNet-50, {dtype}",
                    peer,
                    Side(explain, inputs, evaluations),
                    Side(run, inputs, evaluations),
                    repeats=repeats,
                    dtype=dtype,
                    device=jax.devices()[0].device_kind,
                )
                for (name, (explain, inputs, evaluations)), (peer, run) in pairs
            ]
    finally:
        torch.backends.cuda.matmul.allow_tf32 = tf32
