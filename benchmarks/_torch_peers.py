"""Explanations per second compared with pytorch-grad-cam and captum: the same architecture, weights, inputs and evaluations.

This needs the packages of the extra `peers` (`.ci/run` shows how they are installed without their dependencies). captum's
explainers evaluate in torch's inference mode if they need no gradients, with enough perturbations at once for large
batches of the model (`perturbations_per_eval`), and with all inputs at once if possible. `torch.compile` is not used, since
hooks and changing batches make it compile repeatedly.
"""

from __future__ import annotations

import importlib
import warnings
from typing import Any

import jax
import numpy as np

import xaijax as xai
from benchmarks._models import KEY, small_resnet
from benchmarks._peer_comparison import Side, compare_with_peer, missing, skipped, spread, squared_error
from benchmarks._shap_peers import evaluations_of, known_table, permutations_for, values
from benchmarks._torch_models import (
    check_equal,
    images,
    in_fastest_layout,
    install_torchvision_stub,
    threads,
    torch_perceptron,
    torch_resnet,
    without_gradients,
)

# Our maps, and the classes of pytorch-grad-cam.
PAIRS = {
    "grad_cam": "GradCAM",
    "grad_cam_plus_plus": "GradCAMPlusPlus",
    "hires_cam": "HiResCAM",
    "xgrad_cam": "XGradCAM",
    "layer_cam": "LayerCAM",
    "elementwise_grad_cam": "GradCAMElementWise",
    "shapley_cam": "ShapleyCAM",
    "eigen_cam": "EigenCAM",
    "eigen_grad_cam": "EigenGradCAM",
    "kpca_cam": "KPCA_CAM",
    "fem": "FEM",
    "ablation_cam": "AblationCAM",
    "score_cam": "ScoreCAM",
    "full_grad": "FullGrad",
}
_EVALUATED = ("ablation_cam", "score_cam")  # tens of passes for each image, so that fewer images are explained


def measure_pytorch_grad_cam(repeats: int, *, small: bool = False, quick: bool = False) -> list[dict[str, Any]]:
    """Measures every map that both packages have, at the size of the input."""
    if sentence := missing("torch", "pytorch_grad_cam"):
        return [skipped("pytorch-grad-cam", sentence)]
    install_torchvision_stub()
    import pytorch_grad_cam  # pyright: ignore[reportMissingImports]
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget  # pyright: ignore[reportMissingImports]

    number, side = (2, 16) if small else (8, 64) if quick else (32, 64)
    model = small_resnet(side)
    x = np.random.default_rng(0).normal(size=(number, side, side, 3)).astype(np.float32)
    rows = []
    with threads(small):
        net, theirs_x = in_fastest_layout(torch_resnet(model), images(x))
        check_equal(model, net, x, theirs_x)
        for name, peer in PAIRS.items():
            count = min(number, 2) if name in _EVALUATED else number
            targets = [ClassifierOutputTarget(0)] * count
            layers = [] if name == "full_grad" else [net.blocks[-1]]
            explainer = getattr(pytorch_grad_cam, peer)(net, layers)
            explainer.batch_size = 32
            options = {} if name == "full_grad" else {"upsample": True, "normalize": True}

            def ours(name: str = name, count: int = count, options: Any = options) -> Any:
                return getattr(xai.cam, name)(model, x[:count], target=0, **options).values

            def theirs(explainer: Any = explainer, count: int = count, targets: Any = targets) -> Any:
                return explainer(theirs_x[:count], targets)

            title = f"pytorch-grad-cam, {peer}"
            rows.append(compare_with_peer(name, title, Side(ours, count, 1), Side(theirs, count, 1), repeats=repeats))
            if hasattr(explainer, "activations_and_grads"):
                explainer.activations_and_grads.release()  # its hooks would run in the passes of the next map
    return rows


