"""docs/coming_from.md: every line of ours runs, those of other packages where they are installed, and equal numbers are equal."""

import functools
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest

import xaijax as xai

PAGE = (Path(__file__).parent.parent / "docs" / "coming_from.md").read_text()
PACKAGES = {"shap": "shap", "lime": "lime", "captum": "captum", "grad-cam": "pytorch_grad_cam", "quantus": "quantus"}
SECTIONS = dict(zip(PACKAGES, re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:], strict=True))
GENERATOR = np.random.default_rng(0)
FIRST, SECOND = (GENERATOR.normal(size=shape).astype(np.float32) for shape in ((4, 8), (8, 3)))


def items(package):
    """Yields (title, text, their code, our code) of the calls of a package."""
    for item in re.split(r"^(?=\*\*\d+\. )", SECTIONS[package], flags=re.MULTILINE)[1:]:
        text, *blocks = re.split(r"^```(.*)\n", item, flags=re.MULTILINE)
        assert [label for label in blocks[::2] if label] == [f"python {package}", "python"], text
        theirs, ours = (code for label, code in zip(blocks[::2], blocks[1::2], strict=True) if label)
        yield text.partition("**")[2].partition("**")[0], text, theirs, ours


def probabilities(x, xp=jnp):
    powers = xp.exp(xp.tanh(x @ FIRST) @ SECOND)
    return powers / powers.sum(axis=1, keepdims=True)


def tables():
    rows = GENERATOR.normal(size=(30, 4)).astype(np.float32)
    rows[:, 3] = rows[:, 3] > 0
    return {
        "predict": lambda x, xp=jnp: xp.tanh(x @ FIRST) @ SECOND,
        "probabilities": probabilities,
        "rows": rows,
        "x": rows[:3] + 0.5,
        "weights": FIRST[:, 0],
    }


def names_of_shap():
    torch = pytest.importorskip("torch")
    forests = pytest.importorskip("sklearn.ensemble")
    names = tables()
    targets = np.asarray(names["predict"](names["rows"])[:, 0])
    forest = forests.RandomForestRegressor(5, max_depth=3, random_state=0).fit(names["rows"], targets)
    first, second = torch.nn.Linear(4, 8, bias=False), torch.nn.Linear(8, 3, bias=False)
    with torch.no_grad():
        first.weight.copy_(torch.tensor(FIRST.T))
        second.weight.copy_(torch.tensor(SECOND.T))
    layers = torch.nn.Sequential(first, torch.nn.Tanh(), second)
    return names | {"forest": forest, "layers_in_torch": layers, "torch": torch}


def names_of_lime():
    labels = np.arange(36).reshape(6, 6) // 12
    weights = GENERATOR.normal(size=(6, 6, 3))
    return tables() | {
        "image": GENERATOR.random((6, 6, 3)),
        "labels": labels,
        "score_images": lambda x, xp=jnp: xp.stack([(x * power).sum(axis=(1, 2, 3)) for power in (1, weights)], axis=1),
        "score_texts": lambda texts: np.array([[1 - text.count("good") / 4, text.count("good") / 4] for text in texts]),
    }


def names_of_networks():
    pytest.importorskip("torch")
    from tests.parity import _models

    options = {"layer": "relu3", "target": jnp.array(_models.TARGETS), "upsample": True, "normalize": True}
    return {
        "net": _models.torch_net(),
        "tensors": _models.torch_images(),
        "model": _models.flax_net(),
        "images": _models.images(),
        "classes": np.array(_models.TARGETS),
        "labels": np.arange(12)[:, None] // 6 * 2 + np.arange(12) // 6,
        "torch": _models.torch,
        "options": options | {"relu": True},
    }


def names_of_metrics():
    """A network of one hidden layer on gray images of 4 x 4 pixels, in JAX and in torch, with maps and masks."""
    torch = pytest.importorskip("torch")
    shapes = ((5, 4, 4, 1), (16, 6), (6, 3), (5, 4, 4))
    images, first, second, maps = (GENERATOR.normal(size=shape).astype(np.float32) for shape in shapes)
    layers = [torch.nn.Linear(16, 6, bias=False), torch.nn.Linear(6, 3, bias=False)]
    for layer, weights in zip(layers, (first, second), strict=True):
        layer.weight.data = torch.tensor(weights.T)
    net = torch.nn.Sequential(torch.nn.Flatten(), layers[0], torch.nn.Tanh(), layers[1]).eval()

    def network(weights, x):
        return jnp.tanh(x.reshape(len(x), -1) @ weights["first"]) @ weights["second"]

    masks = np.zeros((5, 4, 4), bool)
    masks[:, 1:3, :3] = True
    classes, pictures = np.array([0, 2, 1, 1, 0]), images.transpose(0, 3, 1, 2)
    return {
        "model": xai.function(network, {"first": jnp.asarray(first), "second": jnp.asarray(second)}),
        "images": images,
        "classes": classes,
        "maps": maps,
        "masks": masks,
        "batch": {
            "model": net,
            "x_batch": pictures,
            "y_batch": classes,
            "a_batch": maps[:, None],
            "softmax": False,
        },
        "options": {"normalise": False, "abs": False, "return_aggregate": False, "disable_warnings": True},
    }


