"""Attributions survive transformations, devices and files."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests import models
from tests.explainers import CASES


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_saved_and_loaded_it_is_the_same(case, tmp_path):
    attribution = case(case.model(), case.inputs())
    path = xai.save(tmp_path / "attribution", attribution)
    assert path.suffix == ".npz"
    loaded = xai.load(path)
    assert type(loaded) is type(attribution)
    assert loaded.method == attribution.method
    assert jax.tree.structure(loaded) == jax.tree.structure(attribution)
    jax.tree.map(np.testing.assert_array_equal, loaded, attribution)


def test_it_survives_device_get_and_jit():
    case = CASES["lime.tabular"]
    attribution = case(case.model(), case.inputs())
    fetched = jax.device_get(attribution)
    assert isinstance(fetched.values, np.ndarray)
    assert isinstance(fetched, xai.Surrogate)
    again = jax.jit(lambda attribution: attribution)(fetched)
    np.testing.assert_array_equal(again.r_squared, attribution.r_squared)


def test_values_of_regions_lie_on_the_input():
    attribution = xai.Attribution(
        values=jnp.array([[1.0, 2.0]]), output=jnp.zeros(1), regions=jnp.array([[[0, 1], [1, 1]]])
    )
    np.testing.assert_array_equal(attribution.on_input(), [[[1, 2], [2, 2]]])


def test_other_files_are_refused(tmp_path):
    np.savez(tmp_path / "other.npz", values=np.zeros(3))
    with pytest.raises(ValueError, match="holds no attribution"):
        xai.load(tmp_path / "other.npz")
    with pytest.raises(TypeError, match="attribution must be what an explainer returns"):
        xai.save(tmp_path / "x", models.rows(2))
