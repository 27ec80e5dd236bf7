"""Every explainer, under every transformation, gives the numbers that it gives eagerly."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

import xaijax as xai
from tests import models
from tests.explainers import CASES, CHUNKED, SAMPLED
from xaijax._model import as_model
from xaijax._model._model import FunctionModel

# The scope puts all tests of one case next to each other, where they share what was compiled.
each, each_chunked, each_sampled = (
    pytest.mark.parametrize(
        "case",
        [pytest.param(case, id=name, marks=pytest.mark.slow if case.slow else ()) for name, case in cases.items()],
        scope="module",
    )
    for cases in (CASES, CHUNKED, SAMPLED)
)


FROM_ONE = ("r_squared", "held_out_r_squared")  # 1 minus a ratio, and rounded like 1 however small it is


def assert_equal(left, right, tolerance=1e-5):
    """The same numbers in every field, up to rounding in proportion to the largest of the field."""
    for field in dataclasses.fields(left):
        one, other = getattr(left, field.name), getattr(right, field.name)
        if field.metadata.get("static") or one is None:
            assert one == other
            continue
        one, other = np.asarray(one), np.asarray(other)
        assert np.isfinite(one).all(), field.name
        unit = max(np.abs(one).max(), 1.0 if field.name in FROM_ONE else 1e-30)
        if field.name == "intercept":  # what is left of the prediction, and rounded like it
            unit = max(unit, np.abs(np.asarray(left.prediction)).max())
        np.testing.assert_allclose(one, other, atol=tolerance * unit, err_msg=field.name)


@functools.cache
def eager(case):
    """The model, its inputs and what they give eagerly, which most tests compare with: compiled once for all of them.

    The model notes each time that it is traced.
    """
    model, x = _Counting(as_model(case.model()), []), case.inputs()
    return model, x, case(model, x)


@functools.cache
def of_eight(case):
    """Twice as many inputs, one for each device, and what they give on one device."""
    x = case.inputs()
    x = jnp.concatenate([x, x + 1 if x.dtype == jnp.int32 else -x])
    return x, case(case.model(), x)


@each
def test_jit_gives_the_eager_numbers(case):
    model, x, expected = eager(case)
    assert_equal(expected, jax.jit(lambda model, x: case(model, x))(model, x))


def test_the_users_model_keeps_the_users_settings():
    def careless(x):
        return x + jnp.ones(x.shape[1:])

    game = xai.game(careless, models.rows(2), xai.mask.baseline(jnp.zeros(models.FEATURES)), target=0)
    xai.clear_caches()
    with jax.numpy_rank_promotion("raise"), pytest.raises(ValueError, match="jax_numpy_rank_promotion"):
        xai.game(lambda x: careless(x), models.rows(2), game.masker, target=0)


@each
def test_vmap_over_examples_gives_the_batch(case):
    _, x, expected = eager(case)
    model = case.model()
    ids = jnp.arange(len(x))
    alone = jax.vmap(lambda row, number: case(model, row[None], ids=number[None]))(x, ids)
    assert_equal(expected, jax.tree.map(lambda leaf: leaf[:, 0], alone))


@each
def test_scan_gives_the_eager_numbers(case):
    _, x, expected = eager(case)
    model = case.model()
    _, scanned = jax.lax.scan(lambda carry, batch: (carry, case(model, batch)), 0, jnp.stack([x, x[::-1]]))
    assert_equal(expected, jax.tree.map(lambda leaf: leaf[0], scanned))
    assert_equal(case(model, x[::-1]), jax.tree.map(lambda leaf: leaf[1], scanned))


@each
def test_gradient_of_an_explanation_agrees_with_finite_differences(case, float64):
    """With respect to the parameters and the input, along one random direction in both."""
    model = as_model(case.model())
    x = case.inputs()
    x = x.astype(jnp.float64) if jnp.issubdtype(x.dtype, jnp.floating) else x
    leaves, structure = jax.tree.flatten(model)
    parameters = [leaf.astype(jnp.float64) for leaf in leaves if _is_float(leaf)] + ([x] if _is_float(x) else [])
    weights = jax.random.normal(jax.random.key(1), jax.eval_shape(case, model, x).values.shape)

    @jax.jit
    @jax.value_and_grad
    def loss(parameters):
        given = iter(parameters)
        model = structure.unflatten([next(given) if _is_float(leaf) else leaf for leaf in leaves])
        return (case(model, next(given, x)).values * weights).sum()

    direction = [jax.random.normal(jax.random.key(i), leaf.shape) for i, leaf in enumerate(parameters)]
    _, gradient = loss(parameters)
    slope = sum((one * other).sum() for one, other in zip(gradient, direction, strict=True))
    step = 1e-6
    ends = [
        loss([leaf + sign * step * way for leaf, way in zip(parameters, direction, strict=True)])[0] for sign in (1, -1)
    ]
    difference = (ends[0] - ends[1]) / (2 * step)
    assert abs(slope) > 1e-8
    np.testing.assert_allclose(slope, difference, rtol=2e-5)


@each
@pytest.mark.parametrize(
    "explicit",
    [pytest.param(False, id="automatic axes", marks=pytest.mark.slow), pytest.param(True, id="explicit axes")],
)
def test_sharding_over_eight_devices_gives_the_same_numbers(case, explicit):
    x, expected = of_eight(case)
    model = case.model()
    axis_type = jax.sharding.AxisType.Explicit if explicit else jax.sharding.AxisType.Auto
    mesh = jax.make_mesh((8,), ("batch",), axis_types=(axis_type,))
    sharded = jax.device_put(x, jax.NamedSharding(mesh, jax.P("batch")))
    attribution = case(model, sharded)
    assert len(attribution.values.sharding.device_set) == 8
    assert_equal(expected, attribution)
    if explicit:
        with jax.set_mesh(mesh):
            assert_equal(attribution, case(model, sharded))


@each
def test_an_example_alone_and_in_a_batch_of_64_gives_the_same(case):
    model, x, _ = eager(case)
    batch = jnp.concatenate([x] * 16)
    whole = case(model, batch, ids=jnp.concatenate([jnp.arange(4)] * 15 + [jnp.array([0, 1, 2, 9])]))
    alone = case(model, x[3:], ids=jnp.array([9]))
    assert_equal(alone, jax.tree.map(lambda leaf: leaf[63:], whole))


@each_chunked
@pytest.mark.parametrize("batch_size", [7, *(pytest.param(size, marks=pytest.mark.slow) for size in (1, 100))])
def test_the_batch_size_does_not_change_the_numbers(case, batch_size):
    _, x, expected = eager(case)
    model = case.model()
    assert_equal(expected, case(model, x, batch_size=batch_size))


@each_sampled
def test_other_ids_draw_other_samples(case):
    model, x, expected = eager(case)
    values = expected.values
    assert jnp.abs(values - case(model, x, ids=jnp.arange(4) + 4).values).max() > 1e-6 * jnp.abs(values).max()


@each
def test_a_second_call_traces_nothing(case):
    model, x, _ = eager(case)
    case(model, x)  # again, where another test emptied the caches
    traces = model.content[0].traces
    first = len(traces)
    assert first > 0
    case(model, x[::-1])
    case(jax.tree.map(lambda leaf: 0.9 * leaf if _is_float(leaf) else leaf, model), x)
    assert len(traces) == first


@each
def test_parameters_are_arguments_of_the_compiled_program(case):
    model, x = as_model(case.model()), case.inputs()
    closed = jax.make_jaxpr(lambda model, x: case(model, x))(model, x)
    large = max(leaf.size for leaf in jax.tree.leaves(model) if _is_float(leaf))

    def constants(jaxpr):
        for equation in jaxpr.eqns:
            for inner in jaxprs_in_params(equation.params):
                yield from constants(inner)
            for value in equation.params.values():
                yield from getattr(value, "consts", ())

    values = [np.asarray(leaf) for leaf in jax.tree.leaves(model) if _is_float(leaf) and leaf.size == large]
    for constant in (*closed.consts, *constants(closed.jaxpr)):
        assert not any(constant.shape == value.shape and (constant == value).all() for value in values)


@each
def test_strict_settings_of_jax_are_no_obstacle(case):
    """Explainers pass under the settings that look for mistakes in the user's code, and give the same numbers."""
    _, x, expected = eager(case)
    model = case.model()
    xai.clear_caches()  # so that everything is traced under these settings; the last test of a case, which loses them
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"), jax.debug_nans(True):
        assert_equal(expected, case(model, x))


def _is_float(leaf):
    return jnp.issubdtype(leaf.dtype, jnp.floating)


class _Counting(FunctionModel):
    """A model that notes each time it is traced; its layers are those of the model inside."""

    def __init__(self, model, traces):
        super().__init__(_Noted(traces), model)

    def _call_tagged(self, x):
        noted, (model,), _ = self.content
        noted.traces.append(None)
        return model.tagged(x)


@dataclasses.dataclass(frozen=True, eq=False)
class _Noted:
    traces: list

    def __call__(self, model, x):
        self.traces.append(None)
        return model(x)
