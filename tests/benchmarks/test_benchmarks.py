"""The benchmark: its commands, its record, its times and its parts."""

import dataclasses
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from benchmarks import _cam_cases, _lime_cases, _overhead, _prompts, _run, _shap_cases, _timing
from benchmarks.__main__ import _ON_ACCELERATORS, main
from benchmarks._cam_cases import ONE_PASS
from benchmarks._goals import GOALS
from benchmarks._network_cases import network_cases
from benchmarks._overhead import Case, bare, measure, overhead
from benchmarks._parts import measure_parts, parts_of_game
from benchmarks._run import cases
from benchmarks._timing import compiling


@pytest.fixture(scope="module")
def tiny():
    tiny_cases = cases("tiny")
    by_name = {case.name: case for case in tiny_cases}
    assert len(by_name) == len(tiny_cases)
    return by_name


@pytest.mark.slow
def test_a_small_run_writes_what_it_measured(tmp_path):
    out = tmp_path / "results.json"
    main(["quick", "--small", "--repeats", "2", "--only", "permutation SHAP", "--out", str(out)])
    results = json.loads(out.read_text())
    assert results["command"].startswith("python -m benchmarks quick --small --repeats 2 --only 'permutation SHAP'")
    assert {"xaijax", "jax", "jaxlib", "flax", "numpy", "python"} == set(results["versions"])
    assert (results["schema"], results["form"], results["repeats"]) == (1, "small", 2)
    assert {"kind", "platform", "count", "cores"} == set(results["device"])
    assert results["section_seconds"]["overhead"] > 0
    names = [row["name"] for row in results["overhead"]]
    assert names == ["permutation SHAP, perceptron", "orthogonal permutation SHAP, perceptron"]
    for row in results["overhead"]:
        assert row["ratio"] == pytest.approx(np.median(row["repeats"]["ratio"]))
        assert [len(times) for times in row["repeats"].values()] == [2, 2, 2]
        assert row["ratio_quartiles"][0] <= row["ratio"] <= row["ratio_quartiles"][1]
        assert row["first_seconds"] > row["lower_seconds"] + row["compile_seconds"] > row["second_seconds"] > 0
        assert row["rows_per_second"] == pytest.approx(row["rows"] / row["seconds"])
        assert row["compilations"] > 0
        assert row["second_compilations"] == 0
        assert 0.95 < row["flops_ratio"] < 1.5
        assert row["peak_fraction"] == pytest.approx(row["flops"] / row["seconds"] / results["peak_flops"])


def test_the_quick_form_has_every_section_and_is_written_after_each(tmp_path, monkeypatch):
    asked = []

    def section(name):
        def measure_section(settings):
            asked.append((name, settings.size, settings.repeats, len(list(tmp_path.iterdir()))))
            return [{"name": name}]

        return _run.Section(measure_section, lambda rows: [])

    monkeypatch.setattr(_run, "SECTIONS", {name: section(name) for name in _run.SECTIONS})
    main(["quick", "--out", str(tmp_path / "results.json")])
    assert [call[:3] for call in asked] == [(name, "quick", 5) for name in _run.SECTIONS]
    assert [call[3] for call in asked] == [0] + [1] * (len(asked) - 1)
    results = json.loads((tmp_path / "results.json").read_text())
    assert all(results[name] == [{"name": name}] for name in _run.SECTIONS)


