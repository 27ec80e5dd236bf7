"""The figure of LIME in two dimensions shows the fitted samples. (A hardly trained network suffices.)"""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from experiments import lime_figure

FEW = ["--samples", "60", "--draws", "3", "--epochs", "2"]


@pytest.mark.slow
def test_the_line_is_fitted_to_the_samples_shown(tmp_path, capsys):
    lime_figure.main(["--out", str(tmp_path), *FEW])
    numbers, printed = json.loads((tmp_path / "numbers.json").read_text()), capsys.readouterr().out
    for sampling in lime_figure.SAMPLINGS:
        results = numbers[sampling]
        assert results["largest gap between the line fitted by hand and xai.lime.tabular"] < 1e-5
        assert f"{sampling}: local R² {results['local R², over the draws']['mean']:.3f}" in printed
        kept = xai.load(tmp_path / f"lime_{sampling}.npz")
        assert kept.r_squared[0] == pytest.approx(results["local R², over the draws"]["first"])
    assert numbers["independent"]["effective samples"] < numbers["weighted"]["effective samples"]
    assert (tmp_path / "lime.png").stat().st_size > 50_000


@pytest.mark.slow
@pytest.mark.parametrize("sampling", lime_figure.SAMPLINGS)
def test_the_samples_in_the_figure_are_those_that_the_model_evaluated(sampling, key):
    seen = []

    def model(x):
        jax.debug.callback(lambda x: seen.append(np.asarray(x)), x)
        return x.sum(axis=1)

    statistics = xai.lime.statistics(lime_figure.make_points(50, seed=0)[0])
    x = jnp.array([lime_figure.INSTANCE])
    xai.lime.tabular(model, x, statistics, key=key, sampling=sampling, num_samples=50, target=0, kernel_width=0.35)
    jax.effects_barrier()
    rows, weights = lime_figure.neighborhood(statistics, sampling, key, 50)
    asked = np.concatenate(seen)
    for row in rows:
        assert np.abs(asked - row).max(axis=1).min() < 1e-6
    distances = np.linalg.norm((rows - lime_figure.INSTANCE) / np.asarray(statistics.deviation), axis=1)
    if sampling == "independent":
        np.testing.assert_allclose(weights, np.exp(-((distances / 0.35) ** 2)), rtol=1e-4, atol=1e-7)
    else:
        assert set(weights.tolist()) == {0.0, 1.0}


def test_a_single_draw_is_refused(tmp_path):
    with pytest.raises(SystemExit):
        lime_figure.main(["--out", str(tmp_path), "--draws", "1"])
