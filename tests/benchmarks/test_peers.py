"""The comparison with other packages: its ratios, missing packages, and small runs with installed ones."""

import importlib.util
import io

import jax
import numpy as np
import pytest
from rich.console import Console

from benchmarks import _accelerator, _models, _peer_comparison, _torch_peers
from benchmarks._peer_comparison import Side, compare_with_peer, spread, squared_error, table
from benchmarks._run import measure_peers
from benchmarks._torch_models import install_torchvision_stub


def printed(shown):
    out = io.StringIO()
    Console(file=out, width=220).print(shown)
    return out.getvalue()


@pytest.fixture
def work(monkeypatch):
    """Returns functions that take the given seconds, one after another."""
    now = 0.0
    monkeypatch.setattr(_peer_comparison.time, "perf_counter", lambda: now)

    def taking(*seconds):
        times = iter(seconds)

        def run():
            nonlocal now
            now += next(times)

        return run

    return taking


def test_ratios_are_of_explanations_at_equal_evaluations(work):
    ours, theirs = Side(work(9, 2, 1, 2), 10, 30), Side(work(7, 4, 2, 6), 5, 20)
    row = compare_with_peer("sums", "abacus", ours, theirs, repeats=3, note="beads")
    assert (row["explanations_per_second"], row["peer_explanations_per_second"]) == (5, 1.25)
    # Theirs takes 4, 4 and 6 times as long for an explanation, with two evaluations where ours has three.
    assert row["times_faster"] == pytest.approx(4 * 1.5)
    assert row["times_faster_quartiles"] == pytest.approx([4 * 1.5, 5 * 1.5])
    assert row["wins"] == "xaijax"
    assert (row["seconds_each"], row["peer_seconds_each"]) == ([2, 1, 2], [4, 2, 6])
    assert (row["first_seconds"], row["peer_first_seconds"], row["note"]) == (9, 7, "beads")
    assert row["times_faster_at_equal_error"] is None


@pytest.mark.parametrize(
    ("errors", "ratio", "winner"),
    [
        ((0.1, 0.3), 1.5, "xaijax"),
        ((0.1, 0.1), 0.5, "abacus"),
        ((0.1, 0.2), 1.0, "neither"),
        ((0.0, 0.2), None, "xaijax"),
        ((0.2, 0.0), None, "abacus"),
        ((0.0, 0.0), None, None),
        ((float("nan"), 0.1), None, None),
    ],
)
def test_equal_error_follows_the_law_of_1_over_n(work, errors, ratio, winner):
    """Ours takes twice as long for equal evaluations, so that it wins if its error is less than half of theirs."""
    sides = Side(work(1, 2, 2, 2), 1, 100), Side(work(1, 1, 1, 1), 1, 100)
    row = compare_with_peer("sums", "abacus", *sides, repeats=3, errors=lambda: errors)
    assert row["wins"] == "abacus"
    assert row["times_faster_at_equal_error"] == pytest.approx(ratio)
    assert row["wins_at_equal_error"] == winner
    shown = printed(table([row]))
    assert "0.5 (peer)" in shown
    assert ("exact" in shown) == (ratio is None and winner is not None)


def test_errors_follow_their_definitions():
    assert squared_error([[3.0, 5.0]], [[3.0, 4.0]]) == pytest.approx(1 / 25)
    with pytest.raises(ValueError, match=r"must have the shape \[1, 2\] of `truth`, got \[2\]"):
        squared_error([3.0, 5.0], [[3.0, 4.0]])
    # Two draws of x + noise with the variance v: half their squared difference is v on average.
    draws = 5 + 0.5 * np.random.default_rng(0).normal(size=(2, 100_000))
    assert spread(*draws) == pytest.approx(0.25 / 25.25, rel=0.02)


