"""Calls every public function with wrong values for each of its arguments, and prints the raw tracebacks.

A wrong call may work, where the value has a meaning, or end in an error raised by a check of this package whose sentence
names the argument. Everything else is raw: an error from the depths of JAX, NumPy, Matplotlib or this package. Run by
`tests/test_fuzz.py` in a process of its own, without the annotations' run-time checks, which would speak first:

    python -m tests.fuzz [namespace or function ...]
"""

import inspect
import os
import re
import sys
import tempfile
import time
import traceback
import warnings

import jax
import jax.numpy as jnp
import numpy as np

import xaijax as xai

KEY = jax.random.key(0)
N, M = 3, 4
X = np.linspace(-1.0, 1.0, N * M, dtype=np.float32).reshape(N, M)
IMAGES = np.linspace(0.0, 1.0, 2 * 6 * 6 * 2, dtype=np.float32).reshape(2, 6, 6, 2)
WEIGHTS = jnp.linspace(-1.0, 1.0, M * 3).reshape(M, 3)
TOKENS = np.array([[2, 3, 4, 0], [3, 5, 2, 4]])


def table_model(x):
    return jnp.tanh(x @ WEIGHTS)


def image_model(x):
    hidden = xai.tag(jax.nn.relu(jnp.einsum("nhwc,ck->nhwk", x, WEIGHTS[:2])), "hidden")
    return xai.tag(hidden * 2.0, "later").mean(axis=(1, 2))


def token_model(ids):
    return jnp.tanh(WEIGHTS[ids % M].sum(axis=1))


# A value of each kind that is wrong for most arguments. Text and None are often right, and then accepted.
WRONG = {
    "an int of 400 digits": 10**400,
    "an int beyond 32 bits": 2**40,
    "a negative int": -3,
    "NaN": float("nan"),
    "text": "3",
    "a lone surrogate": "\ud800 $$",
    "an object": object(),
    "a list": [3, "a"],
    "an empty list": [],
    "a dict": {"a": 1},
    "a complex number": 1 + 2j,
    "objects": np.array([{}, None], dtype=object),
    "masked values": np.ma.masked_array([1.0, 2.0], [True, False]),
    "an array of five axes": np.ones((1, 2, 1, 2, 1)),
    "no rows": np.ones((0, 4)),
    "a function": len,
    "a class": int,
}
QUICK = ("an int of 400 digits", "a negative int", "text", "an object", "a list", "an array of five axes")


