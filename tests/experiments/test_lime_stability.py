"""The study of LIME's stability: its measures on known numbers, and its results for a small table."""

import json

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest

import xaijax as xai
from experiments import lime_stability
from experiments.lime_stability import coverage, jaccard, of_keys, relative_error


def test_measures_of_known_numbers():
    values = np.array([[[3.0, 0, 1], [3, 2, 0]], [[1, 0, 0], [0, 0, 2]]])  # two examples, two keys
    truth = np.array([[3.0, 1, 0], [0, 0, 2]])
    assert relative_error(values, truth) == pytest.approx((2 / 10 + 1 / 10 + 5 / 4 + 0) / 4)
    assert jaccard(values, top=2) == pytest.approx((1 / 3 + 1 / 3) / 2)  # {0, 2} and {0, 1}; {0, 1} and {2, 0}
    errors = np.array([[[1.0, 0.6, 0.1], [1, 1, 0]], [[0.1, 0, 0], [0, 0, 1]]])  # an error of 0: no player
    assert coverage(values, errors, truth) == pytest.approx(5 / 7)


@pytest.mark.slow
def test_the_study_agrees_with_explanations_of_single_keys(tmp_path, capsys, monkeypatch):
    """Compares a curved model of four numbers with explanations computed separately."""
    rows = np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32)
    statistics = xai.lime.statistics(rows)
    model = lambda x: jnp.sin(x[:, 0]) + x[:, 1] * x[:, 2] + 0.5 * jnp.tanh(2 * x[:, 3])  # noqa: E731
    case = lime_stability.Case(
        rows[:2],
        lambda x, **options: xai.lime.tabular(model, x, statistics, **options),
        width=1.5,
        paper={"sampling": "independent"},
        lime={"around": "row", "num_features": 4},
        process=False,
    )
    monkeypatch.setitem(lime_stability.MODELS, "patients", lambda seed, examples: {"curve": case})
    few = ["--models", "patients", "--keys", "10", "--samples", "200", "--reference", "50000"]
    lime_stability.main(["--out", str(tmp_path), *few])
    scores, printed = json.loads((tmp_path / "numbers.json").read_text())["curve"], capsys.readouterr().out
    assert (tmp_path / "lime_stability.png").stat().st_size > 30_000

    truth = xai.lime.tabular(
        model, rows[:2], statistics, key=jax.random.key(5), num_samples=50_000, kernel_width=0.3 * 2**0.5
    )
    ours = [
        xai.lime.tabular(
            model,
            rows[:2],
            statistics,
            key=jax.random.key(1),
            num_samples=200,
            kernel_width=0.3 * 2**0.5,
            ids=jnp.array([k, 10 + k]),
        )
        for k in range(10)
    ]
    values = np.stack([each.values for each in ours], axis=1)
    errors = np.stack([np.asarray(each.std_errors) for each in ours], axis=1)
    numbers = scores["a fifth of it"]["xaijax"]
    assert numbers["relative error"] == pytest.approx(relative_error(values, np.asarray(truth.values)), rel=0.05)
    assert numbers["Jaccard of the top 5"] == 1  # of four
    assert numbers["coverage of 95 %"] == pytest.approx(coverage(values, errors, np.asarray(truth.values)), abs=0.03)
    for width, most in (("lime's width", 0.75), ("a fifth of it", 0.1)):
        variants = scores[width]
        for variant in variants:
            assert f"curve, {width}, {variant}: relative error {variants[variant]['relative error']:.3g}" in printed
        assert variants["xaijax"]["relative error"] < most * variants["lime"]["relative error"]


def test_copies_of_an_input_are_its_keys():
    surrogates = xai.lime.tabular(
        lambda x: x[:, 0] ** 2, np.repeat([[0.0, 1], [2, 3]], 2, axis=0), xai.lime.statistics(np.eye(2)),
        key=jax.random.key(0), num_samples=20,
    )  # fmt: skip
    values, errors = of_keys(surrogates, 2)
    np.testing.assert_array_equal(values[1, 0], surrogates.values[2])
    np.testing.assert_array_equal(errors[0, 1], np.asarray(surrogates.std_errors)[1])


def test_the_figure_has_a_column_for_each_width_and_measure_and_a_mark_for_each_variant():
    variants = [*lime_stability.VARIANTS, "lime, 5 times the samples"]
    measures = ("relative error", "Jaccard of the top 5")
    of_first = {variant: dict.fromkeys(measures, (number + 1) / 10) for number, variant in enumerate(variants)}
    of_second = {variant: dict.fromkeys(measures, 0.05) for variant in variants if "Gaussian" not in variant}
    scores = {
        name: dict.fromkeys(lime_stability.WIDTHS, of) for name, of in (("first", of_first), ("second", of_second))
    }
    figure = lime_stability.draw(scores, 200)
    assert [ax.get_title() for ax in figure.axes] == [*lime_stability.WIDTHS] * 2
    assert [ax.get_xscale() for ax in figure.axes] == ["log", "log", "linear", "linear"]
    for ax, written in zip(figure.axes, ("{:.1g}", "{:.1g}", "{:.2f}", "{:.2f}"), strict=True):
        expected = [0.5, 0.1, 0.2, 0.3, 0.4, *[0.05] * 4]  # lime with more samples first
        assert [line.get_xdata()[0] for line in ax.lines if len(line.get_xdata())] == pytest.approx(expected)
        assert [text.get_text() for text in ax.texts] == [written.format(value) for value in expected]
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["lime with 1,000 samples", *lime_stability.VARIANTS]
    plt.close(figure)