def test_a_section_that_fails_and_a_time_that_is_over_lose_nothing(tmp_path, monkeypatch, capsys):
    """The clock jumps to the end of the time after the second row of the second section."""
    now = [0.0]
    monkeypatch.setattr(_run.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(_run, "peak_flops", lambda **_: 1.0)

    def rows(settings):
        assert settings.limited
        yield {"name": "first"}
        yield {"name": "second"}
        now[0] = 600.0
        yield {"name": "third"}
        raise AssertionError("no case begins when the time is over")

    def broken(settings):
        yield {"name": "measured before"}
        raise RuntimeError("no memory")

    sections = {"memory": broken, "overhead": rows, "solvers": lambda _: [{"name": "never"}], "devices": broken}
    sections = {name: _run.Section(measure, lambda rows: []) for name, measure in sections.items()}
    monkeypatch.setattr(_run, "SECTIONS", sections)
    monkeypatch.setattr("benchmarks.__main__.SECTIONS", sections)
    monkeypatch.setattr("benchmarks.__main__._ON_ACCELERATORS", tuple(sections))
    with pytest.raises(SystemExit) as raised:
        main(["accelerator", "--small", "--without", "devices", "--out", str(tmp_path / "results.json")])
    assert raised.value.code == 1
    results = json.loads((tmp_path / "results.json").read_text())
    assert [row["name"] for row in results["overhead"]] == ["first", "second", "third"]
    assert [row["name"] for row in results["memory"]] == ["measured before"]
    assert (results["failed"], results["solvers"]) == ({"memory": "RuntimeError: no memory"}, [])
    assert results["not_finished"] == ["overhead", "solvers"]
    assert "the time was over before the end of overhead, solvers" in capsys.readouterr().out


def test_a_case_that_fails_stops_no_other_one():
    def broken():
        raise ValueError("no such layer")

    one = lambda: {"at once": lambda: jnp.sum(np.ones(3))}  # noqa: E731
    said, rows = [], []
    chosen = [Case("slate", 1, broken, one, {}), Case("abacus", 1, one()["at once"], one, {})]
    with pytest.raises(RuntimeError, match="'slate': 'ValueError: no such layer'"):
        rows.extend(overhead(chosen, 1, say=said.append))
    assert [row["name"] for row in rows] == ["abacus"]
    assert "no such layer" in said[0]


def test_a_comparison_that_fails_stops_no_other_one(monkeypatch):
    def broken(repeats, **form):
        raise RuntimeError("no such layer")

    whole = lambda repeats, **form: [{"name": f"{repeats} repeats", "peer": "abacus"}]  # noqa: E731
    monkeypatch.setattr(_run, "PEERS", {"slate": broken, "abacus": whole})
    said, measured = [], []
    with pytest.raises(RuntimeError, match="'slate': 'RuntimeError: no such layer'"):
        measured.extend(_run._peers_of(_run.Settings("tiny", 2, "", None, said.append)))
    assert said[1:] == ["compared with abacus"]
    assert "no such layer" in said[0]
    assert measured == [{"name": "2 repeats", "peer": "abacus"}]


@pytest.mark.parametrize(
    ("words", "sections", "size", "repeats", "minutes"),
    [
        ([], ["solvers", "overhead", "parts", "memory"], "full", 15, None),
        (["--peers", "--repeats", "3"], ["peers"], "full", 3, None),
        (["--errors", "--small"], ["errors"], "tiny", 15, None),
        (["full", "--sections", "memory,overhead"], ["overhead", "memory"], "full", 15, None),
        (["full", "--without", "errors", "--minutes", "28"], list(_run.SECTIONS)[:-1], "full", 15, 28),
        (["full", "--without", "first,errors"], list(_run.SECTIONS)[1:-1], "full", 15, None),
        (["quick", "--small"], list(_run.SECTIONS), "tiny", 5, 9.0),
        (["accelerator", "--small", "--without", "devices"], list(_ON_ACCELERATORS), "tiny", 7, 8.5),
    ],
)
def test_commands_choose_sections_sizes_and_minutes(words, sections, size, repeats, minutes, monkeypatch):
    monkeypatch.setattr("benchmarks.__main__.run", lambda **options: options)
    options = main(words)
    chosen = (options["sections"], options["size"], options["repeats"], options["minutes"])
    assert chosen == (sections, size, repeats, minutes)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["quick", "--sections", "speed"], "--sections must be sections, got 'speed'"),
        (["accelerator"], "accelerator must run on a GPU or TPU, got JAX on CPUs"),
        (["full", "--without", "error"], "--without must be sections, got 'error'"),
        (["--repeats", "0"], "must be at least 1, got 0"),
        (["quick", "--only", "no such case"], "--only must be part of the name of a case, got 'no such case'"),
    ],
)
def test_unknown_sections_cases_and_repeats_are_refused(words, sentence, capsys):
    with pytest.raises(SystemExit):
        main(words)
    assert sentence in capsys.readouterr().err


# One case of each method and each model; the quickest of a map and of values always, the others on request.
ALWAYS = ("Grad-CAM, MobileNet", "integrated gradients, perceptron")
RUN = [
    *ALWAYS,
    "expected gradients, perceptron",
    "saliency, small ResNet",
    "attention rollout, ViT",
    "published kernel SHAP, perceptron",
    "kernel SHAP of words, text transformer",
    "high precision SHAP of words, text transformer",
    "LIME of quartiles, perceptron",
]


@pytest.mark.slow
def test_the_other_explainers_can_be_traced(tiny):
    """Traces each explainer with one model, and the maps of one pass as one explainer."""
    seen = {name.rpartition(", ")[0] for name in RUN} | {explain.title for explain in ONE_PASS}
    for name, case in tiny.items():
        explainer = name.rpartition(", ")[0]
        if explainer not in seen:
            seen.add(explainer)
            leaves = jax.tree.leaves(jax.eval_shape(case.explain))
            assert all(math.prod(leaf.shape) for leaf in leaves), name
    assert len(seen) > 40