def calls():
    """Yields the name, the function and right arguments of every public function."""
    masker = xai.mask.baseline(jnp.zeros(M))
    game = xai.game(table_model, X, masker, target=1)
    exact = xai.shap.exact(game)
    pairs = xai.shap.interactions(game, key=KEY)
    maps = xai.cam.grad_cam(image_model, IMAGES, layer="hidden", target=1, upsample=True)
    statistics = xai.lime.statistics(np.eye(5, M, dtype=np.float32))
    surrogate = xai.lime.tabular(table_model, X, statistics, key=KEY, target=1, num_samples=40)
    regions = xai.shap.exact(xai.game(image_model, IMAGES, xai.mask.grid((2, 2)), target=1))

    model_x = {"model": table_model, "x": X}
    image_x = {"model": image_model, "x": IMAGES}
    root = {
        "game": {**model_x, "masker": masker},
        "layers": image_x,
        "compose": {"features": image_model, "head": table_model},
        "concatenate": {"attributions": [exact, exact]},
        "records": {"attribution": exact},
        "to_shap": {"attribution": exact},
        "tag": {"value": X, "name": "a"},
        "to_frame": {"attribution": exact},
    }
    labels = np.arange(36).reshape(6, 6) // 9
    draws = {"game": game, "key": KEY}
    dependence = xai.metrics.partial_dependence(table_model, X, 0)
    special = {
        "cam.several": {**image_x, "maps": [xai.cam.grad_cam, xai.cam.layer_cam], "layer": "hidden"},
        "cam.fuse": {**image_x, "layers": ["hidden", "later"]},
        "cam.channel_map": (channels := xai.cam.channel_game(image_model, IMAGES, layer="hidden", target=1))
        and {"games": channels, "attribution": xai.shap.exact(channels)},
        "cam.attention_rollout": None,  # for transformers
        "cam.attention_gradient": None,
        "shap.values": {**model_x, "masker": masker, "key": KEY},
        "shap.expected_gradients": {**model_x, "background": X, "key": KEY},
        "shap.linear": {"model": lambda x: x @ WEIGHTS, "x": X, "rows": X[:2]},
        "shap.owen": {"game": game, "tree": [[0, 1], [2, 3]]},
        "shap.kernel": draws,
        "shap.permutation": draws,
        "shap.gaussian_process": draws,
        "shap.interactions": draws,
        "lime.fit": draws,
        "lime.tabular": {**model_x, "training_statistics": statistics, "key": KEY},
        "lime.image": {**image_x, "key": KEY, "target": 1},
        "lime.text": {"model": token_model, "x": TOKENS, "key": KEY, "mask_id": 1, "pad_id": 0},
        "lime.statistics": {"rows": X},
        "lime.strings": None,  # needs a tokenizer; tests/lime/test_strings.py
        "lime.submodular_pick": {"attribution": surrogate, "num_picks": 2},
        "mask.background": {"rows": X},
        "mask.baseline": {"row": X[0]},
        "mask.gaussian": {"rows": np.random.default_rng(0).normal(size=(9, 4))},
        "mask.regions": {"labels": labels},
        "mask.superpixels": {"num_segments": 4},
        "mask.tokens": {"mask_id": 1},
        "mask.joint": {"parts": {"a": masker}},
        "mask.k_means": {"rows": X, "num_clusters": 2, "key": KEY},
        "segment.slic": {"images": IMAGES, "num_segments": 4},
        "metrics.benchmark_explainers": None,  # runs for minutes; tests/metrics
        "metrics.partial_dependence": {**model_x, "feature": 0},
        "plot.borders": {"images": IMAGES[..., 0], "labels": labels},
        "plot.dependence": {"attribution": exact, "player": 0, "inputs": X},
        "plot.partial_dependence": {"dependence": dependence},
        "plot.interactions": {"attribution": pairs},
        "plot.network": {"attribution": pairs},
        "plot.image": {"attribution": maps},
        "plot.image_grid": {"attribution": maps},
        "plot.regions": {"attribution": regions, "images": IMAGES[..., 0]},
        "plot.text": {"attribution": exact, "words": list("abcd")},
        "plot.text_html": {"attribution": exact, "words": list("abcd")},
        "plot.cohorts": {"draw": xai.plot.bars, "attribution": exact, "labels": [0, 0, 1]},
        "plot.cohort_bars": {"attribution": exact, "labels": [0, 0, 1]},
        "plot.compare": {"attributions": {"a": maps, "b": maps}, "images": IMAGES[..., 0]},
        "plot.neighborhood": {"rows": X, "outputs": X[:, 0], "instance": X[0]},
        "plot.curves": {"given": xai.metrics.deletion(game, exact)},
        "plot.pair": {"images": IMAGES[..., 0], "after": IMAGES[..., 0]},
        "plot.removal": None,  # of pictures of one or three channels; tests/plot/test_image_panels.py
        "plot.convergence": {"attributions": [xai.shap.permutation(game, key=KEY, num_permutations=n) for n in (2, 4)]},
        "plot.error_curves": {"errors": {"a": {5: [0.1], 10: [0.05]}}},
        "plot.intervals": {"values": [1.0, 2.0], "names": ["a", "b"]},
        "target.box": {"boxes": np.zeros((2, 4)), "classes": [0, 1]},
        "target.each": None,
        "target.similarity": {"embedding": np.ones((3, 3))},
        "target.region": None,
    }
    for name, arguments in root.items():
        yield name, getattr(xai, name), arguments
    for namespace in ("cam", "lime", "mask", "metrics", "plot", "segment", "shap", "target"):
        module = getattr(xai, namespace)
        for short in module.__all__:
            function, name = getattr(module, short), f"{namespace}.{short}"
            if isinstance(function, type):
                continue
            if name in special:
                arguments = special[name]
            else:
                arguments = _by_name(inspect.signature(function), namespace, game, exact)
            if arguments is not None:
                yield name, function, arguments


