"""Every explainer, under every transformation, gives the numbers that it gives eagerly."""

import contextlib
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

import xaijax as xai
from tests import models
from tests.explainers import CASES, CHUNKED, STACKED, stacked, units
from tests.selection import usual
from xaijax._model import FunctionModel, as_model

# The scope puts all tests of one case next to each other, where they share what was compiled.
each, each_chunked = (
    pytest.mark.parametrize(
        "case",
        [pytest.param(case, id=name, marks=pytest.mark.slow if case.slow else ()) for name, case in cases.items()],
        scope="module",
    )
    for cases in (CASES, CHUNKED)
)


FROM_ONE = ("r_squared", "held_out_r_squared")  # 1 minus a ratio, and rounded like 1 however small it is


def assert_equal(left, right, tolerance=1e-5):
    """The same numbers in every field, up to rounding in proportion to the largest of the field; of stacked methods, each."""
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
        if field.name == "values" and left.method == STACKED:
            one, other, unit = one / units(left), other / units(left), 1.0
        own = tolerance if field.name == "std_errors" else 1e-5
        np.testing.assert_allclose(one, other, atol=own * unit, err_msg=field.name)


@functools.cache
def eager(case):
    """The model, its inputs and what they give eagerly, which most tests compare with: compiled once for all of them.

    The model notes each time that it is traced.
    """
    model, x = _Counting(as_model(case.model()), []), case.inputs()
    return model, x, case(model, x)


def test_errors_of_methods_with_small_values_are_seen_next_to_large_ones():
    large, small, wrong = (xai.Attribution(size * jnp.ones((2, 3)), jnp.ones(2)) for size in (1e3, 1e-3, 1.001e-3))
    assert_equal(stacked([large, small]), stacked([large, small]))
    with pytest.raises(AssertionError, match="values"):
        assert_equal(stacked([large, small]), stacked([large, wrong]))


def test_the_users_model_keeps_the_users_settings():
    def careless(x):
        return x + jnp.ones(x.shape[1:])

    game = xai.game(careless, models.rows(2), xai.mask.baseline(jnp.zeros(models.FEATURES)), target=0)
    xai.clear_caches()
    with jax.numpy_rank_promotion("raise"), pytest.raises(ValueError, match="jax_numpy_rank_promotion"):
        xai.game(lambda x: careless(x), models.rows(2), game.masker, target=0)


@each
def test_jit_of_scan_of_vmap_in_blocks_gives_the_eager_numbers(case):
    """All in one program: each example is explained alone, in blocks of 7 rows, and no parameter becomes a constant.

    Under the settings of JAX that look for mistakes in the user's code.
    """
    model, x, expected = eager(case)
    ids = jnp.arange(len(x))

    @jax.jit
    def nested(model, batches, ids):
        explain = jax.vmap(lambda row, number: case(model, row[None], ids=number[None], batch_size=7))
        return jax.lax.scan(lambda carry, batch: (carry, explain(*batch)), None, (batches, ids))[1]

    arguments = model, jnp.stack([x, x[::-1]]), jnp.stack([ids, ids[::-1]])
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"), jax.debug_nans(True):
        program = nested.trace(*arguments)
        result = program.lower().compile()(*arguments)
    result = jax.tree.map(lambda leaf: np.asarray(leaf)[:, :, 0], result)
    assert_equal(expected, jax.tree.map(lambda leaf: leaf[0], result), case.tolerance)
    assert_equal(expected, jax.tree.map(lambda leaf: leaf[1, ::-1], result), case.tolerance)
    leaves = [leaf for leaf in jax.tree.leaves(model) if _is_float(leaf)]
    largest = max(leaf.size for leaf in leaves)
    for constant in (*program.jaxpr.consts, *inner_constants(program.jaxpr.jaxpr)):
        alike = [leaf for leaf in leaves if leaf.size == largest and leaf.shape == constant.shape]
        assert not any((leaf == constant).all() for leaf in alike)


def inner_constants(jaxpr):
    for equation in jaxpr.eqns:
        for inner in jaxprs_in_params(equation.params):
            yield from inner_constants(inner)
        for value in equation.params.values():
            yield from getattr(value, "consts", ())


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
    "axes",
    [
        "explicit",
        pytest.param("explicit, set", marks=pytest.mark.slow),
        pytest.param("automatic", marks=pytest.mark.slow),
    ],
)
def test_eight_devices_give_the_same_numbers_and_other_ids_other_samples(case, axes):
    """Each example twice, the second time with another id."""
    model, x, expected = eager(case)
    axis_type = jax.sharding.AxisType.Auto if axes == "automatic" else jax.sharding.AxisType.Explicit
    mesh = jax.make_mesh((8,), ("batch",), axis_types=(axis_type,))
    sharded = jax.device_put(jnp.concatenate([x, x]), jax.NamedSharding(mesh, jax.P("batch")))
    with jax.set_mesh(mesh) if axes == "explicit, set" else contextlib.nullcontext():
        attribution = case(model, sharded, ids=jnp.arange(8))
    assert len(attribution.values.sharding.device_set) == 8
    result = jax.tree.map(np.asarray, attribution)
    assert_equal(expected, jax.tree.map(lambda leaf: leaf[:4], result), case.tolerance)
    if case.sampled:
        assert np.abs(result.values[:4] - result.values[4:]).max() > 1e-6 * np.abs(result.values).max()
    else:
        assert_equal(expected, jax.tree.map(lambda leaf: leaf[4:], result), case.tolerance)


@pytest.mark.slow
@each
def test_an_example_alone_and_in_a_batch_of_64_gives_the_same(case):
    model, x, _ = eager(case)
    batch = jnp.concatenate([x] * 16)
    whole = case(model, batch, ids=jnp.concatenate([jnp.arange(4)] * 15 + [jnp.array([0, 1, 2, 9])]))
    alone = case(model, x[3:], ids=jnp.array([9]))
    assert_equal(alone, jax.tree.map(lambda leaf: leaf[63:], whole), case.tolerance)


@pytest.mark.slow
@each_chunked
@pytest.mark.parametrize("batch_size", [1, 100])
def test_the_batch_size_does_not_change_the_numbers(case, batch_size):
    model, x, expected = eager(case)
    assert_equal(expected, case(model, x, batch_size=batch_size), case.tolerance)


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


@pytest.mark.parametrize("name", usual(CASES, "cam, one pass", "shap.kernel", "lime.tabular", "gradient.smooth"))
def test_programs_are_lowered_for_accelerators_without_one(name):
    case = CASES[name]
    program = jax.jit(lambda model, x: case(model, x))
    exported = jax.export.export(program, platforms=["cuda", "tpu"])(as_model(case.model()), case.inputs())
    assert exported.platforms == ("cuda", "tpu")


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
