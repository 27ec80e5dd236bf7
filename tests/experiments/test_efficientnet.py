"""EfficientNet-Lite0: both Flax modules are the network of the file, and broken or dangerous files are refused."""

import os
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import xaijax as xai
from experiments._efficientnet import (
    class_names,
    load_efficientnet,
    load_linen_efficientnet,
    read_photographs,
    weights_of_wheel,
)
from xaijax._demonstration import weights
from xaijax._demonstration.weights import read_weights

# The classes of the photographs, by their names in ImageNet.
CLASSES = {
    "cat": (282, "tiger cat"),
    "espresso": (967, "espresso"),
    "moped": (665, "moped"),
    "palace": (698, "palace"),
    "daisy": (985, "daisy"),
    "missile": (657, "missile"),
}


def plain_logits(w, x):
    """Computes the network from the arrays of the file, with nothing of Flax: Tan and Le (2019), without excitation."""

    def conv_norm(x, conv, norm, stride=1, groups=1):
        kernel = jnp.transpose(w[conv + ".weight"], (2, 3, 1, 0))
        x = lax.conv_general_dilated(
            x, kernel, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=groups
        )
        scale = w[norm + ".weight"] / jnp.sqrt(w[norm + ".running_var"] + 1e-3)
        return (x - w[norm + ".running_mean"]) * scale + w[norm + ".bias"]

    def relu6(x):
        return jnp.clip(x, 0, 6)

    x = relu6(conv_norm(x, "_conv_stem", "_bn0", stride=2))
    strides = {1: 2, 3: 2, 5: 2, 11: 2}  # of the first blocks of the stages
    for number in range(16):
        name, y = f"_blocks.{number}.", x
        if number:
            y = relu6(conv_norm(y, name + "_expand_conv", name + "_bn0"))
        stride = strides.get(number, 1)
        y = relu6(conv_norm(y, name + "_depthwise_conv", name + "_bn1", stride, groups=y.shape[-1]))
        y = conv_norm(y, name + "_project_conv", name + "_bn2")
        x = x + y if x.shape == y.shape else y
    x = relu6(conv_norm(x, "_conv_head", "_bn1"))
    return x.mean(axis=(1, 2)) @ w["_fc.weight"].T + w["_fc.bias"]


@pytest.fixture(scope="module")
def photographs():
    return read_photographs()


@pytest.fixture(scope="module")
def network():
    return load_efficientnet()


@pytest.fixture(scope="module")
def logits(network, photographs):
    return xai.fast(network)(np.stack(list(photographs.values())))


def test_both_modules_compute_the_logits_of_the_file(logits, photographs):
    x = np.stack(list(photographs.values()))
    expected = jax.jit(plain_logits)(read_weights(weights_of_wheel()), x)
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    np.testing.assert_allclose(xai.fast(load_linen_efficientnet())(x), expected, atol=1e-4)


def test_real_photographs_are_classified_right(logits, photographs):
    names = class_names()
    top = {name: int(number) for name, number in zip(photographs, logits.argmax(axis=1), strict=True)}
    assert {name: (number, names[number]) for name, number in top.items()} == CLASSES


def test_the_mean_of_cam_and_the_bias_are_the_logit(network, photographs, logits):
    x = np.stack(list(photographs.values()))
    cam = xai.cam.cam(network, x, head="head")
    assert cam.values.shape == (6, 7, 7)
    np.testing.assert_allclose(cam.values.mean(axis=(1, 2)) + cam.base_value, logits.max(axis=1), atol=1e-4)


def test_files_that_are_cut_short_are_refused(tmp_path):
    content = weights_of_wheel().read_bytes()
    for length in (0, 10, 40, 3000, len(content) // 2, len(content) - 1):
        (tmp_path / "cut.pth").write_bytes(content[:length])
        with pytest.raises(
            ValueError, match=r"^`path` must be a whole file of weights .* got cut\.pth \(.*\): install"
        ):
            read_weights(tmp_path / "cut.pth")


class Dangerous:
    """Makes a folder when it is read by pickle."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize("position", range(5))
def test_nothing_in_a_file_is_executed(tmp_path, position):
    parts = [weights._MAGIC, 1001, {}, {}, []]
    parts[position] = {"weight": Dangerous(tmp_path / "made")}
    (tmp_path / "weights.pth").write_bytes(b"".join(pickle.dumps(part, protocol=2) for part in parts))
    with pytest.raises(ValueError, match=r"^`path` must be a file of tensors alone, got weights\.pth with \w+\.mkdir"):
        read_weights(tmp_path / "weights.pth")
    assert not (tmp_path / "made").exists()
    with (tmp_path / "weights.pth").open("rb") as file:  # pickle itself executes it
        for _ in range(position + 1):
            pickle.load(file)
    assert (tmp_path / "made").exists()


def test_another_file_is_refused(tmp_path):
    (tmp_path / "weights.pth").write_bytes(pickle.dumps({"weight": 1.0}))
    with pytest.raises(ValueError, match="must be a whole file of weights that torch saved before version 1.6"):
        read_weights(tmp_path / "weights.pth")


@pytest.mark.parametrize(
    ("offset", "shape", "strides"), [(5, (4,), (1,)), (0, (2, 3), (6, 1)), (-1, (4,), (1,)), (7, (4,), (-1,))]
)
def test_tensors_that_reach_beyond_their_storage_are_refused(offset, shape, strides):
    storage = weights._Storage(np.dtype("<f4"), "0", 8)
    with pytest.raises(ValueError, match="reaches beyond its storage"):
        weights._array(weights._Tensor(storage, offset, shape, strides), np.zeros(8, np.float32))