def _by_name(signature, namespace, game, exact):
    """Returns right values for the required arguments of a function, by their names."""
    values = {
        "model": image_model if namespace == "cam" else table_model,
        "x": IMAGES if namespace == "cam" else X,
        "game": game,
        "attribution": exact,
        "attributions": [exact],
        "key": KEY,
        "layer": "hidden",
        "num_evaluations": 20,
    }
    required = [name for name, parameter in signature.parameters.items() if parameter.default is parameter.empty]
    wanted = [
        name
        for name in signature.parameters
        if name in ("layer", "num_groups", "num_samples", "num_steps") and namespace == "cam"
    ]
    if any(name not in values for name in required):
        return None
    sizes = {"num_groups": 2, "num_samples": 2, "num_steps": 2}
    return {name: values.get(name, sizes.get(name)) for name in dict.fromkeys([*required, *wanted])}


def is_sentence(error, parameters):
    """Returns whether an error was raised by a check of this package, in one sentence that names an argument."""
    if any(note.startswith("xaijax: ") for note in getattr(error, "__notes__", ())):
        return True  # from within the model, with the note that explains it
    last = list(traceback.walk_tb(error.__traceback__))[-1][0].f_code.co_filename
    message = str(error).partition("\n--------------------")[0]
    own = f"{os.sep}xaijax{os.sep}" in last and "site-packages" not in last.rpartition("xaijax")[2]
    # A game's function is its `value`, a masker may be made of `labels`, and of `layers` each is a `layer`.
    names = set(re.findall(r"`(\w+)", message)) & {*parameters, "value", "labels", "layer"}
    return own and bool(names) and "\n" not in message.strip() and len(message) < 1000


def raw_tracebacks(name, function, arguments, wrong):
    """Yields a line for each wrong call of a function that ends in a raw traceback."""
    import matplotlib.pyplot as plt

    try:
        function(**arguments)
    except Exception as error:
        yield f"{name}: the right call fails: {type(error).__name__}: {str(error)[:300]}"
        return
    for parameter, declared in inspect.signature(function).parameters.items():
        if declared.kind in (declared.VAR_POSITIONAL, declared.VAR_KEYWORD):
            continue
        for kind in wrong:
            given = {**arguments, parameter: WRONG[kind]}
            try:
                function(**given)
            except Exception as error:
                if not is_sentence(error, inspect.signature(function).parameters):
                    frames = [
                        f for f in traceback.extract_tb(error.__traceback__) if f"{os.sep}xaijax{os.sep}" in f.filename
                    ]
                    where = f"{os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else "?"
                    yield f"{name}({parameter}={kind}): {type(error).__name__} at {where}: {str(error)[:120]!r}"
            finally:
                plt.close("all")


def main(chosen):
    import matplotlib

    matplotlib.use("Agg")
    warnings.simplefilter("ignore")
    lines, start = [], time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for name, function, arguments in calls():
            if chosen and not any(name == wanted or name.startswith(wanted + ".") for wanted in chosen):
                continue
            raw = list(raw_tracebacks(name, function, arguments, QUICK))
            lines += raw
            print("\n".join(raw), end="\n" if raw else "", flush=True)
            print(f"{time.perf_counter() - start:5.0f} s, {len(lines)} raw: {name}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
