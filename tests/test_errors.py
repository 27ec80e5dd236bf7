"""Bad input: one sentence that names the argument, what it got and what it takes. Never a plausible number."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests import models

KEY = jax.random.key(0)
NAN = float("nan")


def table(**options):
    """shap.values of the table model, with one argument replaced."""
    arguments = {
        "model": models.table_net(),
        "x": models.rows(3),
        "masker": xai.mask.background(models.rows(5)),
        "key": KEY,
        **options,
    }
    return xai.shap.values(**arguments)


def permutations(count):
    game = xai.game(models.table_net(), models.rows(3), xai.mask.background(models.rows(5)))
    return xai.shap.permutation(game, num_permutations=count, key=KEY)


def lime(**options):
    arguments = {"training_statistics": xai.lime.statistics(models.rows(9)), "key": KEY, **options}
    return xai.lime.tabular(models.table_net(), arguments.pop("x", models.rows(3)), **arguments)


def cam(**options):
    return xai.cam.grad_cam(**{"model": models.linen_net(), "x": models.images(), **options})


def maps(name, **options):
    return getattr(xai.cam, name)(models.linen_net(), models.images(), **options)


MISTAKES = {
    "wrong rank": (lambda: table(x=models.rows(3)[0]), r"`x` must have the shape \[N, 12\].*got \[12\]"),
    "another number of features": (lambda: table(x=models.rows(3, 5)), r"`x` must.*\[N, 12\].*got \[3, 5\]"),
    "no examples": (lambda: table(x=models.rows(3)[:0]), "`x` must hold at least one example"),
    "x is text": (lambda: table(x="text"), "x.? must be an array of numbers, got 'text'"),
    "empty background": (lambda: xai.mask.background(jnp.zeros((0, 4))), "`rows` must hold at least one row"),
    "background of one row": (
        lambda: xai.mask.background(jnp.zeros(4)),
        r"`rows` must have shape.*xai\.mask\.baseline",
    ),
    "NaN in the background": (lambda: xai.mask.background([[1.0, NAN]]), "rows` must hold no NaN"),
    "NaN in x": (lambda: table(x=models.rows(3).at[1, 2].set(NAN)), r"`x` must hold no NaN, got NaN in rows \[1\]"),
    "NaN in an image": (lambda: cam(x=models.images().at[2].set(NAN)), r"`x` must hold no NaN, got NaN in rows \[2\]"),
    "target too large": (lambda: table(target=1005), "`target` must be from 0 to 2.*3 outputs, got 1005"),
    "target negative": (lambda: cam(target=-1), "`target` must be from 0 to 2.*got -1"),
    "target of one output": (
        lambda: table(model=lambda x: x[:, 0], target=1),
        "`target` must be from 0 to 0.*1 output, got 1",
    ),
    "one target too few": (
        lambda: cam(target=[0, 1]),
        r"`target` must.*one for each of the 4 examples, got shape \[2\]",
    ),
    "a target that is no int": (lambda: cam(target=1.5), "`target` must be an int, .*got 1.5"),
    "a target that keeps no rows": (
        lambda: cam(target=lambda y: y.sum()),
        r"one number each, shape \(4,\).*shape \(\)",
    ),
    "target 'al'": (
        lambda: table(target="al"),
        r"`target` must be .*\"all\" or None, got 'al' \(did you mean 'all'",
    ),
    "all targets of several layers": (
        lambda: maps("fuse", layers=["conv", "norm"], target="all"),
        "`target` must be an int.*got 'all'",
    ),
    "one layer to fuse": (lambda: maps("fuse", layers=["conv"]), "`layers` must be two or more paths of layers"),
    "a name to fuse": (lambda: maps("fuse", layers="conv"), "`layers` must be two or more paths of layers"),
    "an unknown way to fuse": (lambda: maps("fuse", layers=["conv", "norm"], how="sum"), "how.? must be one of.*'sum'"),
    "several maps that share nothing": (
        lambda: maps("several", maps=[xai.cam.score_cam]),
        r"`maps\[0\]` must be a one-pass map such as xai\.cam\.grad_cam, got the function score_cam",
    ),
    "an unknown option of a map": (
        lambda: maps("fem", deviation=1),
        r"fem\(\) has no option 'deviation' \(did you mean 'deviations'",
    ),
    "a kernel that is none": (lambda: maps("kpca_cam", kernel="poly"), "kernel.? must be one of.*'poly'"),
    "a grid that does not fit": (
        lambda: maps("grad_cam", layer="conv", grid=(4, 4)),
        r"`grid` must fit the spatial axes \[8, 8\] of layer 'conv', got \[4, 4\]",
    ),
    "a grid with more places than tokens": (
        lambda: xai.cam.grad_cam(models.vision_transformer(), models.images(), layer="norms/1", grid=(5, 4)),
        r"`grid` must have at most the 17 positions of layer 'norms/1', got \[5, 4\]",
    ),
    "a size with too many sides": (lambda: maps("grad_cam", upsample=(4, 4, 4)), "`upsample` must have 2 sides"),
    "a baseline of another size": (
        lambda: maps("score_cam", baseline=jnp.ones(5)),
        "`baseline` must be a number or an array",
    ),
    "more groups than channels": (
        lambda: maps("group_cam"),
        "`num_groups` must be at most the number of channels, 4, got 32",
    ),
    "a quantile of one": (lambda: maps("group_cam", num_groups=2, quantile=1.0), "`quantile` must be below 1"),
    "no steps": (lambda: maps("opti_cam", num_steps=0), "num_steps` must be at least 1, got 0"),
    "a negative spread": (lambda: maps("ss_cam", key=KEY, sigma=-1.0), "sigma.? must be finite and zero or more"),
    "a seed for a key in a map": (lambda: maps("smooth_grad_cam_plus_plus", key=3), "key.? must be one JAX random key"),
    "groups of too few channels": (
        lambda: maps("channel_game", groups=jnp.array([0, 1])),
        r"`groups` must be ints \[4\]",
    ),
    "groups of channels with a gap": (
        lambda: maps("channel_game", groups=jnp.array([0, 2, 2, 0])),
        "without gaps, got no channels for players \\[1\\]",
    ),
    "values of other games": (
        lambda: xai.cam.channel_map(maps("channel_game"), table()),
        r"values \[4, 4\] for these games, got \[3, 12\]",
    ),
    "complex outputs": (
        lambda: table(model=lambda x: x * 1j),
        "`target` must be a callable that returns real numbers.*complex64",
    ),
    "complex outputs and a class": (
        lambda: cam(model=lambda x: xai.tag(x, "a").mean((1, 2)) * 1j, layer="a", target=1),
        "`target` must be a callable that returns real numbers.*got 1",
    ),
    "a complex score": (
        lambda: table(model=lambda x: x * 1j, target=lambda y: y[:, 0]),
        "`target` must return real numbers, got complex64",
    ),
    "a complex game": (
        lambda: xai.shap.exact(xai.Game(lambda z: z.sum(axis=1) * 1j, 3)),
        "`value` must return real numbers, got complex64",
    ),
    "a model that drops rows": (
        lambda: table(model=lambda x: x[:2]),
        r"each of the 3 examples.*(returned|got) shape \(2, 12\)",
    ),
    "a model that returns a scalar": (
        lambda: table(model=lambda x: x.sum()),
        r"(returned|got) shape \(\).*jax\.vmap\(model\)",
    ),
    "a model of segments without target": (
        lambda: cam(model=lambda x: xai.tag(x, "a")),
        r"`target` must be a callable.*outputs of shape \(4, 8, 8, 2\)",
    ),
    "a model that is no function": (lambda: table(model=3), "`model` must be callable.*got 3"),
    "a masker that is an array": (lambda: table(masker=models.rows(5)), r"`masker` must come from xai\.mask"),
    "no permutations": (
        lambda: permutations(0),
        "num_permutations` must be at least 1, got 0",
    ),
    "half a permutation": (lambda: permutations(0.5), "num_permutations` must be an int of at least 1"),
    "batch size zero": (lambda: table(batch_size=0), "batch_size` must be at least 1, got 0"),
    "a key that is a number": (
        lambda: table(key=0),
        r"key.? must be one JAX random key, such as jax\.random\.key\(0\)",
    ),
    "ids of another length": (lambda: table(ids=jnp.arange(2)), r"`ids` must be integers \[3\].*int32\[2\]"),
    "one sample": (lambda: lime(num_samples=1), "num_samples` must be at least 2, got 1"),
    "a kernel of no width": (lambda: lime(kernel_width=0.0), "kernel_width.? must be finite and above zero"),
    "a negative ridge": (lambda: lime(ridge=-1.0), "ridge` must be finite and above zero, got -1"),
    "features unlike the statistics": (lambda: lime(x=models.rows(3, 4)), r"`?x`? must have shape \[N, 12\]"),
    "rows for statistics": (lambda: lime(training_statistics=models.rows(9)), r"xai\.lime\.statistics"),
    "statistics of one row": (lambda: xai.lime.statistics(models.rows(1)), "at least 2 rows"),
    "an unknown distance": (
        lambda: xai.lime.fit(xai.Game(lambda z: z.sum(axis=1), 3), key=KEY, distance="cosin"),
        "distance.? must be one of .*did you mean 'cosine'",
    ),
    "a game of no players": (lambda: xai.Game(len, 0), "num_players.? must be at least 1"),
    "a game that keeps no rows": (
        lambda: xai.shap.exact(xai.Game(lambda z: z.sum(), 3)),
        r"`value` must map coalitions\[S, 3\].*got shape \[\]",
    ),
    "a model for a game": (lambda: xai.shap.exact(models.table_net()), r"`game` must be xai\.game"),
    "regions with gaps": (lambda: xai.mask.regions([[0, 2]]), r"0\.\.M-1 without gaps.*without \[1\]: renumber"),
    "regions of floats": (lambda: xai.mask.regions([[0.0, 1.0]]), "`labels` must be integers"),
    "regions of another size": (
        lambda: xai.lime.image(models.linen_net(), models.images(), [[0, 1]], key=KEY),
        r"`labels` must have the shape of one image, \[8, 8\].*got \[1, 2\]",
    ),
    "a fill of another size": (
        lambda: xai.lime.image(models.linen_net(), models.images(), key=KEY, fill=np.zeros(5)),
        r"`fill` must be .*got shape \[5\]",
    ),
    "a fill of an unknown name": (lambda: xai.mask.grid(4, fill="men"), "fill.? must be one of.*did you mean 'mean'"),
    "text that is no ids": (
        lambda: xai.lime.text(models.text_net(), jnp.ones((2, 3)), key=KEY, mask_id=1),
        r"`x` must be token ids, integers.*got float32\[2, 3\]",
    ),
    "groups with a gap": (lambda: xai.mask.background(models.rows(2, 3), groups=[0, 2, 2]), "without gaps"),
    "groups of another shape": (lambda: xai.mask.background(models.rows(2, 3), groups=[0, 1]), "shape of one row"),
    "two examples and three": (lambda: cam(x={"a": jnp.ones((2, 3)), "b": jnp.ones((3, 3))}), "share one leading"),
}


@pytest.mark.parametrize(("mistake", "sentence"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_answered_with_a_sentence(mistake, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        mistake()


@pytest.mark.parametrize(
    "explain",
    [
        lambda x, t: xai.cam.grad_cam(models.linen_net(), x, target=t).values,
        lambda x, t: xai.cam.cam(models.linen_net(), x, target=t).values,
        lambda x, t: xai.cam.cam(models.linen_net(), x, target=t, head="head").values,
        lambda x, t: xai.lime.image(models.linen_net(), x, target=t, key=KEY, num_samples=90).values,
        lambda x, t: xai.shap.exact(xai.game(models.linen_net(), x, xai.mask.grid(2), target=t)).values,
    ],
    ids=["grad_cam", "cam", "cam by path", "lime.image", "shap.exact"],
)
def test_under_jit_a_wrong_target_or_nan_gives_nan_for_that_example_alone(explain):
    x = models.images().at[3, 0, 0, 0].set(NAN)
    values = jax.jit(explain)(x, jnp.array([0, 3, -1, 1]))
    bad = jnp.isnan(values).reshape(4, -1)
    np.testing.assert_array_equal(bad.all(axis=1), [False, True, True, True])
    np.testing.assert_array_equal(bad.any(axis=1), [False, True, True, True])
    np.testing.assert_allclose(values[0], explain(models.images()[:1], 0)[0], atol=1e-5)


def test_a_known_target_out_of_range_is_an_error_under_jit_too():
    with pytest.raises(ValueError, match="`target` must be from 0 to 2"):
        jax.jit(lambda x: xai.cam.grad_cam(models.linen_net(), x, target=7).values)(models.images())
