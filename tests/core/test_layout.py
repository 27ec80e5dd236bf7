"""The grid of tokens: read from the model's own reshapes, and from nothing else."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import xaijax as xai
from tests.selection import usual
from xaijax._core.layout import Axis, Factor, LayoutRule, _regrouped
from xaijax._core.tap import tap
from xaijax._model import as_model

KEY = jax.random.key(0)


def normal(*shape):
    return jax.random.normal(jax.random.key(sum(shape)), shape)


def conv(x, channels, size, layout="NHWC"):
    """Patches of this size, as a convolution makes them."""
    kernel = normal(*size, x.shape[layout.index("C")], channels)
    return jax.lax.conv_general_dilated(x, kernel, size, "VALID", dimension_numbers=(layout, "HWIO", layout))


def attend(queries, keys):
    """[N, T, C] and [N, S, C] to [N, T, C]."""
    weights = jax.nn.softmax(jnp.einsum("ntc,nsc->nts", queries, keys) / 4)
    return jnp.einsum("nts,nsc->ntc", weights, keys)


def conv_gru(x):
    """Steps of a recurrent network: the columns of a feature map, all rows of a column in one step."""
    columns = conv(x, 4, (4, 8)).swapaxes(1, 2)
    steps = columns.reshape(*columns.shape[:2], -1)
    rnn = nnx.RNN(nnx.GRUCell(steps.shape[-1], 8, rngs=nnx.Rngs(0)), rngs=nnx.Rngs(0))
    return xai.tag(rnn(steps), "tokens")


def conv_gru_of_one_row(x):
    return xai.tag(conv(x, 4, (32, 8)).reshape(len(x), 16, 4), "tokens")


def detector(x):
    """100 learned queries that attend to a feature map of 10 x 10."""
    memory = xai.tag(conv(x, 8, (4, 4)).reshape(len(x), 100, 8) + normal(1, 100, 8), "memory")
    queries = jnp.broadcast_to(normal(100, 8), (len(x), 100, 8))
    return xai.tag(queries + attend(queries, memory + attend(memory, memory)), "tokens")


def frames(x):
    """64 frames of a spectrogram, embedded one by one."""
    hidden = jnp.tanh(x[..., 0] @ normal(24, 8))
    return xai.tag(hidden + attend(hidden, hidden), "tokens")


def patches_by_reshape(x):
    n, h, w, c = x.shape
    patches = x.reshape(n, h // 4, 4, w // 8, 8, c).transpose(0, 1, 3, 2, 4, 5).reshape(n, h * w // 32, 32 * c)
    return xai.tag(nnx.gelu(patches @ normal(32 * c, 8)), "tokens")


def tokens_around(x):
    """A class and a register token before the patches, a distillation token after them; then the registers removed."""
    patches = conv(x, 8, (4, 4)).reshape(len(x), -1, 8)
    before, after = (jnp.broadcast_to(normal(count, 8), (len(x), count, 8)) for count in (3, 1))
    hidden = jnp.concatenate([before, patches, after], axis=1)
    hidden = hidden + attend(hidden, hidden)
    return xai.tag(jnp.concatenate([hidden[:, :1], hidden[:, 3:]], axis=1), "tokens")


def windows(x):
    """Swin: tokens to windows and back, with a cyclic shift, and patches merged two by two."""
    n, h, w, _ = x.shape
    grid = jnp.roll(conv(x, 8, (1, 1)), (-2, -2), axis=(1, 2))
    inside = grid.reshape(n, h // 4, 4, w // 4, 4, 8).transpose(0, 1, 3, 2, 4, 5).reshape(-1, 16, 8)
    inside = inside + attend(inside, inside)
    back = inside.reshape(n, h // 4, w // 4, 4, 4, 8).transpose(0, 1, 3, 2, 4, 5).reshape(n, h * w, 8)
    halves = back.reshape(n, h // 2, 2, w // 2, 2, 8).transpose(0, 1, 3, 2, 4, 5).reshape(n, h * w // 4, 32)
    return xai.tag(halves @ normal(32, 8), "tokens")


def scanned_blocks(x):
    hidden = conv(x, 8, (4, 4)).reshape(len(x), -1, 8)
    hidden, _ = jax.lax.scan(lambda hidden, mix: (hidden + attend(hidden, hidden) @ mix, None), hidden, normal(2, 8, 8))
    return xai.tag(hidden, "tokens")


@jax.custom_vjp
def fused(queries, keys):
    return attend(queries, keys)


fused.defvjp(lambda queries, keys: (attend(queries, keys), None), lambda _, change: (change, change))


def queries_of_fused_attention(x):
    memory = conv(x, 8, (4, 4)).reshape(len(x), 100, 8)
    return xai.tag(fused(jnp.broadcast_to(normal(100, 8), memory.shape), memory), "tokens")


def shuffled(x):
    return xai.tag(conv(x, 8, (4, 4)).reshape(len(x), -1, 8)[:, jnp.arange(99, -1, -1)], "tokens")


def columns_before_rows(x):
    return xai.tag(conv(x, 8, (4, 4)).swapaxes(1, 2).reshape(len(x), -1, 8), "tokens")


class Mixer(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.Conv(6, (2, 4), strides=(2, 4))(x).reshape(len(x), -1, 6)
        mixed = nn.Dense(x.shape[1])(jnp.swapaxes(nn.LayerNorm()(x), 1, 2))
        return xai.tag(x + nn.gelu(jnp.swapaxes(mixed, 1, 2)), "tokens")


def mixer(x):
    return Mixer().init_with_output(KEY, x)[0]


SHAPES = {
    "columns of a recurrent network": (conv_gru, (1, 32, 128, 1), (1, 16)),
    "one row of columns": (conv_gru_of_one_row, (1, 32, 128, 1), (1, 16)),
    "queries of a detector": (detector, (2, 40, 40, 3), (2, 100)),
    "frames of a spectrogram": (frames, (2, 64, 24, 1), (2, 64)),
    "patches by reshape": (patches_by_reshape, (2, 16, 16, 3), (2, 4, 2)),
    "tokens before and after": (tokens_around, (2, 16, 24, 3), (2, 4, 6)),
    "windows": (windows, (2, 8, 16, 3), (2, 4, 8)),
    "blocks in a scan": (scanned_blocks, (2, 8, 12, 3), (2, 2, 3)),
    "queries of attention with its own derivative": (queries_of_fused_attention, (2, 40, 40, 3), (2, 100)),
    "shuffled patches": (shuffled, (2, 40, 40, 3), (2, 100)),
    "a mixer": (mixer, (2, 8, 12, 3), (2, 4, 3)),
    "columns before rows": (columns_before_rows, (2, 16, 24, 3), (2, 4, 6)),
}


OFTEN = (
    "columns of a recurrent network",
    "patches by reshape",
    "tokens before and after",
    "windows",
    "blocks in a scan",
)


@pytest.mark.parametrize("name", usual(SHAPES, *OFTEN, "queries of attention with its own derivative"))
def test_the_map_has_the_axes_that_the_model_shows(name):
    tokens, shape, expected = SHAPES[name]
    model = xai.function(lambda x: tokens(x).mean(axis=1))
    attribution = xai.cam.hires_cam(model, normal(*shape), layer="tokens", target=0)
    assert attribution.values.shape == expected
    assert attribution.axes == {2: "N t", 3: "N h w"}[len(expected)]


def test_tokens_around_the_grid_are_kept_and_left_out_of_the_map():
    x = normal(2, 16, 24, 3)
    model = xai.function(lambda x: (tokens_around(x) ** 2).sum(axis=1))
    activations, *_ = tap(as_model(model), x, "tokens")
    squares = 2 * activations[:, 1:-1, 0] ** 2
    values = xai.cam.hires_cam(model, x, layer="tokens", target=0).values
    np.testing.assert_allclose(values, squares.reshape(2, 4, 6), rtol=1e-5)


@pytest.mark.parametrize("explain", [xai.cam.hires_cam, xai.cam.ablation_cam])
@pytest.mark.parametrize("tokens", [False, True])
def test_maps_have_the_order_of_the_input_where_a_model_swaps_rows_and_columns(explain, tokens):
    """The map of columns before rows was stretched over the image as it was, with rows for columns."""

    def net(x, swap):
        hidden = jnp.tanh(conv(x, 8, (4, 4)))
        hidden = nn.max_pool(hidden, (2, 2), (1, 1))
        hidden = hidden.swapaxes(1, 2) if swap else hidden
        hidden = hidden.reshape(len(x), -1, 8) if tokens else hidden
        hidden = xai.tag(hidden, "layer") ** 2
        hidden = hidden.reshape(len(x), *((5, 3) if swap else (3, 5)), 8)
        return ((hidden.swapaxes(1, 2) if swap else hidden) * normal(3, 5, 1)).sum(axis=(1, 2))

    x = normal(2, 16, 24, 3)
    swapped, plain = (
        explain(lambda x, swap=swap: net(x, swap), x, layer="layer", target=0, upsample=True, relu=False).values
        for swap in (True, False)
    )
    assert swapped.shape == (2, 16, 24)
    np.testing.assert_allclose(swapped, plain, atol=1e-5)


def test_memory_of_the_detector_has_its_grid():
    model = xai.function(lambda x: detector(x).mean(axis=1))
    assert xai.cam.hires_cam(model, normal(2, 40, 40, 3), layer="memory", target=0).values.shape == (2, 10, 10)


def test_a_value_knows_the_inputs_that_it_depends_on():
    def net(x):
        seen = xai.tag(jnp.tanh(x["image"]) * x["gate"][:, None, None], "seen")
        depth = xai.tag(x["depth"].mean(axis=-1, keepdims=True), "depth")
        return seen.mean(axis=(1, 2)) + depth.mean(axis=(1, 2))

    x = {"depth": normal(2, 8, 8, 1), "gate": normal(2, 3), "image": normal(2, 64, 48, 3)}
    model = as_model(net)
    assert tap(model, x, "seen").layout.inputs == {1, 2}
    assert tap(model, x, "depth").layout.inputs == {0}


def test_axes_are_regrouped_by_their_factors():
    a, b = Axis((Factor(1, 8),)), Axis((Factor(2, 6),))
    assert _regrouped([a, b], [8, 6], [48]) == [Axis((Factor(1, 8), Factor(2, 6)))]
    assert _regrouped([a, b], [8, 6], [2, 4, 3, 2]) == [
        Axis((Factor(1, 2),)),
        Axis((Factor(1, 4),)),
        Axis((Factor(2, 3),)),
        Axis((Factor(2, 2),)),
    ]
    assert _regrouped([a, b], [8, 6], [3, 16]) is None  # 3 does not divide 8
    assert Axis((Factor(1, 2), Factor(1, 4), Factor(2, 6))).sides == (8, 6)
    assert Axis((Factor(1, 2), Factor(2, 6), Factor(1, 4))).sides == ()  # interleaved: no grid
    assert LayoutRule().axis(1) == Axis(())