def test_missing_packages_are_skipped_with_a_sentence(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    rows = measure_peers(1, small=True)
    assert [row["peer"] for row in rows] == [
        "pytorch-grad-cam",
        "lime",
        "captum",
        "shap",
        "shapiq",
        "shap TreeExplainer",
    ]
    assert rows[0]["skipped"].startswith("torch, pytorch_grad_cam are not installed: the extra `peers`")
    assert rows[1]["skipped"].startswith("lime is not installed")
    assert "compared with shapiq: shapiq is not installed" in printed(table(rows))


def check(rows, count):
    assert len(rows) == count
    assert len({(row["name"], row["peer"]) for row in rows}) == count
    for row in rows:
        assert len(row["seconds_each"]) == len(row["peer_seconds_each"]) == 1
        assert row["wins"] in ("xaijax", row["peer"])
        assert (row["times_faster"] > 1) == (row["wins"] == "xaijax")
        assert row["explanations_per_second"] == pytest.approx(row["inputs"] / row["seconds_each"][0])


@pytest.mark.slow
def test_pytorch_grad_cam_and_captum(monkeypatch):
    install_torchvision_stub()
    for package in ("torch", "pytorch_grad_cam", "captum"):
        pytest.importorskip(package)
    monkeypatch.setattr(_torch_peers, "PAIRS", {"grad_cam": "GradCAM", "full_grad": "FullGrad"})
    rows = measure_peers(1, small=True, only=("cam", "captum"))
    check(rows, 2 + 10)  # of captum with DeepLIFT
    errors = {(row["name"], row["peer"]): (row["error"], row["peer_error"]) for row in rows}
    for ours, theirs in [value for (name, _), value in errors.items() if "table" in name]:
        assert 1e-4 < ours < 0.05
        assert 1e-4 < theirs < 0.2
    (maps,) = (row for row in rows if row["peer"] == "captum LayerGradCam")
    assert maps["difference"] < 1e-10


@pytest.mark.slow
def test_lime():
    pytest.importorskip("lime")
    rows = measure_peers(1, small=True, only=("lime",))
    check(rows, 4)
    for row in rows:
        assert 1e-4 < row["error"] < 1
        assert 1e-4 < row["peer_error"] < 1


@pytest.mark.slow
def test_forests():
    pytest.importorskip("shap")
    rows = [row for row in measure_peers(1, small=True, only=("trees",)) if "skipped" not in row]
    others = {name for name in ("xgboost", "woodelf", "treelite") if importlib.util.find_spec(name) is not None}
    check(rows, 5 + ("xgboost" in others) + 5 * ({"woodelf", "treelite"} <= others))
    for row in rows:
        assert row["difference"] < 1e-8
        assert ("seconds_by_rows" in row) == row["name"].endswith("interventional")


@pytest.mark.slow
def test_shap_and_shapiq():
    pytest.importorskip("shap")
    pytest.importorskip("shapiq")
    rows = measure_peers(1, small=True, only=("shap", "shapiq"))
    check(rows, 7 + 4)
    (exact,) = (row for row in rows if row["peer"] == "shap ExactExplainer")
    assert exact["difference"] < 1e-10
    for row in (row for row in rows if row is not exact):
        assert 1e-5 < row["error"] < 0.05
        assert 1e-5 < row["peer_error"] < 0.05
    measured = [row for row in rows if row.get("at") == "equal error, measured"]
    assert all(row["error"] <= row["peer_error"] and row["evaluations"] <= row["peer_evaluations"] for row in measured)


def test_resnet50_has_the_parameters_of_the_paper():
    """The network has 25.6 million parameters, and the last block has a stride of 32."""
    module = _models.ResNet50()
    x = jax.ShapeDtypeStruct((1, 224, 224, 3), np.float32)
    variables = jax.eval_shape(module.init, jax.random.key(0), x)
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == 25_557_032
    _, seen = jax.eval_shape(lambda v, x: module.apply(v, x, capture_intermediates=True), variables, x)
    assert seen["intermediates"][module.last]["__call__"][0].shape == (1, 7, 7, 2048)


@pytest.mark.slow
def test_the_accelerator_form_runs_small_anywhere():
    rows = list(_accelerator.measure(quick=False, small=True))
    own = [row for row in rows if "ratio" in row]
    assert [row["dtype"] for row in own] == ["float32"] * 3 + ["bfloat16"]
    for row in own:
        assert row["finite"]
        assert row["second_compilations"] == 0
        assert row["explanations_per_second"] > 0
    rest = [row for row in rows if "ratio" not in row]
    if all(map(importlib.util.find_spec, ("torch", "captum"))):
        check(rest, 5)
    else:
        assert [sorted(row) for row in rest] == [["name", "skipped"]]
    overhead, comparison = map(printed, _accelerator.table(rows))
    assert overhead.count("bfloat16") == 1
    assert "ResNet-50" in comparison


def test_without_an_accelerator_the_row_is_skipped_with_a_sentence():
    if jax.default_backend() != "cpu":
        pytest.skip("there is an accelerator")
    (row,) = _accelerator.measure(quick=True, small=False)
    assert row["skipped"].startswith("JAX has no accelerator")
