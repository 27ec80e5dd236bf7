"""Attributions become shap's explanations and come back; each library's plots draw the other's."""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest

import xaijax as xai
from tests import models

shap = pytest.importorskip("shap")


@pytest.fixture(scope="module")
def attribution():
    masker = xai.mask.background(models.rows(5, 14, seed=1))
    return xai.shap.values(models.table_net(14), models.rows(3, 14), masker, key=jax.random.key(0), target=1)


def test_there_and_back_it_is_the_same(attribution):
    names = [f"f{number}" for number in range(14)]
    explanation = xai.to_shap(attribution, inputs=models.rows(3, 14), names=names)
    np.testing.assert_array_equal(explanation.values, attribution.values)
    np.testing.assert_array_equal(explanation.error_std, attribution.std_errors)
    np.testing.assert_array_equal(explanation[1].data, models.rows(3, 14)[1])
    assert explanation.feature_names == names
    back = xai.from_shap(explanation)
    np.testing.assert_array_equal(back.values, attribution.values)
    np.testing.assert_array_equal(back.base_value, attribution.base_value)
    np.testing.assert_allclose(back.output, attribution.output, atol=1e-5)
    assert xai.from_shap(explanation[0]).num_examples is None


def test_shap_draws_ours_and_we_draw_shaps(attribution):
    explanation = xai.to_shap(attribution, inputs=models.rows(3, 14))
    _, ax = plt.subplots()
    shap.plots.bar(explanation, max_display=14, show=False, ax=ax)
    drawn = sorted(bar.get_width() for bar in ax.patches)
    np.testing.assert_allclose(drawn, np.sort(attribution.mean_abs()), rtol=1e-5)
    plt.close("all")

    rows = np.asarray(models.rows(4, 14))
    theirs = shap.PermutationExplainer(
        lambda rows: np.asarray(models.table_net(14)(jnp.asarray(rows, jnp.float32)))[:, 0],
        shap.maskers.Independent(np.zeros((1, 14))),
        seed=0,
    )(rows, max_evals=300, silent=True)
    ours = xai.from_shap(theirs)
    np.testing.assert_allclose(ours.output, models.table_net(14)(rows)[:, 0], atol=1e-4)
    ax = xai.plot.waterfall(ours, example=2)
    assert len(ax.patches) == 11
    plt.close("all")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: xai.to_shap(xai.Attribution(values=jnp.ones((1, 2)), output=jnp.ones(1))), "must have a base value"),
        (lambda: xai.from_shap(shap.Explanation(values=np.ones((2, 3)))), "must have base_values"),
        (
            lambda: xai.from_shap(shap.Explanation(values=np.ones((2, 3)), base_values=np.ones(5))),
            "base_values of the shape of its",
        ),
    ],
)
def test_what_cannot_be_told_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
