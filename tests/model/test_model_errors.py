"""An error inside the user's model keeps its type and traceback, and gains a note: the call, the shapes, the likely fix."""

import functools
import traceback

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import xaijax as xai
from tests import models

KEY = jax.random.key(0)


def perceptron(x):
    return jnp.tanh(x @ jnp.ones((4, 3))) @ jnp.ones((3, 2))


def one_example(x):
    if x.shape != (4,):
        raise ValueError(f"one example has shape (4,), not {x.shape}")
    return x[:2]


def convolution(x):
    return jax.lax.conv(x, jnp.ones((2, 3, 3, 3)), (1, 1), "SAME").mean(axis=(2, 3))


def convolution_of_one(x):
    return convolution(x[None])[0]


def of_pair(x):
    return jnp.concatenate([x["left"], x["right"]], axis=1).sum(axis=1)


def embedding(x):
    if not jnp.issubdtype(x.dtype, jnp.integer):
        raise ValueError("ids must be integers")
    return jnp.ones((9, 2))[x].sum(axis=1)


def values(model, x):
    return xai.shap.exact(xai.game(model, x, xai.mask.baseline(jnp.zeros(x.shape[1:]))))


NOTES = {
    "no batch axis": (lambda: xai.layers(convolution, jnp.ones((3, 8, 8))), r"float32\[3, 8, 8\].*pass x\[None\]"),
    "a model of one example": (lambda: values(one_example, jnp.ones((5, 4))), r"float32\[5, 4\].*jax\.vmap\(model\)"),
    "a list of images": (
        lambda: xai.layers(convolution, [jnp.ones((3, 8, 8))] * 3),
        r"a list of .*pass jnp\.stack\(x\)",
    ),
    "channels last": (
        lambda: xai.cam.grad_cam(convolution, jnp.ones((2, 8, 8, 3))),
        r"float32\[2, 8, 8, 3\]\. Likely fix: the model takes channels first, pass jnp\.moveaxis\(x, -1, 1\)\.",
    ),
    "one image with channels last": (
        lambda: xai.cam.score_cam(convolution, jnp.ones((8, 8, 3))),
        r"x is one example, while the model takes channels first, pass jnp\.moveaxis\(x, -1, 0\)\[None\]",
    ),
    "an unbatched convolution": (
        lambda: xai.cam.grad_cam(convolution_of_one, jnp.ones((2, 3, 8, 8))),
        r"the model takes one example, pass jax\.vmap\(model\)",
    ),
    "an unbatched convolution and channels last": (
        lambda: xai.cam.grad_cam(convolution_of_one, jnp.ones((2, 8, 8, 3))),
        r"channels first and the model takes one example, pass jnp\.moveaxis\(x, -1, 1\) and jax\.vmap\(model\)",
    ),
    "a vectorized model of batches": (
        lambda: xai.layers(jax.jit(jax.vmap(convolution)), jnp.ones((2, 3, 8, 8))),
        "the model takes batches already, pass it without jax.vmap",
    ),
    "half precision": (
        lambda: xai.layers(convolution, jnp.ones((2, 3, 8, 8), jnp.float16)),
        r"the model takes float32, pass x\.astype\(jnp\.float32\)",
    ),
    "a dict": (lambda: xai.layers(perceptron, {"image": jnp.ones((2, 4))}), r"a dict of .*pass x\['image'\]"),
    "floats for ids": (
        lambda: xai.layers(embedding, jnp.ones((2, 4))),
        r"takes integers, pass x\.astype\(jnp\.int32\)",
    ),
    "control flow": (
        lambda: values(lambda x: x.sum(axis=1) if x.sum() > 0 else x[:, 0], jnp.ones((2, 4))),
        "replace Python control flow on array values by jnp.where",
    ),
    "numbers from arrays": (
        lambda: values(lambda x: jnp.stack([float(row.sum()) for row in x]), jnp.ones((2, 4))),
        r"keep arrays as arrays, without int\(\), float\(\)",
    ),
    "numbers written into a NumPy array": (
        lambda: values(lambda x: np.array([0.0]).__setitem__(0, x[0].sum()), jnp.ones((2, 4))),
        r"keep arrays as arrays, without int\(\), float\(\)",
    ),
    "a batch of one": (
        lambda: values(lambda x: x.reshape(1, 4)[:, :2], jnp.ones((5, 4))),
        r"pass jax\.vmap\(lambda row: model\(row\[None\]\)\[0\]\)",
    ),
    "another number of features": (
        lambda: values(perceptron, jnp.ones((2, 5))),
        r"float32\[2, 5\]\. A model must map any number of rows",
    ),
}