def test_a_run_of_limited_time_measures_goals_first_and_all_other_cases_later(tiny, monkeypatch):
    monkeypatch.setattr(_run, "chosen_cases", lambda size, only: list(tiny.values()))
    monkeypatch.setattr(_run, "overhead", lambda chosen, *_, **__: [case.name for case in chosen])
    measured = {
        limited: [
            (name, measure(_run.Settings("tiny", 1, "", None, print, limited)) if name == "overhead" else [])
            for name, measure in _run._passes(["overhead", "peers", "growth"], limited)
        ]
        for limited in (False, True)
    }
    assert measured[False] == [("overhead", list(tiny)), ("peers", []), ("growth", [])]
    assert [name for name, _ in measured[True]] == ["overhead", "peers", "overhead", "growth"]
    first, later = measured[True][0][1], measured[True][2][1]
    assert sorted([*first, *later]) == sorted(tiny)
    goals = {goal.fields["name"] for goal in GOALS if goal.section == "overhead"} & set(tiny)
    assert len(goals) >= 7
    assert goals <= set(first)
    assert "CAM, small ResNet" in later


@pytest.mark.parametrize(
    "name", [name if name in ALWAYS else pytest.param(name, marks=pytest.mark.slow) for name in RUN]
)
def test_the_second_explanation_compiles_nothing(tiny, name):
    (row,) = overhead([tiny[name]], 1, say=lambda _: None)
    assert row["second_compilations"] == 0
    assert row["flops"] > 0.9 * row["bare_flops"] > 0
    assert row["peak_fraction"] is None  # without a peak
    assert bool(jnp.isfinite(tiny[name].explain().values).all())


@pytest.mark.parametrize(
    "name", ["permutation SHAP", "published kernel SHAP", "exact SHAP of groups", "Owen values of groups"]
)
def test_rows_are_those_that_the_explanation_evaluates(tiny, name):
    case = tiny[f"{name}, perceptron"]
    (evaluated,) = np.unique(case.explain().num_evaluations)
    assert case.rows == case.sizes["inputs"] * case.sizes["background"] * evaluated


def test_a_network_by_fast_is_compared_with_the_same_numbers_of_the_bare_network():
    network = {case.name: case for case in network_cases("tiny")}
    assert len(network) == 7  # forward, gradient, four explanations, a map of ResNet-50
    gradient = network["gradient by xai.fast, MobileNet, 2 images"]
    (row,) = overhead([gradient], 1, say=lambda _: None)
    assert (row["bare_best"], row["rows"], row["second_compilations"]) == ("at once", 2, 0)
    bare_gradient = gradient.bare()["at once"]()
    assert float(jnp.abs(bare_gradient).max()) > 0
    np.testing.assert_allclose(gradient.explain(), bare_gradient, atol=1e-4 * float(jnp.abs(bare_gradient).max()))
    shap = network["permutation SHAP on a grid, MobileNet"]
    assert shap.rows == int(shap.explain().num_evaluations[0])


def test_peak_memory_is_what_both_programs_hold_at_once():
    """Arguments, output and the temporary squares of 1,000 numbers, next to arguments and output."""
    x = np.ones(1000, np.float32)
    square = lambda x: x[:, None] * x  # noqa: E731
    programs = lambda: tuple(jax.jit(run).lower(x) for run in (lambda x: jnp.sort(square(x))[:, 0], lambda x: 2 * x))  # noqa: E731
    case = Case("sums", 1, lambda: jnp.sum(x), lambda: {"at once": lambda: jnp.sum(x)}, {}, programs)
    row = _overhead._memory(case)
    assert row["bare_bytes"] == 8000
    assert 4_008_000 <= row["bytes"] < 9_000_000
    assert row["memory_ratio"] == row["bytes"] / 8000
    assert _overhead._memory(dataclasses.replace(case, programs=None)) == {}


def test_a_program_that_is_compiled_again_is_recorded():
    jitted = jax.jit(lambda x: x + 1)
    with compiling() as first:
        jitted(np.ones(3, np.float32))
    with compiling() as second:
        jitted(np.ones(3, np.float32))
    with compiling() as other:
        jitted(np.ones(4, np.float32))
    assert [seen.compiled for seen in (first, second, other)] == [1, 0, 1]
    assert first.compile_seconds > 0 == second.compile_seconds
    jitted(np.ones(5, np.float32))
    assert other.compiled == 1  # nothing is recorded after the end


