"""Checks at the door: each refuses in one sentence that names the argument, and lets through what fits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from xaijax._core import check

REFUSED = {
    "an int of 400 digits": (
        lambda: check.positive_int("size", 10**400),
        "`size` must be at most 2147483647, got an int",
    ),
    "an int beyond 32 bits": (lambda: check.positive_int("size", 2**31), "`size` must be at most 2147483647"),
    "a number of 400 digits": (lambda: check.positive_float("width", 10**400), "`width` must be finite and above zero"),
    "a bool for a number": (lambda: check.positive_float("width", True), "`width` must be a number.*got True"),
    "text for a flag": (lambda: check.flag("relu", "no"), "`relu` must be True or False, got 'no'"),
    "a number for a flag": (lambda: check.flag("relu", 1), "`relu` must be True or False, got 1"),
    "a list for a name": (
        lambda: check.one_of("how", ["sum"], ["sum", "max"]),
        r"`how` must be one of .*got \['sum'\]",
    ),
    "complex numbers": (
        lambda: check.numeric_array("x", [1j]),
        r"`x` must be an array of real numbers, got complex64\[1\]",
    ),
    "text": (lambda: check.numeric_array("x", ["a", "b"]), "`x` must be an array of numbers, got "),
    "a dict": (
        lambda: check.numeric_array("x", {"a": np.ones((3, 4), np.float32)}),
        r"^`x` must be one array, got a dict of 'a': float32\[3, 4\]: pass x\['a'\]\.$",
    ),
    "a dict for inputs on the host": (
        lambda: check.host_array("inputs", {3: np.ones(2), "b": np.ones((1, 9, 9))}),
        r"^`inputs` must be one array, got a dict of 3: float64\[2\], 'b': float64\[1, 9, 9\]: pass one of them, such as "
        r"inputs\[3\]\.$",
    ),
    "several inputs": (
        lambda: check.numeric_array("x", {name: jnp.ones((2, 9)) for name in "abcdef"}),
        r"'d': float32\[2, 9\] and 2 more: pass one of them, such as x\['a'\], or explain all of them by xai.shap.values with",
    ),
    "an empty dict": (lambda: check.numeric_array("x", {}), r"^`x` must be one array, got {}\.$"),
    "a list of a dict": (
        lambda: check.numeric_array("x", [{"a": np.ones((2, 2))}]),
        r"got a list of a dict of 'a': float64\[2, 2\]\.$",
    ),
    "objects": (
        lambda: check.numeric_array("x", np.array([{}, None])),
        r"`x` must be an array of numbers, got object\[2\]",
    ),
    "ragged rows": (lambda: check.numeric_array("x", [[1, 2], [3]]), "`x` must be an array of numbers"),
    "masked values": (
        lambda: check.numeric_array("x", np.ma.masked_array([1.0, 2.0], [True, False])),
        "`x` must be an array without missing values",
    ),
    "ints that would wrap": (
        lambda: check.numeric_array("x", np.array([2**32])),
        "`x` must fit int32, got values from 429",
    ),
    "floats that would be inf": (lambda: check.numeric_array("x", np.array([1e300])), "`x` must fit float32"),
    "ids that would wrap": (
        lambda: check.example_ids(np.arange(4) + 2**32, 4),
        "`ids` must fit 32 bits, got 4294967296 to 4294967299: number the examples",
    ),
    "ids of both signs that would meet": (
        lambda: check.example_ids([-1, 2**31], 2),
        "`ids` must fit 32 bits, got -1 to 2147483648: number the examples",
    ),
    "ids from 2^31 on": (
        lambda: check.numeric_array("x", np.array([3, 2**32 - 1])),
        r"`x` must fit int32, got values from 3 to 4294967295: convert them to uint32.*astype\(np.uint32\)\.$",
    ),
    "a list of ids from 2^31 on": (lambda: check.numeric_array("x", [[2**31]]), "convert them to uint32"),
    "ids beyond uint32": (
        lambda: check.numeric_array("x", [2**33]),
        r"`x` must fit int32, got values from 8589934592 to 8589934592: enable 64-bit arrays",
    ),
    "ids of both signs beyond int32": (
        lambda: check.numeric_array("x", [-1, 2**31]),
        "2147483648: enable 64-bit arrays",
    ),
    "numbers as objects": (
        lambda: check.numeric_array("x", np.array([1, 2.5], object)),
        r"numbers, got object\[2\]: convert it with \.astype\(float64\)\.$",
    ),
    "large ids as objects": (lambda: check.numeric_array("x", np.array([1, 2**31], object)), "convert them to uint32"),
    "objects for ids": (
        lambda: check.example_ids(np.array(["a", None], object), 2),
        r"`ids` must be integers \[2\], one for each example, got object\[2\]: number the examples",
    ),
    "text for ids": (lambda: check.example_ids(["b", "a"], 2), r"`ids` must be integers \[2\].*: number the examples"),
    "a list of ids that would wrap": (lambda: check.example_ids([2**32, 1], 2), "`ids` must fit 32 bits"),
    "a raw key of another length": (
        lambda: check.random_key(jnp.zeros(3, jnp.uint32)),
        r"`key` must be one JAX random key",
    ),
    "text for inputs": (lambda: check.examples({"image": "cat.png"}), "`x` must be an array of numbers or a PyTree"),
}


@pytest.mark.parametrize(("call", "sentence"), REFUSED.values(), ids=REFUSED)
def test_a_wrong_value_is_refused_in_a_sentence(call, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence) as caught:
        call()
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)
    if "object" in sentence:
        assert caught.value.__cause__ is None  # JAX's own text


def test_what_the_sentences_advise_for_large_ids_works(float64):
    """uint32 holds ids up to 2^32 - 1, int64 of 64-bit arrays those beyond."""
    large, larger = np.array([3, 2**32 - 1]), np.array([2**33, -1])
    np.testing.assert_array_equal(check.numeric_array("x", larger), larger)
    with jax.enable_x64(False):
        np.testing.assert_array_equal(check.numeric_array("x", large.astype(np.uint32)), large)
        ids = check.example_ids(large, 2)
        assert ids.dtype == jnp.uint32
        np.testing.assert_array_equal(ids, large)


def test_right_values_pass():
    assert check.flag("relu", np.True_) is True
    assert check.positive_int("size", np.int64(3)) == 3
    assert check.positive_float("width", np.float32(0.5)) == 0.5
    np.testing.assert_array_equal(check.numeric_array("x", np.ma.masked_array([1.0, 2.0])), [1, 2])
    np.testing.assert_array_equal(check.numeric_array("x", np.array([1e300, np.inf, np.nan]) / 1e290)[:1], [1e10])
    np.testing.assert_array_equal(check.example_ids(np.array([7, -1]), 2), [7, -1])
    for key in (jax.random.key(0), jax.random.PRNGKey(0)):
        assert check.random_key(key) is key


def test_ids_beyond_32_bits_are_refused_with_64_bit_arrays_too(float64):
    with pytest.raises(ValueError, match="`ids` must fit 32 bits"):
        check.example_ids(jnp.arange(4) + 2**32, 4)


def test_a_wrong_value_is_described_in_few_words():
    assert check.shown(np.zeros((3, 4))) == "float64[3, 4]"
    assert check.shown(10**400) == "an int of 1329 bits"
    assert check.shown(len) == "the function len"
    assert check.shown(int) == "the class int"
    assert len(check.shown("a" * 1000)) < 80
    assert len(check.shown(list(range(10**5)))) < 80


@pytest.mark.parametrize("dtype", [np.float32, np.float64, jnp.bfloat16])
def test_nan_is_refused_at_every_position_and_infinity_is_not(dtype):
    """Lengths around the widths of vector instructions."""
    for length in (1, 2, 17, 64):
        numbers = np.linspace(-1, 1, length).astype(dtype)
        numbers[0] = -np.inf
        numbers[-1] = np.inf
        check.no_nan("x", numbers)
        for position in {0, length // 2, length - 1}:
            wrong = numbers.copy()
            wrong[position] = np.nan
            with pytest.raises(ValueError, match=rf"`x` must hold no NaN, got NaN in rows \[{position}\]"):
                check.no_nan("x", wrong)
    with pytest.raises(ValueError, match=r"got NaN in rows \[3\]"):
        check.no_nan("x", jnp.asarray(wrong).at[position].set(0).at[3].set(np.nan))
    check.no_nan("x", np.zeros((0, 2), dtype))