@pytest.mark.parametrize(("call", "sentence"), NOTES.values(), ids=NOTES)
def test_the_note_says_the_call_the_shapes_and_the_likely_fix(call, sentence):
    with pytest.raises(Exception, match=sentence) as caught:
        call()
    (note,) = [note for note in caught.value.__notes__ if note.startswith("xaijax: ")]
    assert "evaluated `model`" in note
    assert "xai." in note
    assert __file__ in note  # where the model is defined
    frames = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert {"perceptron", "one_example", "convolution", "embedding", "<lambda>"} & set(frames)


@pytest.mark.parametrize(
    ("explain", "name"),
    [
        (lambda model, x: xai.cam.grad_cam(model, x), "xai.cam.grad_cam"),
        (lambda model, x: xai.layers(model, x), "xai.layers"),
        (lambda model, x: xai.shap.values(model, x, xai.mask.baseline(jnp.zeros(4)), key=KEY), "xai.shap.values"),
        (lambda model, x: xai.lime.tabular(model, x, xai.lime.statistics(np.eye(4)), key=KEY), "xai.lime.tabular"),
    ],
)
def test_the_note_names_the_explainer(explain, name):
    def broken(x):
        raise LookupError("no such table")

    with pytest.raises(LookupError, match="no such table") as caught:
        explain(broken, jnp.ones((2, 4)))
    assert caught.value.__notes__[0].startswith(f"xaijax: {name} evaluated `model`, the function test_the_note_names")


def test_errors_in_targets_and_games_name_their_arguments():
    def wrong(outputs):
        raise LookupError("no such class")

    with pytest.raises(LookupError) as caught:
        xai.shap.exact(xai.game(perceptron, jnp.ones((2, 4)), xai.mask.baseline(jnp.zeros(4)), target=wrong))
    assert "evaluated `target`" in caught.value.__notes__[0]
    assert "A target must map outputs" in caught.value.__notes__[0]
    with pytest.raises(LookupError) as caught:
        xai.shap.exact(xai.Game(wrong, 3))
    assert "evaluated `value`" in caught.value.__notes__[0]
    assert "A game must map coalitions" in caught.value.__notes__[0]


def two_inputs(left, right):
    return left.sum(axis=1) + right.sum(axis=1)


@pytest.mark.parametrize(
    ("model", "x", "sentence"),
    [
        (two_inputs, jnp.ones((2, 4)), r"bind the other arguments, pass functools\.partial\(model, right=\.\.\.\)"),
        (two_inputs, {"left": jnp.ones((2, 4)), "right": jnp.ones((2, 4))}, r"pass lambda x: model\(\*\*x\)"),
        (lambda: jnp.zeros(2), jnp.ones((2, 4)), "A model must map any number of rows"),
    ],
    ids=["a missing argument", "a dict for keywords", "no argument"],
)
def test_arguments_that_do_not_fit_the_signature_get_a_note(model, x, sentence):
    with pytest.raises(TypeError, match=sentence) as caught:
        xai.layers(model, x)
    assert caught.value.__notes__[0].startswith("xaijax: xai.layers evaluated `model`")


def test_our_own_sentences_get_no_note():
    with pytest.raises(ValueError, match="inference mode") as caught:
        xai.linen(models.LinenNet(), models.linen_net().content, train=True)(models.images())
    assert not getattr(caught.value, "__notes__", [])


def test_a_closure_over_an_nnx_module_is_told_to_pass_the_module():
    net = models.NnxNet(nnx.Rngs(3))  # in training mode: its dropout changes a state of the closure
    for model in (lambda x: net(x), functools.partial(lambda scale, x: scale * net(x), 2.0), jax.jit(lambda x: net(x))):
        with pytest.raises(Exception, match="closes over the NNX module 'net'.*pass the module itself as the model"):
            xai.cam.grad_cam(model, models.images(), layer="stem")
    net.eval()
    for layer in (None, "stem"):
        with pytest.raises(ValueError, match="`layer` must.*closes over the NNX module 'net'"):
            xai.cam.grad_cam(lambda x: net(x), models.images(), layer=layer)


