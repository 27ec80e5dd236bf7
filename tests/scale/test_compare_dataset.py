"""Comparisons over data sets: the numbers of the comparison in memory, in a run that goes on where it stopped."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from xaijax.scale.dataset import _pipeline, _read

KEY = jax.random.key(5)
N, M = 10, 4
X = np.random.default_rng(0).normal(size=(N, M)).astype(np.float32)
MASKS = np.random.default_rng(1).random((N, M)) > 0.4
CLASSES = np.arange(N) % 3
WEIGHTS = np.random.default_rng(2).normal(size=(M, 3)).astype(np.float32)
EXPLAINERS = {"gradient": xai.gradient.saliency, "product": xai.gradient.input_x_gradient}


def model(x):
    return jnp.tanh(x @ WEIGHTS)


@jax.jit
def drawn(attribution, key, ids):
    noise = jax.vmap(lambda number: jax.random.normal(jax.random.fold_in(key, number)))(ids)
    return xai.metrics.Score(attribution.values.sum(axis=1) + noise, jnp.abs(noise), better="higher")


@jax.jit
def marked(maps, masks):
    return jnp.where(masks, maps.values, 0).sum(axis=1)


METRICS = {"drawn": drawn, "marked": marked}


def over_data(out, explainers=EXPLAINERS, metrics=METRICS, source=X, **options):
    given = {"key": KEY, "batch_size": 4, "progress": False} | options
    return xai.scale.compare_dataset(explainers, model, source, metrics, out, **given)


def equal(ours, expected):
    for name, of_metrics in expected.scores.items():
        for metric, score in of_metrics.items():
            own = ours.scores[name][metric]
            np.testing.assert_allclose(own.values, score.values, rtol=1e-5, atol=1e-6)
            assert (own.metric, own.method, own.better) == (metric, name, score.better)
            assert (own.std_errors is None) == (score.std_errors is None)
    for measure, matrix in expected.agreement.items():
        for own, other in zip(ours.agreement[measure], matrix, strict=True):
            np.testing.assert_allclose(own, other, atol=1e-6)


def test_the_result_is_that_of_the_comparison_in_memory(tmp_path, monkeypatch):
    """The last batch is filled up; masks and classes are those of each row; the scores are read in blocks."""
    monkeypatch.setattr(_read, "_ROWS_READ", 3)
    options = {"masks": MASKS, "target": CLASSES, "ids": np.arange(N) + 3, "level": 0.9}
    expected = xai.metrics.compare(EXPLAINERS, model, X, METRICS, key=KEY, **options)
    ours = over_data(tmp_path, **options)
    equal(ours, expected)
    assert ours.level == 0.9
    for own, other in zip(ours.tests(), expected.tests(), strict=True):
        numbers = [name for name in own if not isinstance(own[name], str)]
        assert [own[name] for name in numbers] == pytest.approx([other[name] for name in numbers], rel=1e-3)
    loaded = xai.load(tmp_path, rows=slice(4, 7))
    np.testing.assert_allclose(
        loaded.scores["product"]["drawn"].values, expected.scores["product"]["drawn"].values[4:7], rtol=1e-5
    )
    assert loaded.agreement["rank_correlation"].num_examples[0, 1] == 3


class Rows:
    """Rows of which one holds NaN."""

    def __len__(self):
        return N

    def __getitem__(self, row):
        return np.full(M, np.nan, np.float32) if row == 6 else X[row]


def given(model, x):
    return xai.Attribution(np.asarray(x), np.asarray(x).sum(axis=1), method="a")


def undefined(attribution):
    return np.where(attribution.values[:, 0] > 0, np.nan, attribution.values[:, 0])


def test_interrupted_it_goes_on_and_undefined_scores_are_no_failures(tmp_path, monkeypatch):
    arguments = {"explainers": {"a": given}, "metrics": {"undefined": undefined}, "source": Rows(), "compiled": False}
    written = []

    def stopped(stages, batch, values, failures, write=_pipeline.Stages.write):
        if len(written) == 1:
            raise KeyboardInterrupt
        write(stages, batch, values, failures)
        written.append(batch.chunk)

    with monkeypatch.context() as patch:
        patch.setattr(_pipeline.Stages, "write", stopped)
        with pytest.raises(KeyboardInterrupt):
            over_data(tmp_path, **arguments)
    ours = over_data(tmp_path, **arguments)
    assert xai.scale.load_summary(tmp_path).rows_reused >= 4
    expected = np.where(X[:, 0] > 0, np.nan, X[:, 0])
    expected[6] = np.nan
    np.testing.assert_array_equal(ours.scores["a"]["undefined"].values, expected)
    assert [failure.row for failure in xai.scale.failures(tmp_path)] == [6]
    assert ours.table()[0]["num_examples"] == np.isfinite(expected).sum()
    assert ours.agreement == {}


def other(attribution):
    return attribution.values[:, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metrics": {"undefined": other}}, "the option metrics changed"),
        ({"explainers": {"b": given}}, "the option explainers changed"),
        ({"top": 2}, "the option top changed"),
        ({"masks": MASKS[:4]}, "`masks` must be by index and as many as the rows of the source, 10"),
        ({"metrics": {"g": xai.metrics.deletion}}, "`masker` must be given for the metric 'g'"),
    ],
)
def test_other_comparisons_are_refused(tmp_path, change, message):
    arguments = {"explainers": {"a": given}, "metrics": {"undefined": undefined}, "source": X[:10], "compiled": False}
    over_data(tmp_path, **arguments)
    with pytest.raises((TypeError, ValueError), match=message):
        over_data(tmp_path, **(arguments | change))
