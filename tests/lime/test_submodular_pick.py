"""SP-LIME: against the greedy search written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai


def sparse(seed, examples=20, players=9):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(examples, players)) * (rng.random((examples, players)) < 0.25)).astype(np.float32)


@pytest.mark.parametrize("seed", range(3))
def test_picks_are_those_of_the_greedy_search(seed):
    values = np.abs(sparse(seed))
    importance = np.sqrt(values.sum(axis=0))
    picked = []
    for _ in range(5):
        free = [row for row in range(len(values)) if row not in picked]
        covers = [importance[(values[[*picked, row]] > 0).any(axis=0)].sum() for row in free]
        picked.append(free[int(np.argmax(np.round(covers, 4)))])
    found = xai.lime.submodular_pick(sparse(seed), 5)
    assert found.examples.tolist() == picked
    np.testing.assert_allclose(found.importance, importance, rtol=1e-6)
    shares = [importance[(values[picked[: n + 1]] > 0).any(axis=0)].sum() / importance.sum() for n in range(5)]
    np.testing.assert_allclose(found.coverage, shares, rtol=1e-6)


def test_the_papers_example_picks_what_covers_most():
    """Ribeiro et al. (2016), figure 5: f2 is most important, and of the second pick the row that brings new features."""
    values = jnp.array(
        [[1, 1, 0, 0, 0], [0, 1, 1, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 1, 1], [0, 1, 1, 0, 0]], jnp.float32
    )
    found = xai.lime.submodular_pick(values, 2)
    np.testing.assert_allclose(found.importance, np.sqrt([1, 4, 2, 1, 1]), rtol=1e-6)
    assert found.examples.tolist() == [1, 3]


def test_of_equals_the_first_is_picked_and_none_twice():
    found = xai.lime.submodular_pick(jnp.ones((4, 3)), 3)
    assert found.examples.tolist() == [0, 1, 2]
    np.testing.assert_allclose(found.coverage, 1, rtol=1e-6)


def test_a_sample_of_candidates_depends_on_the_key_alone():
    values = sparse(0, examples=50)
    picks = [xai.lime.submodular_pick(values, 3, key=jax.random.key(k), sample_size=10).examples for k in (0, 0, 1)]
    np.testing.assert_array_equal(picks[0], picks[1])
    assert picks[0].tolist() != picks[2].tolist()
    candidates = jax.random.choice(jax.random.key(0), 50, (10,), replace=False)
    assert set(picks[0].tolist()) <= set(candidates.tolist())


def test_it_takes_attributions_and_works_under_jit():
    values = jnp.asarray(sparse(1))
    attribution = xai.Attribution(values, output=jnp.zeros(20))
    expected = xai.lime.submodular_pick(values, 4)
    np.testing.assert_array_equal(xai.lime.submodular_pick(attribution, 4).examples, expected.examples)
    compiled = jax.jit(lambda values: xai.lime.submodular_pick(values, 4))(values)
    np.testing.assert_array_equal(compiled.examples, expected.examples)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((jnp.ones((3, 2, 2)), 1), "pick for one output at a time"),
        ((jnp.ones((3, 2)), 4), "num_picks.? must be at most"),
        ((jnp.ones((3, 2)), 0), "num_picks.? must be at least 1"),
    ],
)
def test_what_cannot_be_picked_is_said(arguments, message):
    with pytest.raises(ValueError, match=message):
        xai.lime.submodular_pick(*arguments)
    with pytest.raises(ValueError, match="given both or not at all"):
        xai.lime.submodular_pick(jnp.ones((3, 2)), 1, sample_size=2)
