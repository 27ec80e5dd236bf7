"""Explanations per second beside the package captum: the same architecture, weights, inputs and evaluations.

captum's explainers evaluate in torch's inference mode where they need no gradients, with as many perturbations together
as it takes for the model's batches to be large (`perturbations_per_eval`), and all inputs at once where it can.
`torch.compile` is left out: hooks and changing batches make it compile again and again.
"""

from __future__ import annotations

import importlib
import warnings
from typing import Any

import jax
import numpy as np

import xaijax as xai
from benchmarks._bare import KEY
from benchmarks._beside import Side, beside, missing, skipped, spread, squared_error
from benchmarks._models import small_resnet
from benchmarks._shapley_games import evaluations_of, known_table, permutations_for, values
from benchmarks._torch_peers import (
    check_same,
    images,
    in_fastest_layout,
    threads,
    torch_perceptron,
    torch_resnet,
    without_gradients,
)


def measure(repeats: int, *, small: bool = False, quick: bool = False) -> list[dict[str, Any]]:
    """Medians of interleaved repeats of LayerGradCam, Lime, KernelShap and ShapleyValueSampling."""
    if sentence := missing("torch", "captum"):
        return [skipped("captum", sentence)]
    with threads(small), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it advises one input at a time, which is how it is called
        return [
            grad_cam_beside(repeats, small=small, quick=quick),
            *_tables(repeats, small=small, quick=quick),
            *_images(repeats, small=small, quick=quick),
        ]


def grad_cam_beside(repeats: int, *, small: bool, quick: bool) -> dict[str, Any]:
    """Grad-CAM of a batch, signed; the maps of both are compared, too."""
    attr: Any = importlib.import_module("captum.attr")

    number, side = (2, 16) if small else (8, 64) if quick else (32, 64)
    model = small_resnet(side)
    x = np.asarray(jax.random.normal(KEY, (number, side, side, 3)))
    net, theirs_x = in_fastest_layout(torch_resnet(model), images(x))
    check_same(model, net, x, theirs_x)
    explainer = attr.LayerGradCam(net, net.blocks[-1])

    def ours() -> Any:
        return xai.cam.grad_cam(model, x, target=0, relu=False).values

    def theirs() -> Any:
        return explainer.attribute(theirs_x, target=0)

    difference = squared_error(ours(), theirs().detach().numpy()[:, 0])
    if not difference < 1e-6:
        raise RuntimeError(f"the maps of LayerGradCam and grad_cam differ by {difference:.1e} of their squares.")
    sides = Side(ours, number, 1), Side(theirs, number, 1)
    return beside("Grad-CAM, small ResNet", "captum LayerGradCam", *sides, repeats=repeats, difference=difference)


