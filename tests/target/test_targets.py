"""Targets: each is the number that its formula says, for every example its own, in gradients and in games alike."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests import models

LOGITS = np.array([[2.0, 1.0, 0.5, -1.0], [0.1, 0.4, 0.3, 3.0], [-2.0, -1.0, -1.5, -4.0]])


def identity(x):
    return x


def explained(target, outputs=LOGITS, model=identity):
    """The explained score, as the games of a model see it; the gradient paths are tested by the maps below."""
    outputs = jnp.asarray(outputs, jnp.float32)
    game = xai.game(model, outputs, xai.mask.baseline(jnp.zeros(outputs.shape[1:])), target=target)
    return np.asarray(xai.shap.permutation(game, num_permutations=1, key=jax.random.key(0)).output)


def probabilities(logits):
    return np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)


def test_the_probability_of_a_class_and_of_the_top_class():
    np.testing.assert_allclose(explained(xai.target.probability(2)), probabilities(LOGITS)[:, 2], rtol=1e-5)
    np.testing.assert_allclose(explained(xai.target.probability()), probabilities(LOGITS).max(axis=1), rtol=1e-5)
    each = explained(xai.target.probability(jnp.array([3, 0, 1])))
    np.testing.assert_allclose(each, probabilities(LOGITS)[[0, 1, 2], [3, 0, 1]], rtol=1e-5)


def test_finer_takes_the_nearest_classes_or_the_given_ones():
    top = LOGITS.max(axis=1)
    # Nearest to 2.0 are 1.0 and 0.5; to 3.0 are 0.4 and 0.3; to -1.0 are -1.5 and -2.0.
    expected = top - 0.5 * np.array([0.75, 0.35, -1.75])
    np.testing.assert_allclose(explained(xai.target.finer(num_similar=2, gamma=0.5)), expected, rtol=1e-5)
    against = explained(xai.target.finer(0, against=[3], gamma=1.0))
    np.testing.assert_allclose(against, LOGITS[:, 0] - LOGITS[:, 3], rtol=1e-5)
    each = explained(xai.target.finer(0, against=jnp.array([[1, 2], [3, 1], [2, 3]]), gamma=1.0))
    np.testing.assert_allclose(each, LOGITS[:, 0] - [0.75, 1.7, -2.75], rtol=1e-5)
    # By default three classes, as in the paper: all the others of four.
    others = LOGITS.sum(axis=1) - top
    np.testing.assert_allclose(explained(xai.target.finer()), top - 0.6 * others / 3, rtol=1e-5)


def test_the_similarity_is_the_cosine():
    wanted = np.array([1.0, 0.0, 2.0, 1.0])
    expected = LOGITS @ wanted / np.linalg.norm(LOGITS, axis=1) / np.linalg.norm(wanted)
    np.testing.assert_allclose(explained(xai.target.similarity(wanted)), expected, rtol=1e-5)
    np.testing.assert_allclose(explained(xai.target.similarity(LOGITS)), 1, rtol=1e-5)
    zero = xai.cam.grad_cam(
        lambda x: xai.tag(x, "a").mean(axis=(1, 2)), models.images() * 0, target=xai.target.similarity([1.0, 1.0])
    )
    assert (zero.values == 0).all()


def test_a_region_sums_or_averages_its_pixels():
    outputs = np.random.default_rng(0).normal(size=(2, 4, 3, 5))
    mask = np.zeros((4, 3))
    mask[1:3, 2] = 1
    both = np.stack([mask, 1 - mask])
    everywhere = xai.target.region(3)
    np.testing.assert_allclose(explained(everywhere, outputs), outputs[..., 3].sum(axis=(1, 2)), rtol=1e-4)
    summed = explained(xai.target.region(3, mask.astype(bool)), outputs)
    np.testing.assert_allclose(summed, (outputs[..., 3] * mask).sum(axis=(1, 2)), rtol=1e-4)
    mean = explained(xai.target.region(jnp.array([1, 4]), both, reduce="mean"), outputs)
    expected = [(outputs[n, ..., k] * both[n]).sum() / both[n].sum() for n, k in [(0, 1), (1, 4)]]
    np.testing.assert_allclose(mean, expected, rtol=1e-4)
    largest = explained(xai.target.region(), outputs)
    np.testing.assert_allclose(largest, outputs.sum(axis=(1, 2)).max(axis=1), rtol=1e-4)
    assert (explained(xai.target.region(0, np.zeros((4, 3)), reduce="mean"), outputs) == 0).all()


def test_a_box_finds_the_prediction_that_fits_it():
    predicted = np.array([[0.0, 0, 4, 4], [2, 2, 6, 6], [0, 0, 1, 1]])
    scores = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]])

    def detector(x):
        shift = x.mean(axis=1)[:, None, None]
        return {"boxes": predicted[None] + shift, "scores": jnp.broadcast_to(scores, (len(x), 3, 2)) + 0 * shift}

    # The box (0, 0, 4, 4) and (2, 2, 6, 6) share 4 of 28 positions.
    cases = [
        ([[0, 0, 4, 4]], [0], 0.9),
        ([[2, 2, 6, 6]], [1], 0.8),
        ([[2, 2, 6, 6]], [0], 0.2),
        ([[0, 0, 4, 4], [2, 2, 6, 6]], [0, 1], 1.7),
        ([[0, 0, 4, 4], [0, 0, 0, 0]], [0, 1], 0.9),  # no area, no box
        ([[0, 0, 4, 8]], [0], 0.9 / 2),
        ([[9, 9, 10, 10]], [0], 0.0),
    ]
    x = np.zeros((2, 3))
    for boxes, classes, expected in cases:
        np.testing.assert_allclose(explained(xai.target.box(boxes, classes), x, detector), expected, rtol=1e-5)
    # Boxes of each example, and their gradient: a shift of 0.1 takes 2 · 0.4 - 0.01 of 16 positions away on either side.
    each = xai.target.box(jnp.array([[[0.0, 0, 4, 4]], [[2.0, 2, 6, 6]]]), jnp.array([[0], [1]]))
    np.testing.assert_allclose(explained(each, x, detector), [0.9, 0.8], rtol=1e-5)
    shared = 3.9**2
    np.testing.assert_allclose(
        explained(each, x + 0.1, detector), np.array([0.9, 0.8]) * shared / (32 - shared), rtol=1e-4
    )
    assert xai.target.box([0.0, 0, 4, 4], 0) is not None


def test_targets_with_arrays_go_with_their_example_through_every_explainer():
    """What example i is asked does not depend on the batch it is in."""
    net, x = models.linen_net(), models.images()
    wanted = jax.random.normal(jax.random.key(1), (4, 3))
    explainers = {
        "grad_cam": lambda x, target: xai.cam.grad_cam(net, x, layer="conv", target=target),
        "score_cam": lambda x, target: xai.cam.score_cam(net, x, layer="conv", target=target),
        "shap": lambda x, target: xai.shap.exact(xai.game(net, x, xai.mask.grid((2, 2)), target=target)),
    }
    for name, explain in explainers.items():
        batched = explain(x, xai.target.similarity(wanted)).values
        for n in (0, 3):
            alone = explain(x[n : n + 1], xai.target.similarity(wanted[n])).values
            np.testing.assert_allclose(batched[n], alone[0], atol=1e-5, err_msg=name)


def test_targets_with_arrays_in_tabular_lime():
    net, x, wanted = models.table_net(), models.rows(4), jax.random.normal(jax.random.key(1), (4, 3))
    statistics, key = xai.lime.statistics(models.rows(50)), jax.random.key(2)

    def explain(x, target, ids):
        return xai.lime.tabular(net, x, statistics, key=key, target=target, num_samples=50, ids=ids).values

    batched = explain(x, xai.target.similarity(wanted), jnp.arange(4))
    alone = explain(x[2:3], xai.target.similarity(wanted[2]), jnp.array([2]))
    np.testing.assert_allclose(batched[2], alone[0], atol=1e-5)
    classes = explain(x, jnp.array([0, 1, 2, 1]), jnp.arange(4))
    np.testing.assert_allclose(classes[2], explain(x, 2, jnp.arange(4))[2], atol=1e-6)


def test_new_arrays_in_a_target_do_not_compile_again():
    traces = []

    def model(x):
        traces.append(None)
        return xai.tag(x, "a").mean(axis=(1, 2))

    for scale in (1.0, 2.0, 3.0):
        xai.cam.grad_cam(model, models.images(), target=xai.target.similarity([scale, 1.0]))
        xai.cam.grad_cam(model, models.images(), target=xai.target.finer(0, against=[1], gamma=scale))
        if scale == 1:
            first = len(traces)
    assert len(traces) == first


MISTAKES = {
    "a class that does not exist": (xai.target.probability(4), LOGITS, "from 0 to 3"),
    "a mask of another size": (
        xai.target.region(0, np.ones((3, 4))),
        np.zeros((2, 4, 3, 5)),
        r"`mask` must have shape \[4, 3\] or \[N, 4, 3\] with N = 2 here, got \[3, 4\]",
    ),
    "a region of a classifier": (
        xai.target.region(0),
        LOGITS,
        r"region needs a model that returns \[N, ..., K\] with pixels, got shape",
    ),
    "an embedding of another length": (
        xai.target.similarity(np.ones(5)),
        LOGITS,
        r"`embedding` must have shape \[4\] or",
    ),
    "boxes of a classifier": (
        xai.target.box([[0, 0, 1, 1]], [0]),
        LOGITS,
        r"box needs outputs \(boxes, scores\)",
    ),
    "more similar classes than there are": (
        xai.target.finer(num_similar=4),
        LOGITS,
        "`num_similar` must be less than the 4 classes, got 4",
    ),
    "against a class that does not exist": (
        xai.target.finer(0, against=[9]),
        LOGITS,
        "`against` must hold classes from 0 to 3, got 9",
    ),
    "a class in a string": (xai.target.probability("3"), LOGITS, "`target` must be an array of numbers, got '3'"),
    "a class beyond 32 bits": (xai.target.finer(2**40), LOGITS, "`target` must"),
    "a class beyond all integers": (xai.target.probability(10**400), LOGITS, "`target` must be"),
    "a class of a segmentation": (
        xai.target.probability(0),
        np.zeros((2, 3, 3, 4)),
        r"returns \[N, K\], got .* \[2, 3",
    ),
    "classes that are no integers": (
        xai.target.finer(0, against=[1.0]),
        LOGITS,
        "`against` must be integers, got float32",
    ),
    "a mask with NaN": (xai.target.region(0, [[np.nan]]), np.zeros((2, 1, 1, 5)), "`mask` must hold no NaN"),
    "a negative mask": (xai.target.region(0, [[-1.0]]), np.zeros((2, 1, 1, 5)), "weights of at least 0, got -1"),
    "a mask with missing values": (
        xai.target.region(0, np.ma.masked_equal([[1.0]], 1)),
        np.zeros((2, 1, 1, 5)),
        "`mask` must be an array without missing values",
    ),
    "a complex embedding": (xai.target.similarity(np.ones(4) * 1j), LOGITS, "`embedding` must be .* real numbers"),
    "boxes with NaN": (
        xai.target.box([[0, 0, 1, np.nan]], [0], read=lambda outputs: (outputs[..., :4], outputs)),
        np.zeros((2, 3, 5)),
        "`boxes` must hold no NaN",
    ),
    "an array for too few examples": (
        xai.target.each(lambda y, w: y @ w, jnp.ones((2, 4))),
        LOGITS,
        r"`arguments` must have one entry for each of the 3 examples, got shape \[2, 4\]",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_sentences(name):
    target, outputs, message = MISTAKES[name]
    with pytest.raises((TypeError, ValueError), match=message) as raised:
        explained(target, outputs)
    assert len(str(raised.value)) < 300


def traced(target, argument, outputs=LOGITS):
    """The explained scores where an argument of the target is traced."""
    outputs = jnp.asarray(outputs, jnp.float32)
    masker = xai.mask.baseline(jnp.zeros(outputs.shape[1:]))
    everything = jnp.ones((1, outputs[0].size), bool)
    return jax.jit(lambda argument: xai.game(identity, outputs, masker, target=target(argument))(everything))(argument)


SEGMENTATION = np.ones((2, 1, 2, 3))
WRONG_WHEN_TRACED = {
    "a class": (xai.target.probability, jnp.array([0, 4, -1]), LOGITS, [1, 0, 0]),
    "a class of finer": (lambda c: xai.target.finer(c, against=[0]), jnp.array([1, 4, -1]), LOGITS, [1, 0, 0]),
    "similar classes": (lambda d: xai.target.finer(0, against=d), jnp.array([[1], [9], [-1]]), LOGITS, [1, 0, 0]),
    "a region": (lambda m: xai.target.region(0, m), jnp.array([[[1, 2.0]], [[1, -1]]]), SEGMENTATION, [1, 0]),
    "the class of a box": (
        lambda c: xai.target.box(
            [[0, 0, 1, 1]], c, read=lambda y: (jnp.ones((*y.shape[:-1], 4)) * jnp.arange(4) // 2, y)
        ),
        jnp.array([[0], [3]]),
        np.ones((2, 2, 3)),
        [1, 0],
    ),
}


@pytest.mark.parametrize("name", WRONG_WHEN_TRACED)
def test_traced_arguments_out_of_range_give_nan_for_their_example(name):
    target, argument, outputs, known = WRONG_WHEN_TRACED[name]
    np.testing.assert_array_equal(np.isfinite(traced(target, argument, outputs)[:, 0]), np.array(known, bool))


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_the_similarity_does_not_depend_on_the_scale(scale):
    wanted = scale * np.array([1.0, 0.0, 2.0, 1.0])
    np.testing.assert_allclose(
        explained(xai.target.similarity(wanted), scale * LOGITS),
        explained(xai.target.similarity([1, 0, 2, 1])),
        rtol=1e-5,
    )


def test_mistakes_at_the_door():
    with pytest.raises(
        ValueError, match=r"probability needs a model that returns \[N, K\], got outputs of shape \[3\]"
    ):
        explained(xai.target.probability(0), LOGITS, lambda x: x[:, 0])
    with pytest.raises(ValueError, match="reduce.? must be one of"):
        xai.target.region(0, reduce="max")
    with pytest.raises(TypeError, match="`score` must be callable"):
        xai.target.each(3)
    with pytest.raises(ValueError, match="gamma.? must be finite and zero or more"):
        xai.target.finer(gamma=-1)


STRICT_TARGETS = {
    "probability": (xai.target.probability(1), LOGITS),
    "finer": (xai.target.finer(), LOGITS),
    "finer, against": (xai.target.finer(0, against=[1]), LOGITS),
    "similarity": (xai.target.similarity([1, 2, 3, 4]), LOGITS),
    "region": (xai.target.region(0, np.ones((4, 3), bool), reduce="mean"), np.zeros((2, 4, 3, 5))),
    "box": (
        xai.target.box([[0, 0, 1, 1]], [0], read=lambda y: (y[..., :4], y)),
        np.zeros((2, 3, 5)),
    ),
}


@pytest.mark.parametrize("dtype", [np.float32, jnp.bfloat16])
@pytest.mark.parametrize("setting", ["ranks", "dtypes"])
@pytest.mark.parametrize("name", STRICT_TARGETS)
def test_targets_promote_nothing_implicitly(name, setting, dtype):
    target, outputs = STRICT_TARGETS[name]
    outputs = jnp.asarray(outputs, dtype)
    strict = jax.numpy_rank_promotion("raise") if setting == "ranks" else jax.numpy_dtype_promotion("strict")
    with strict:
        scores = jax.eval_shape(target.bind(outputs, len(outputs)).select, outputs)
    assert (scores.shape, scores.dtype) == ((len(outputs),), jnp.float32)
