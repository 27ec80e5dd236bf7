"""Summaries in one pass are those of all attributions in memory."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from xaijax._io import archive
from xaijax.scale import AttributionSummary
from xaijax.scale.summary._moments import merge_moments, moments

BINS = np.linspace(-2, 3, 11).astype(np.float32)
PLAYERS = 3


def attribution(values):
    return xai.Attribution(values=jnp.asarray(values), output=jnp.zeros(len(values)))


@pytest.fixture(scope="module")
def values():
    """Numbers of every kind: several scales and signs, equal ones, zeros, and ones that are missing."""
    generator = np.random.default_rng(0)
    values = np.stack(
        [
            generator.normal(5, 2, 4000),
            generator.lognormal(0, 3, 4000) * generator.choice([-1, 1], 4000),
            generator.integers(-2, 4, 4000) / 2,
        ],
        axis=1,
    ).astype(np.float32)
    values[generator.random(values.shape) < 0.01] = np.nan
    values[7, 0] = BINS[-1]
    return values


@pytest.fixture(scope="module")
def summary(values):
    """By four batches of 1000."""
    batches = [attribution(part) for part in np.split(values, 4)]
    return xai.scale.summarize(batches, top=5, bins=BINS)


def same(one, other, exact=True):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for path, leaf in jax.tree_util.tree_leaves_with_path(one):
        name = jax.tree_util.keystr(path)
        expected = dict(jax.tree_util.tree_leaves_with_path(other))[path]
        if exact or not name.startswith((".signed", ".absolute")):
            np.testing.assert_array_equal(leaf, expected, err_msg=name)
    for name in ("mean", "mean_abs", "mean_errors", "mean_abs_errors", "standard_deviations"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-6, err_msg=name)


def test_moments_are_those_of_float64(summary, values):
    wide = values.astype(np.float64)
    count = (~np.isnan(wide)).sum(axis=0)
    np.testing.assert_array_equal(summary.counts, count)
    np.testing.assert_array_equal(summary.missing.reshape(-1), len(values) - count)
    assert summary.num_examples == len(values)
    for found, errors, numbers in (
        (summary.mean, summary.mean_errors, wide),
        (summary.mean_abs, summary.mean_abs_errors, np.abs(wide)),
    ):
        spread = np.nanstd(numbers, axis=0, ddof=1)
        np.testing.assert_allclose(found, np.nanmean(numbers, axis=0), rtol=1e-6)
        np.testing.assert_allclose(errors, spread / np.sqrt(count), rtol=1e-6)
    np.testing.assert_allclose(summary.standard_deviations, np.nanstd(wide, axis=0, ddof=1), rtol=1e-6)
    np.testing.assert_array_equal(summary.extremes, (np.nanmin(values, axis=0), np.nanmax(values, axis=0)))


def test_histograms_are_numpys(summary, values):
    counts, limits = summary.histogram()
    np.testing.assert_array_equal(limits, BINS)
    for column, found in zip(values.T, counts, strict=True):
        known = column[~np.isnan(column)]
        np.testing.assert_array_equal(found[1:-1], np.histogram(known, BINS)[0])
        assert (found[0], found[-1]) == ((known < BINS[0]).sum(), (known > BINS[-1]).sum())
        assert found.sum() == len(known)


def test_top_examples_are_the_largest(summary, values):
    ids, largest = summary.top_examples()
    for player, column in enumerate(values.T):
        order = sorted(np.flatnonzero(~np.isnan(column)), key=lambda row: (-abs(column[row]), row))[:5]
        np.testing.assert_array_equal(ids[:, player], order)
        np.testing.assert_array_equal(largest[:, player], column[order])


@pytest.mark.parametrize("error", [0.01, 0.05])
def test_quantiles_are_as_near_as_they_say(values, error):
    one = xai.scale.summarize(attribution(values), relative_error=error)
    shares = np.array([0, 0.001, 0.1, 0.25, 0.5, 0.75, 0.9, 0.999, 1])
    found = one.quantiles(shares)
    expected = np.nanquantile(values.astype(np.float64), shares, axis=0, method="lower")
    # Rounding of logarithms in float32 moves a bucket's limit by less than a hundredth of its width.
    assert (np.abs(found - expected) <= 1.01 * error * np.abs(expected)).all()
    np.testing.assert_array_equal(one.quantiles(0.5), found[4])


def test_sizes_out_of_range_are_zero_and_infinite():
    one = xai.scale.summarize(attribution([[1e-5], [-3.0], [1e9], [-1e9], [0.0]]), sizes=(1e-3, 1e3))
    np.testing.assert_allclose(one.quantiles([0, 0.25, 0.5, 0.75, 1])[:, 0], [-np.inf, -3, 0, 0, np.inf], rtol=0.01)
    counts, limits = one.histogram()
    assert counts.sum() == 5
    assert counts.shape == (1, len(limits) + 1)
    assert counts[0, 0] == counts[0, -1] == 1


def test_the_order_of_batches_and_hosts_does_not_matter(summary, values):
    parts = [
        xai.scale.summarize(attribution(values[rows]), ids=rows, top=5, bins=BINS)
        for rows in np.array_split(np.random.default_rng(1).permutation(len(values)), 4)
    ]
    one, two, three, four = parts
    same(three.merge(one).merge(four.merge(two)), summary, exact=False)
    same(one.merge(two).merge(three).merge(four), summary, exact=False)


def test_a_summary_goes_through_jit_and_scan(summary, values):
    rows = jnp.asarray(values).reshape(4, 1000, PLAYERS)
    ids = jnp.arange(4000).reshape(4, 1000)

    def add(state, batch):
        return state.update(attribution(batch[0]), batch[1]), None

    start = AttributionSummary.init((PLAYERS,), top=5, bins=BINS)
    found, _ = jax.jit(lambda start: jax.lax.scan(add, start, (rows, ids)))(start)
    same(found, summary, exact=False)


def test_means_over_different_classes_warn_after_jit_merging_and_loading(values, tmp_path):
    start, ids = AttributionSummary.init((PLAYERS,), top=1, relative_error=0.2), np.arange(10)

    def add(state, target, valid):
        rows = xai.Attribution(values=jnp.asarray(values[:10]), output=jnp.zeros(10), target=jnp.full(10, target))
        return state.update(rows, ids, valid=np.full(10, valid))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first = add(add(add(start, 3, True), 3, True), 9, False)
        assert jnp.isfinite(first.mean).all()
        both = first.merge(add(start, 5, True))
        loaded = xai.load(both.save(tmp_path / "both"))
        jax.jit(lambda summary: summary.mean_abs)(both)
    for summary in (both, loaded, add(first, 5, True)):
        for name in ("mean", "mean_abs"):
            with pytest.warns(UserWarning, match=r"different classes \(from class 3 to class 5\)"):
                getattr(summary, name)


def test_rows_that_fill_up_a_batch_count_for_nothing(values):
    valid = np.arange(1000) < 700
    start = AttributionSummary.init((PLAYERS,))
    found = start.update(attribution(values[:1000]), np.arange(1000), valid=valid)
    same(found, start.update(attribution(values[:700]), np.arange(700)), exact=False)
    nothing = start.update(attribution(values[:1000]), np.arange(1000), valid=np.zeros(1000, bool))
    same(nothing, start)
    assert np.isnan(nothing.mean).all()
    assert np.isnan(nothing.quantiles(0.5)).all()
    assert (nothing.top_examples()[0] == -1).all()


def test_means_of_a_million_rows_with_a_large_offset():
    generator = np.random.default_rng(2)
    numbers = (generator.normal(size=(1_000_000, 2)) + [1e4, -1e6]).astype(np.float32)
    wide = numbers.astype(np.float64)

    @jax.jit
    def one_pass(batches):
        def add(state, batch):
            return merge_moments(state, moments(batch, jnp.ones(batch.shape, bool))), None

        return jax.lax.scan(add, moments(batches[0], jnp.ones(batches[0].shape, bool)), batches[1:])[0]

    found = one_pass(jnp.asarray(numbers).reshape(2000, 500, 2))
    mean = np.asarray(found.mean.high, np.float64) + np.asarray(found.mean.low, np.float64)
    np.testing.assert_allclose(mean, wide.mean(axis=0), rtol=1e-11)
    np.testing.assert_allclose(found.variance(), wide.var(axis=0, ddof=1), rtol=1e-6)
    # What plain float32 makes of it, so that this test can fail.
    assert abs(np.add.accumulate(numbers[:, 1])[-1] / 1e6 / wide[:, 1].mean() - 1) > 1e-4


def test_maps_and_classes_are_summarized_in_their_shape(values):
    maps = np.nan_to_num(values[:60]).reshape(10, 3, 6)
    one = xai.scale.summarize(attribution(maps), top=2)
    np.testing.assert_allclose(one.mean_abs, np.abs(maps).mean(axis=0), rtol=1e-6)
    np.testing.assert_array_equal(one.top_examples()[0][0], np.abs(maps).argmax(axis=0))
    assert one.quantiles([0.1, 0.9]).shape == (2, 3, 6)
    assert one.histogram()[0].shape[:2] == (3, 6)


def test_files_hold_summaries_bit_for_bit(summary, values, tmp_path):
    path = summary.save(tmp_path / "summary")
    assert path == tmp_path / "summary.npz"
    loaded = xai.load(path)
    same(loaded, summary)
    one = attribution(values[:10])
    same(loaded.update(one, np.arange(10) + 9000), summary.update(one, np.arange(10) + 9000))
    with np.load(path, allow_pickle=False) as file:
        np.testing.assert_array_equal(file["0"], summary.num_examples)


def test_a_summary_that_its_header_does_not_describe_is_refused(summary, tmp_path):
    content = archive.read(summary.save(tmp_path / "summary"))
    archive.write(tmp_path / "other.npz", content.type, content.header | {"top": 4}, content.arrays)
    with pytest.raises(ValueError, match="its arrays are not those that its header describes"):
        xai.load(tmp_path / "other")


@pytest.mark.parametrize("batches", [[], iter([]), [attribution(np.ones((0, 2)))], attribution(np.ones((0, 2)))])
def test_summaries_of_nothing_are_refused(batches):
    with pytest.raises(ValueError, match="`attributions` must hold at least one example, got none"):
        xai.scale.summarize(batches)


def test_batches_without_examples_change_nothing(values):
    batches = [attribution(values[:0]), attribution(values[:9]), attribution(values[:0])]
    same(xai.scale.summarize(batches), xai.scale.summarize(attribution(values[:9])))


@pytest.mark.parametrize("batches", [None, 3, "text", [3], [None]])
def test_what_is_no_attribution_is_refused(batches):
    with pytest.raises(TypeError, match="`attributions` must be"):
        xai.scale.summarize(batches)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"bins": [0, 0, 1]}, ValueError, "at least two increasing numbers"),
        ({"relative_error": 0.7}, ValueError, "below 0.5"),
        ({"sizes": (1.0, 0.5)}, ValueError, "least below greatest"),
        ({"top": 0}, ValueError, "top.? must be at least 1"),
        ({"shape": (0,)}, ValueError, "shape.? must be at least 1"),
    ],
)
def test_options_out_of_range_are_refused(change, error, message):
    with pytest.raises(error, match=message):
        AttributionSummary.init(**({"shape": (2,)} | change))


def test_what_does_not_belong_together_is_refused(summary):
    one = attribution(np.ones((2, PLAYERS)))
    with pytest.raises(ValueError, match=r"values \[N, 3\], got the shape \[2, 4\]"):
        summary.update(attribution(np.ones((2, 4))), np.arange(2))
    with pytest.raises(TypeError, match="`ids` must be integers"):
        summary.update(one, None)
    for ids in ([0, 2**31], [-1, 0], np.array([0, 2**32 + 1], np.uint64)):
        with pytest.raises(ValueError, match="`ids` must (lie between 0 and 2147483647|fit)"):
            summary.update(one, np.array(ids))
    with pytest.raises(TypeError, match="without missing values, got a masked array"):
        summary.update(attribution(np.ones((2, PLAYERS))), np.ma.array([0, 1], mask=[False, True]))
    with pytest.raises(ValueError, match="`valid` must be booleans"):
        summary.update(one, np.arange(2), valid=np.ones(3, bool))
    with pytest.raises(ValueError, match="the same top, 5, to be merged, got 10"):
        summary.merge(AttributionSummary.init((PLAYERS,), bins=BINS))
    with pytest.raises(ValueError, match="at least one example, got none"):
        xai.scale.summarize([])
    with pytest.raises(ValueError, match="for every batch of attributions, got more"):
        xai.scale.summarize([one], ids=[np.arange(2), np.arange(2)])
    with pytest.raises(ValueError, match="numbers from 0 to 1"):
        summary.quantiles(2)
