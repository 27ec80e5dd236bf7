"""Programs are bounded in number, freed with what they hold, and a line that compiles again and again is warned of."""

import functools
import gc
import sys
import warnings
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests import models
from xaijax._core import compile as compiling
from xaijax._core.target import apply

X = np.linspace(-1.0, 1.0, 8, dtype=np.float32).reshape(2, 4)


def explain(model):
    return xai.shap.exact(xai.game(model, X, xai.mask.baseline(jnp.zeros(4)))).values


def evaluate(model):
    """The cheapest compiled call: the values of the coalitions of one player, less those of the empty one."""
    values = xai.game(model, X, xai.mask.baseline(jnp.zeros(4)))(np.eye(5, 4, dtype=bool))
    return values[:, :-1] - values[:, -1:]


def live_bytes():
    gc.collect()
    return sum(array.nbytes for array in jax.live_arrays())


def explain_new_functions(count, explain=explain, size=10):
    """Explains as many new lambdas, each closing over an array of its own, at one line; returns references to them."""
    references = []
    for number in range(count):
        # Not all equal: XLA 0.10.2 for CPUs gives jit(lambda x: (x @ ones).sum(axis=1)) wrong sums for constants.
        weights = jnp.tile(jnp.array([0.0, 2 * number + 2.0]), (4, size // 2))
        function = lambda x, weights=weights: (x @ weights).sum(axis=1)  # noqa: E731
        np.testing.assert_allclose(explain(function), size * (number + 1) * X, rtol=1e-4)
        references.append(weakref.ref(function))
    return references


def still_held(references):
    gc.collect()
    return sum(reference() is not None for reference in references)


@pytest.fixture(autouse=True)
def cleared():
    xai.clear_caches()
    yield
    xai.clear_caches()


@pytest.mark.filterwarnings("ignore:.*was compiled")
def test_lambdas_beyond_the_bound_and_their_arrays_are_freed():
    """The arrays are of 1 MiB; a function that is kept holds its own, and its program a copy."""
    before = live_bytes()
    count = compiling._KEPT_THROWAWAY + 4
    references = explain_new_functions(count, evaluate, size=2**16)
    assert still_held(references) == compiling._KEPT_THROWAWAY
    assert live_bytes() - before < 2 * (count - 2) * 2**20


@pytest.mark.filterwarnings("ignore:xai.shap.exact was compiled")
def test_clearing_the_caches_frees_the_users_functions():
    references = explain_new_functions(3)
    assert still_held(references) == 3
    xai.clear_caches()
    assert still_held(references) == 0


def test_every_cache_is_bounded_and_cleared():
    for name in ("cam", "lime", "mask", "metrics", "plot", "scale", "segment", "shap", "target"):
        getattr(xai, name)
    xai.shap.values(models.table_net(), models.rows(1), xai.mask.baseline(models.rows(1)[0] * 0), key=jax.random.key(0))
    caches = [
        (f"{name}.{attribute}", value)
        for name, module in sorted(sys.modules.items())
        if name.partition(".")[0] == "xaijax"
        for attribute, value in vars(module).items()
        if isinstance(value, functools._lru_cache_wrapper)
    ]
    assert caches
    assert [name for name, cache in caches if cache.cache_parameters()["maxsize"] is None] == []
    xai.clear_caches()
    assert [name for name, cache in caches if cache.cache_info().currsize] == []


def test_a_line_that_compiles_for_the_fifth_time_is_warned_of_once():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for number in range(7):
            explain(lambda x, number=number: x.sum(axis=1) * number)
    (warning,) = [warning for warning in caught if "was compiled 5 times at this line" in str(warning.message)]
    assert "xai.function(function, parameters)" in str(warning.message)
    assert warning.filename == __file__
    assert warning.lineno == explain.__code__.co_firstlineno + 1  # where this file calls the explainer


def test_functions_that_last_and_new_parameters_are_not_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for number in range(7):
            explain(xai.function(_scaled, jnp.float32(number)))
        model = lambda x: x.sum(axis=1)  # noqa: E731
        for _ in range(7):
            explain(model)


def _scaled(scale, x):
    return scale * x.sum(axis=1)


def test_equal_models_that_are_made_anew_share_a_program():
    traces = []

    def counted(weights, x):
        traces.append(None)
        return x @ weights

    for number in range(3):
        explain(xai.function(counted, jnp.full(4, float(number))))
        if number == 0:
            first = len(traces)
    assert first > 0
    assert len(traces) == first


def test_shapes_of_outputs_are_remembered_for_each_shape_type_and_precision():
    """A described parameter costs as much as a layer: a second call describes none, and another one describes its own."""
    model = xai.function(_scaled, jnp.float32(2))
    rows = [X, jnp.asarray(X), X[:1], X.astype(np.int8)]
    shapes = [apply.eval_shape(model, x) for x in rows]
    assert [leaf.shape for leaf in shapes] == [(2,), (2,), (1,), (2,)]
    assert [apply.eval_shape(model, x) is shape for x, shape in zip(rows, shapes, strict=True)] == [True] * len(rows)
    precise = X.astype(np.float64)
    assert apply.eval_shape(model, precise).dtype == np.float32
    with jax.enable_x64():
        assert apply.eval_shape(model, precise).dtype == np.float64
    assert apply.eval_shape(model, X) is shapes[0]
    weaker = xai.function(_scaled, jnp.bfloat16(2))
    assert apply.eval_shape(weaker, jnp.asarray(X, jnp.bfloat16)).dtype == jnp.bfloat16