class Regressor:
    """As scikit-learn's are: not callable, with methods on NumPy arrays."""

    def predict(self, x):
        return np.asarray(x, dtype=np.float32).sum(axis=1)


OUTSIDE = {
    "its method": Regressor().predict,
    "a closure over it": lambda x: Regressor().predict(x),
    "NumPy": lambda x: np.asarray(x).sum(axis=1),
}


@pytest.mark.parametrize("model", OUTSIDE.values(), ids=OUTSIDE)
def test_a_model_outside_jax_is_refused_with_the_callback_to_use(model):
    with pytest.raises(TypeError, match=r"`model` must be written in JAX.*pass xai\.callback\(predict\)") as caught:
        values(model, jnp.ones((2, 4)))
    assert "\n" not in str(caught.value).partition("\n--------------------")[0]


def test_models_of_other_frameworks_are_named():
    torch = pytest.importorskip("torch")
    ensemble = pytest.importorskip("sklearn.ensemble")
    forest = ensemble.RandomForestClassifier(4).fit(np.eye(4), [0, 1, 0, 1])
    net = torch.nn.Linear(4, 2)
    for model, library in [
        (net, "torch"),
        (lambda x: forest.predict_proba(x), "sklearn"),
        (lambda x: net(torch.tensor(x)), "torch"),
    ]:
        with pytest.raises(TypeError, match=f"`model` must be written in JAX, got .*{library}.*xai.callback"):
            values(model, jnp.ones((2, 4)))


def test_the_callback_of_the_message_works():
    model = Regressor()
    x = models.rows(2, 4)
    for wrapped in (xai.callback(model.predict), model):
        np.testing.assert_allclose(values(wrapped, x).values, x, atol=1e-6)


@pytest.mark.parametrize("returned", [lambda x: None, lambda x: [], lambda x: "cat", lambda x: {1, 2}])
def test_a_model_that_returns_no_arrays_is_refused(returned):
    with pytest.raises(TypeError, match="`model` must return arrays, got"):
        values(returned, jnp.ones((2, 4)))
    with pytest.raises(TypeError, match="`value` must return arrays, got"):
        xai.shap.exact(xai.Game(returned, 3))


SQUEEZED = {
    "outputs": lambda x: perceptron(x).squeeze(),
    "a single output": lambda x: perceptron(x)[:, :1].squeeze(),
    "inside": lambda x: jnp.tanh(x[:, None, :].squeeze()) @ jnp.arange(8.0).reshape(4, 2),
}


@pytest.mark.parametrize("name", SQUEEZED)
def test_models_that_squeeze_keep_their_rows(name):
    """Blocks of one row and inputs of one row give the numbers of larger blocks."""
    model, x = SQUEEZED[name], models.rows(3, 4)
    game = lambda x: xai.game(model, x, xai.mask.background(models.rows(2, 4, seed=3)), target=0)  # noqa: E731
    expected = xai.shap.exact(game(x)).values
    assert jnp.abs(expected).max() > 0.1
    np.testing.assert_allclose(xai.shap.exact(game(x), batch_size=1).values, expected, atol=1e-6)
    np.testing.assert_allclose(xai.shap.exact(game(x[1:2])).values, expected[1:2], atol=1e-6)
    np.testing.assert_allclose(game(x[:1])(jnp.ones((1, 4), bool), batch_size=1).shape, (1, 1))


def test_maps_of_models_that_squeeze_keep_their_rows():
    def network(x):
        return xai.tag(jnp.tanh(x @ jnp.ones((2, 3))), "hidden").mean(axis=(1, 2)).squeeze()

    x = models.images()
    whole = xai.cam.grad_cam(network, x, target=1).values
    np.testing.assert_allclose(xai.cam.grad_cam(network, x[2:3], target=1).values, whole[2:3], atol=1e-6)


def test_a_linen_module_error_keeps_its_type_and_gains_the_note():
    module = nn.Dense(2)
    model = xai.linen(module, module.init(KEY, jnp.ones((1, 4))))
    with pytest.raises(Exception, match=r"xai\.layers evaluated `model`.*float32\[2, 5\]") as caught:
        xai.layers(model, jnp.ones((2, 5)))
    assert "flax" in type(caught.value).__module__