def _tables(repeats: int, *, small: bool, quick: bool) -> list[dict[str, Any]]:
    """Games whose values are known: like beside like, and our default beside both."""
    torch: Any = importlib.import_module("torch")
    attr: Any = importlib.import_module("captum.attr")

    players, inputs, peer_inputs = (5, 4, 2) if small else (12, 200 if quick else 1000, 10)
    budget = 4 * players if small else 20 * players
    table = known_table(players, inputs)
    net = torch_perceptron(table.model)
    x = torch.from_numpy(np.array(table.x[:peer_inputs]))
    check_same(table.model, net, table.x[:peer_inputs], x)
    zeros = torch.zeros(1, players)
    regression, sampling = (kind(without_gradients(net)) for kind in (attr.KernelShap, attr.ShapleyValueSampling))

    def by_regression() -> Any:
        torch.manual_seed(0)
        options = {"n_samples": budget, "perturbations_per_eval": budget}
        return torch.cat([regression.attribute(row[None], baselines=zeros, **options) for row in x])

    orders = budget // players

    def by_sampling() -> Any:
        torch.manual_seed(0)
        return sampling.attribute(x, baselines=zeros, n_samples=orders, perturbations_per_eval=players)

    walks = permutations_for(budget, players)
    process = lambda: values(xai.shap.gaussian_process, table.game, num_evaluations=budget)  # noqa: E731
    kernel = lambda: values(xai.shap.kernel, table.game, num_evaluations=budget)  # noqa: E731
    permutation = lambda: values(xai.shap.permutation, table.game, num_permutations=walks)  # noqa: E731
    found = []
    for name, ours, evaluations, peer, theirs, peer_evaluations in (
        ("kernel", kernel, budget, "KernelShap", by_regression, budget),
        ("Gaussian process", process, budget, "KernelShap", by_regression, budget),
        ("permutation", permutation, evaluations_of(walks, players), "ShapleyValueSampling", by_sampling, orders * players + 1),
        ("Gaussian process", process, budget, "ShapleyValueSampling", by_sampling, orders * players + 1),
    ):  # fmt: skip

        def errors(ours: Any = ours, theirs: Any = theirs) -> tuple[float, float]:
            return squared_error(ours(), table.truth), squared_error(theirs().numpy(), table.truth[:peer_inputs])

        sides = Side(ours, inputs, evaluations), Side(theirs, peer_inputs, peer_evaluations)
        title = f"{name} SHAP, table, {players} features"
        found.append(beside(title, f"captum {peer}", *sides, repeats=repeats, errors=errors))
    return found


def _images(repeats: int, *, small: bool, quick: bool) -> list[dict[str, Any]]:
    """Superpixels of a grid, absent ones black; the errors are the spread between seeds."""
    torch: Any = importlib.import_module("torch")
    attr: Any = importlib.import_module("captum.attr")
    linear: Any = importlib.import_module("captum._utils.models.linear_model")

    side, cells, samples, together = (16, 2, 12, 12) if small else (64, 7, 200 if quick else 1000, 50)
    model = small_resnet(side)
    x = np.asarray(jax.random.normal(KEY, (1, side, side, 3)))
    net, theirs_x = in_fastest_layout(torch_resnet(model), images(x))
    check_same(model, net, x, theirs_x)
    across = np.arange(side) * cells // side
    labels = across[:, None] * cells + across
    mask = torch.from_numpy(labels)[None, None].expand(1, 3, side, side)
    game = xai.game(model, x, xai.mask.regions(labels, fill=0.0), target=0)
    options = {
        "target": 0, "feature_mask": mask, "n_samples": samples, "perturbations_per_eval": together,
        "return_input_shape": False,
    }  # fmt: skip
    explainers = {
        "Lime": attr.Lime(without_gradients(net), interpretable_model=linear.SkLearnRidge(alpha=1e-3)),
        "KernelShap": attr.KernelShap(without_gradients(net)),
    }

    def theirs(name: str, seed: int) -> Any:
        torch.manual_seed(seed)
        return explainers[name].attribute(theirs_x, **options)

    def lime(seed: int) -> Any:
        return xai.lime.fit(game, key=jax.random.key(seed), num_samples=samples).values

    def kernel(seed: int) -> Any:
        return xai.shap.kernel(game, key=jax.random.key(seed), num_evaluations=samples).values

    found = []
    pairs = (("LIME", lime, "Lime"), ("kernel SHAP", kernel, "KernelShap"))
    for name, ours, peer in pairs[:1] if small else pairs:

        def errors(ours: Any = ours, peer: str = peer) -> tuple[float, float]:
            return spread(ours(0), ours(1)), spread(theirs(peer, 0), theirs(peer, 1))

        sides = (
            Side(lambda ours=ours: ours(0), 1, samples),
            Side(lambda peer=peer: theirs(peer, 0), 1, samples),
        )
        title = f"{name}, small ResNet, {cells**2} regions"
        more = {"errors": errors, "error_is": "spread between seeds"}
        found.append(beside(title, f"captum {peer}", *sides, repeats=repeats, **more))
    return found