def measure_captum(repeats: int, *, small: bool = False, quick: bool = False) -> list[dict[str, Any]]:
    """Measures gradient methods, LayerGradCam, Lime, KernelShap and ShapleyValueSampling."""
    if sentence := missing("torch", "captum"):
        return [skipped("captum", sentence)]
    with threads(small), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # captum advises one input at a time, as it is called here
        return [
            *_gradients(repeats, small=small, quick=quick),
            _grad_cam(repeats, small=small, quick=quick),
            *_tables(repeats, small=small, quick=quick),
            *_images(repeats, small=small, quick=quick),
        ]


def _gradients(repeats: int, *, small: bool, quick: bool) -> list[dict[str, Any]]:
    """Compares gradients of images and of a layer, values included."""
    attr: Any = importlib.import_module("captum.attr")

    number, side, steps = (2, 16, 3) if small else (8, 64, 50) if quick else (32, 64, 50)
    model = small_resnet(side)
    x = np.asarray(jax.random.normal(KEY, (number, side, side, 3)))
    net, theirs_x = in_fastest_layout(torch_resnet(model), images(x))
    check_equal(model, net, x, theirs_x)
    few = max(1, number // 8)
    path = {"n_steps": steps, "internal_batch_size": 32}
    explain = xai.gradient
    rows = []
    for name, count, ours, peer, make, theirs in (
        ("saliency", number, lambda x: explain.saliency(model, x, target=0), "Saliency", attr.Saliency, {"abs": False}),
        (
            "guided backpropagation", number, lambda x: explain.guided_backpropagation(model, x, target=0),
            "GuidedBackprop", attr.GuidedBackprop, {},
        ),
        (
            "DeepLIFT", number, lambda x: explain.deep_lift(model, x, target=0),
            "DeepLift", attr.DeepLift, {"baselines": 0.0},
        ),
        (
            "integrated gradients", few, lambda x: explain.integrated_gradients(model, x, target=0, num_steps=steps),
            "IntegratedGradients", attr.IntegratedGradients, path,
        ),
    ):  # fmt: skip

        def run(ours: Any = ours, count: int = count) -> Any:
            return ours(x[:count]).values

        def run_theirs(make: Any = make, options: Any = theirs, count: int = count) -> Any:
            return make(net).attribute(theirs_x[:count], target=0, **options)

        difference = squared_error(run(), np.moveaxis(run_theirs().detach().numpy(), 1, -1))
        if not difference < 1e-6:
            raise RuntimeError(f"The values of {peer} and {name} differ by {difference:.1e} of their squares.")
        sides = Side(run, count, 1), Side(run_theirs, count, 1)
        options: dict[str, Any] = {"repeats": repeats, "difference": difference}
        rows.append(compare_with_peer(f"{name}, small ResNet", f"captum {peer}", *sides, **options))
    return rows


def _grad_cam(repeats: int, *, small: bool, quick: bool) -> dict[str, Any]:
    """Compares the signed Grad-CAM of a batch, values included."""
    attr: Any = importlib.import_module("captum.attr")

    number, side = (2, 16) if small else (8, 64) if quick else (32, 64)
    model = small_resnet(side)
    x = np.asarray(jax.random.normal(KEY, (number, side, side, 3)))
    net, theirs_x = in_fastest_layout(torch_resnet(model), images(x))
    check_equal(model, net, x, theirs_x)
    explainer = attr.LayerGradCam(net, net.blocks[-1])

    def ours() -> Any:
        return xai.cam.grad_cam(model, x, target=0, relu=False).values

    def theirs() -> Any:
        return explainer.attribute(theirs_x, target=0)

    difference = squared_error(ours(), theirs().detach().numpy()[:, 0])
    if not difference < 1e-6:
        raise RuntimeError(f"The maps of LayerGradCam and grad_cam differ by {difference:.1e} of their squares.")
    sides = Side(ours, number, 1), Side(theirs, number, 1)
    options: dict[str, Any] = {"repeats": repeats, "difference": difference}
    return compare_with_peer("Grad-CAM, small ResNet", "captum LayerGradCam", *sides, **options)


def _tables(repeats: int, *, small: bool, quick: bool) -> list[dict[str, Any]]:
    """Compares equal estimators, and our default with each, on games with known values."""
    torch: Any = importlib.import_module("torch")
    attr: Any = importlib.import_module("captum.attr")

    players, inputs, peer_inputs = (5, 4, 2) if small else (12, 200 if quick else 1000, 10)
    budget = 4 * players if small else 20 * players
    table = known_table(players, inputs)
    net = torch_perceptron(table.model)
    x = torch.from_numpy(np.array(table.x[:peer_inputs]))
    check_equal(table.model, net, table.x[:peer_inputs], x)
    zeros = torch.zeros(1, players)
    regression, sampling = (
        explainer(without_gradients(net)) for explainer in (attr.KernelShap, attr.ShapleyValueSampling)
    )

    def by_regression() -> Any:
        torch.manual_seed(0)
        options = {"n_samples": budget, "perturbations_per_eval": budget}
        return torch.cat([regression.attribute(row[None], baselines=zeros, **options) for row in x])

    orders = budget // players

    def by_sampling() -> Any:
        torch.manual_seed(0)
        return sampling.attribute(x, baselines=zeros, n_samples=orders, perturbations_per_eval=players)

    permutations = permutations_for(budget, players)
    process = lambda: values(xai.shap.gaussian_process, table.game, num_evaluations=budget)  # noqa: E731
    kernel = lambda: values(xai.shap.kernel, table.game, num_evaluations=budget)  # noqa: E731
    permutation = lambda: values(xai.shap.permutation, table.game, num_permutations=permutations)  # noqa: E731
    rows = []
    for name, ours, evaluations, peer, theirs, peer_evaluations in (
        ("kernel", kernel, budget, "KernelShap", by_regression, budget),
        ("Gaussian process", process, budget, "KernelShap", by_regression, budget),
        ("permutation", permutation, evaluations_of(permutations, players), "ShapleyValueSampling", by_sampling, orders * players + 1),
        ("Gaussian process", process, budget, "ShapleyValueSampling", by_sampling, orders * players + 1),
    ):  # fmt: skip

        def errors(ours: Any = ours, theirs: Any = theirs) -> tuple[float, float]:
            return squared_error(ours(), table.truth), squared_error(theirs().numpy(), table.truth[:peer_inputs])

        sides = Side(ours, inputs, evaluations), Side(theirs, peer_inputs, peer_evaluations)
        title = f"{name} SHAP, table, {players} features"
        rows.append(compare_with_peer(title, f"captum {peer}", *sides, repeats=repeats, errors=errors))
    return rows


def _images(repeats: int, *, small: bool, quick: bool) -> list[dict[str, Any]]:
    """Compares superpixels of a grid, with absent ones black; the errors are the spread between seeds."""
    torch: Any = importlib.import_module("torch")
    attr: Any = importlib.import_module("captum.attr")
    linear: Any = importlib.import_module("captum._utils.models.linear_model")

    side, cells, samples, perturbations = (16, 2, 12, 12) if small else (64, 7, 200 if quick else 500, 50)
    model = small_resnet(side)
    x = np.asarray(jax.random.normal(KEY, (1, side, side, 3)))
    net, theirs_x = in_fastest_layout(torch_resnet(model), images(x))
    check_equal(model, net, x, theirs_x)
    across = np.arange(side) * cells // side
    labels = across[:, None] * cells + across
    mask = torch.from_numpy(labels)[None, None].expand(1, 3, side, side)
    game = xai.game(model, x, xai.mask.regions(labels, fill=0.0), target=0)
    options = {
        "target": 0, "feature_mask": mask, "n_samples": samples, "perturbations_per_eval": perturbations,
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

    rows = []
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
        rows.append(compare_with_peer(title, f"captum {peer}", *sides, repeats=repeats, **more))
    return rows