def imported(package):
    """What a reader of the page has imported from the other package; None where it is not installed."""
    if package == "grad-cam":
        from benchmarks._torch_models import install_torchvision_stub

        install_torchvision_stub()
    if package == "quantus":
        from tests.parity._quantus import quantus

        return {"quantus": quantus}
    try:
        exec_in = {}
        exec(IMPORTS[package], exec_in)
    except ImportError:
        return None
    return exec_in


IMPORTS = {
    "shap": "import shap",
    "lime": "from lime.lime_image import LimeImageExplainer\nfrom lime.lime_tabular import LimeTabularExplainer\n"
    "from lime.lime_text import LimeTextExplainer\nfrom lime.submodular_pick import SubmodularPick",
    "captum": "from captum.attr import *",
    "grad-cam": "from pytorch_grad_cam import *\nfrom pytorch_grad_cam.utils.image import show_cam_on_image",
}
NAMES = {
    "shap": names_of_shap,
    "lime": names_of_lime,
    "captum": names_of_networks,
    "grad-cam": names_of_networks,
    "quantus": names_of_metrics,
}


def outputs_of(classes):
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    return [ClassifierOutputTarget(int(number)) for number in classes]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("package", "with_peer"),
    [
        ("shap", False),  # which takes numba long to compile
        pytest.param("shap", True, marks=pytest.mark.slow),
        ("lime", False),  # tests/parity compares its numbers too
        pytest.param("lime", True, marks=pytest.mark.slow),
        ("captum", True),
        ("grad-cam", True),
        ("quantus", True),
    ],
)
def test_the_calls_of_each_package_run_and_give_the_same_numbers_where_the_page_says_so(package, with_peer):
    """In order and in one namespace for each side, as a reader would."""
    ours = NAMES[package]() | {"jax": jax, "jnp": jnp, "np": np, "xai": xai, "key": jax.random.key(0)}
    peer = imported(package) if with_peer else None
    theirs = ours | (peer or {})
    for name in ("predict", "probabilities", "score_images"):
        if name in theirs:
            theirs[name] = functools.partial(theirs[name], xp=np)  # JAX would compile anew for each number of rows
    if peer is not None and package == "grad-cam":
        theirs["outputs"] = outputs_of(ours["classes"])
    calls = list(items(package))
    assert len(calls) == (12 if package == "quantus" else 10)
    for title, text, their_code, our_code in calls:
        exec(compile(our_code, title, "exec"), ours)
        plt.close("all")
        if peer is None:
            continue
        exec(compile(their_code, title, "exec"), theirs)
        plt.close("all")
        if "Same numbers" in text:
            expected = theirs["theirs"].detach().numpy() if hasattr(theirs["theirs"], "detach") else theirs["theirs"]
            assert np.shape(ours["ours"]) == np.shape(expected), title
            np.testing.assert_allclose(ours["ours"], expected, atol=1e-4 * np.abs(expected).max(), err_msg=title)


def test_the_page_says_of_many_calls_that_the_numbers_are_the_same():
    """So that the comparison cannot be lost by another spelling."""
    assert PAGE.count("Same numbers") == 26


def test_every_metric_of_quantus_is_in_the_table_and_every_name_of_ours_exists():
    table = [line.split("|")[1:3] for line in SECTIONS["quantus"].splitlines() if line.startswith("| `")]
    theirs, ours = ([name for row in table for name in re.findall(r"`(\w+)", row[column])] for column in (0, 1))
    assert set(ours) <= set(xai.metrics.__all__), set(ours) - set(xai.metrics.__all__)
    from tests.parity._quantus import quantus

    of_package = {metric.__name__ for metrics in quantus.AVAILABLE_METRICS.values() for metric in metrics.values()}
    assert sorted(theirs) == sorted(of_package)