class _Clock:
    """A clock that advances by the given times."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(_timing.time, "perf_counter", lambda: self.now)

    def work(self, *seconds):
        times = iter(seconds)

        def run():
            self.now += next(times)

        return run


def test_the_ratio_is_taken_against_the_faster_bare_model(monkeypatch):
    work = _Clock(monkeypatch).work
    explain = work(9, 3, 4, 2, 6)  # the first call, the second, and three repeats
    bare = {"slow": work(7, 4, 1, 4), "fast": work(7, 2, 2, 2)}
    measured = measure(Case("sums", 8, explain, lambda: bare, {}), repeats=3)
    assert measured["bare_best"] == "fast"
    assert measured["bare_seconds"] == {"slow": 4, "fast": 2}
    assert measured["ratio"] == 2
    assert measured["ratio_quartiles"] == [1.5, 2.5]
    assert (measured["first_seconds"], measured["second_seconds"], measured["seconds"]) == (9, 3, 4)
    assert measured["rows_per_second"] == 2
    assert measured["repeats"] == {"ratio": [2, 1, 3], "seconds": [4, 2, 6], "bare_seconds": [2, 2, 2]}


def test_long_cases_have_fewer_repeats_and_short_ones_all(monkeypatch):
    clock = _Clock(monkeypatch)
    assert len(_timing.interleaved({"": clock.work(*[0.1] * 15)}, 15)[""]) == 15
    assert len(_timing.interleaved({"a": clock.work(*[1.0] * 15), "b": clock.work(*[0.1] * 15)}, 15)["a"]) == 3
    assert len(_timing.interleaved({"": clock.work(*[0.5] * 15)}, 15)[""]) == 7
    assert len(_timing.interleaved({"": clock.work(9.0, 9.0)}, 2)[""]) == 2


def test_parts_are_medians_of_differences_within_a_repeat(monkeypatch):
    work = _Clock(monkeypatch).work
    runs = {"whole": work(0, 10, 20, 12), "model": work(0, 6, 15, 9)}
    split = lambda times: {"model": times["model"], "rest": times["whole"] - times["model"]}  # noqa: E731
    row = measure_parts("sums", runs, split, 3, {"inputs": 1})
    assert (row["whole"], row["parts"]) == (12, {"model": 9, "rest": 4})
    assert row["runs"] == {"whole": [10, 20, 12], "model": [6, 15, 9]}


def test_the_parts_of_a_game_sum_to_the_whole(monkeypatch):
    clock = _Clock(monkeypatch)
    seen = []

    def explain(game):
        """Takes one second for each player, two for masks and four for the model."""
        own, masked = game.model is model, isinstance(game.masker, xai.mask.Grid)
        seen.append((own, masked, game.num_players))
        clock.now += game.num_players + 2 * masked + 4 * own

    model, x = xai.function(lambda x: x.sum(axis=(1, 2))), jnp.ones((1, 4, 4, 1))
    row = parts_of_game(
        "cells", explain, model, x, xai.mask.grid(2), bare={"at once": clock.work(*[3] * 9)}, repeats=2, sizes={}
    )
    assert set(seen) == {(True, True, 4), (False, True, 4), (False, False, 4)}
    assert row["whole"] == 10
    assert row["parts"] == {"model": 3, "solving": 4, "masks": 2, "rest": 1}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("measure_one", "parts"),
    [
        (_cam_cases.cam_parts, {"model", "map", "resize"}),
        (lambda *size: [_lime_cases._parts_of_table(*size, None)], {"model", "drawing", "solving", "rest"}),
    ],
    ids=["maps", "tables"],
)
def test_parts_of_real_explanations_sum_to_the_whole(measure_one, parts):
    for row in measure_one(1, "tiny"):
        assert set(row["parts"]) == parts
        assert sum(row["parts"].values()) == pytest.approx(row["whole"])


def test_solvers_are_timed_apart():
    for row in _shap_cases.solvers(2, "tiny"):
        assert (row["players"], row["evaluations"]) == (5, 30)
        assert row["milliseconds"] == pytest.approx(np.median(row["repeats"]["milliseconds"]))


@pytest.mark.slow
def test_prompts_are_measured_whole_packed_and_with_shared_prefixes():
    rows = {row["name"]: row for row in _prompts.measure(1, "tiny")}
    walk = rows["walk, 8 spans and a prefix"]  # spans of 4 tokens, a prefix of 28, and 4 of suffix and response
    packed = 9 * (28 + 4) + 4 * sum(range(9))
    assert (walk["tokens"]["whole"], walk["tokens"]["packed"]) == (9 * 64, packed)
    assert walk["tokens"]["prefixes"] < 0.55 * packed
    assert walk["by_prefixes"] == 8  # the whole prompt has a row of its own
    assert rows["walk, 15 spans"]["by_prefixes"] == 0
    assert all(row["repeats"]["packed"] == [row["packed_ratio"]] for row in rows.values())


@pytest.mark.parametrize("gradients", [False, True])
def test_the_bare_model_has_the_rows_in_every_way(gradients):
    seen = []
    model = xai.function(lambda x: seen.append(x.shape) or x.sum(axis=1))
    ways = bare(model, 20, (3,), (8, 16, 64), gradients=gradients)
    shapes = {}
    for name, run in ways.items():
        seen.clear()
        run()
        shapes[name] = set(seen)
    assert shapes == {"at once": {(20, 3)}, "3 blocks of 6": {(6, 3)}, "2 blocks of 10": {(10, 3)}}
