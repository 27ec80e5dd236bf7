"""Verdicts on two records that are written here: worse, better, noise, unknown."""

import copy
import json
import math

import numpy as np
import pytest

from benchmarks.__main__ import main
from benchmarks._compare import BETTER, NOISE, UNKNOWN, WORSE, change, compare

STEADY = [1.00, 1.01, 0.99, 1.02, 0.98, 1.00, 1.01]


def _overhead(name, ratios, *, bare=0.5, again=0, operations=1.0, sizes=None):
    return {
        "name": name,
        "sizes": sizes or {"inputs": 4},
        "second_compilations": again,
        "flops_ratio": operations,
        "repeats": {
            "ratio": list(ratios),
            "seconds": [bare * ratio for ratio in ratios],
            "bare_seconds": [bare] * len(ratios),
        },
    }


def _times(factor, base=STEADY):
    return [factor * time for time in base]


def _growth(seconds, memory):
    return {"name": "LIME, batch", "sizes": [8, 64], "seconds_each": seconds, "bytes": memory}


def _peer(ours, theirs):
    counts = {"inputs": 8, "peer_inputs": 8, "evaluations": 600, "peer_evaluations": 600}
    return counts | {"name": "table", "peer": "shap", "seconds_each": ours, "peer_seconds_each": theirs}


def _errors(estimator, errors):
    row = {"game": "teams (12)", "budget": 5, "asked": 60, "package": estimator.split(":")[0]}
    return row | {"estimator": estimator, "errors": errors}


@pytest.fixture
def before():
    return {
        "schema": 1,
        "form": "quick",
        "date": "2026-01-01T00:00:00+00:00",
        "versions": {"jax": "0.10.0"},
        "peer_versions": {},
        "device": {"kind": "cpu", "platform": "cpu", "count": 1, "cores": 2},
        "overhead": [
            _overhead("slower", STEADY),
            _overhead("faster", STEADY),
            _overhead("steady", STEADY),
            _overhead("shaky", [1.0, 1.6, 0.8, 1.3, 0.9, 1.5, 0.7]),
            _overhead("three percent", np.geomspace(1, 1.001, 7)),
            _overhead("twice", [1.0, 1.0]),
            _overhead("compiles", STEADY),
            _overhead("computes more", STEADY),
        ],
        "solvers": [
            {"name": "kernel, 30 players", "players": 30, "evaluations": 600, "repeats": {"milliseconds": STEADY}}
        ],
        "prompts": [
            {
                "name": "walk",
                "length": 64,
                "coalitions": 9,
                "tokens": {"prefixes": 200},
                "repeats": {"packed": STEADY, "prefixes": STEADY},
            }
        ],
        "memory": [{"name": "blocks", "rows": 100, "bytes": 1000}],
        "growth": [_growth([STEADY, STEADY], [100, 100])],
        "devices": [
            {
                "name": "strong",
                "inputs": 8,
                "forced": True,
                "collectives": 2,
                "collectives_in_loops": 0,
                "work_ratio": 1.0,
            }
        ],
        "peers": [_peer(STEADY, _times(4)), {"name": "compared with lime", "peer": "lime", "skipped": "not installed"}],
        "errors": [
            _errors("xaijax: kernel", [1e-1, 1e-3, 1e-2, 5e-2, 4e-3, 2e-2]),
            _errors("xaijax: default", [1e-1, 1e-3, 1e-2, 5e-2, 4e-3, 2e-2]),
            _errors("shap: KernelExplainer", [1e-1] * 6),
        ],
    }


@pytest.fixture
def after(before):
    record = copy.deepcopy(before)
    by_name = {row["name"]: row for row in record["overhead"]}
    by_name["slower"]["repeats"]["ratio"] = _times(1.5)
    by_name["faster"]["repeats"]["ratio"] = _times(0.6)
    by_name["shaky"]["repeats"]["ratio"] = _times(1.3, by_name["shaky"]["repeats"]["ratio"])
    by_name["three percent"]["repeats"]["ratio"] = _times(1.03, by_name["three percent"]["repeats"]["ratio"])
    by_name["twice"]["repeats"]["ratio"] = [9.0, 9.0]
    by_name["compiles"]["second_compilations"] = 1
    by_name["computes more"]["flops_ratio"] = 2.0
    record["prompts"][0]["repeats"]["prefixes"] = _times(1.5)
    record["memory"][0]["bytes"] = 1005  # half a percent
    record["growth"] = [_growth([_times(1.001), _times(2)], [100, 300])]
    record["devices"][0]["collectives_in_loops"] = 3
    record["peers"][0] = _peer(_times(1.6), _times(4))
    # Three times the error for each seed, which lies within the spread of the seeds.
    record["errors"][0]["errors"] = [3 * error for error in before["errors"][0]["errors"]]
    record["errors"][2]["errors"] = [9.0] * 6  # errors of other packages are not compared
    return record


def _called(comparison, verdict):
    return {(row.section, row.name, row.measure) for row in comparison.called(verdict)}


def test_only_what_differs_by_more_than_its_noise_is_called_so(before, after):
    comparison = compare(before, after)
    ratio, operations, again = "time ÷ bare model", "operations ÷ bare model", "compiled again"
    assert _called(comparison, WORSE) == {
        ("overhead", "slower", ratio),
        ("overhead", "compiles", again),
        ("overhead", "computes more", operations),
        ("growth", "LIME, batch 64", "time"),
        ("growth", "LIME, batch 64", "bytes"),
        ("prompts", "walk", "prefixes ÷ packed rows"),
        ("devices", "strong", "collectives in loops"),
        ("peers", "table, compared with shap", "time ÷ the peer's"),
        ("errors", "xaijax: kernel on teams (12) with 5 evaluations per player", "error"),
    }
    assert _called(comparison, BETTER) == {("overhead", "faster", ratio)}
    assert _called(comparison, UNKNOWN) == {("overhead", "twice", ratio)}
    assert {
        ("overhead", "steady", ratio),
        ("overhead", "shaky", ratio),
        ("overhead", "three percent", ratio),
        ("memory", "blocks", "bytes"),
        ("growth", "LIME, batch 8", "time"),
        ("solvers", "kernel, 30 players", "time"),
        ("errors", "xaijax: default on teams (12) with 5 evaluations per player", "error"),
    } <= _called(comparison, NOISE)
    assert comparison.warnings == []
    slower = next(row for row in comparison.rows if row.name == "slower" and row.measure == ratio)
    assert slower.change.ratio == pytest.approx(1.5)
    assert 1.4 < slower.change.low < 1.5 < slower.change.high < 1.6


def test_a_record_is_not_different_from_itself(before):
    comparison = compare(before, before)
    assert _called(comparison, WORSE) == _called(comparison, BETTER) == set()
    assert len(comparison.rows) == len(comparison.called(NOISE)) + len(comparison.called(UNKNOWN))


def test_what_is_worse_one_way_is_better_the_other(before, after):
    there, back = compare(before, after), compare(after, before)
    assert _called(there, WORSE) == _called(back, BETTER)
    assert _called(there, BETTER) == _called(back, WORSE)


def test_a_busy_device_is_no_slower_program(before):
    """The bare models and everything else take twice as long: no ratio changes, and no time is called different."""
    after = copy.deepcopy(before)
    for row in after["overhead"]:
        for name in ("seconds", "bare_seconds"):
            row["repeats"][name] = _times(2, row["repeats"][name])
    after["solvers"][0]["repeats"]["milliseconds"] = _times(2)
    comparison = compare(before, after)
    assert comparison.drift == pytest.approx(2)
    assert comparison.called(WORSE) == []
    assert any("took 2.00 times as long" in warning for warning in comparison.warnings)
    after["solvers"][0]["repeats"]["milliseconds"] = _times(4)
    assert _called(compare(before, after), WORSE) == {("solvers", "kernel, 30 players", "time")}


def test_differences_of_the_runs_are_reported(before):
    after = copy.deepcopy(before)
    after |= {"form": "full", "device": before["device"] | {"cores": 8}, "versions": {"jax": "0.11.0"}}
    after["overhead"][0]["sizes"] = {"inputs": 400}
    after["overhead"].append(_overhead("new", STEADY))
    del after["memory"][0]
    comparison = compare(before, after)
    assert comparison.warnings == [
        "the devices differ: cores 2 and 8",
        "the versions differ: jax 0.10.0 and 0.11.0",
        "the forms differ: quick and full",
        "only in the first: memory: blocks",
        "only in the second: overhead: new",
        "not compared, as the sizes differ: overhead: slower",
    ]
    assert "slower" not in {row.name for row in comparison.rows}


def test_the_command_exits_with_one_where_something_is_worse(before, after, tmp_path, capsys):
    paths = [tmp_path / "before.json", tmp_path / "after.json"]
    for path, record in zip(paths, (before, after), strict=True):
        path.write_text(json.dumps(record))
    with pytest.raises(SystemExit) as raised:
        main(["compare", *map(str, paths)])
    assert raised.value.code == 1
    printed = capsys.readouterr().out
    assert "9 worse, 1 better" in printed
    assert "shaky" not in printed
    main(["compare", "--all", str(paths[0]), str(paths[0])])
    assert "shaky" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "must be a record that"),
        ('{"overhead": []}', "must be of schema 1, got none"),
        ('{"schema": 99}', "got schema 99"),
    ],
)
def test_files_that_are_no_records_are_refused(text, sentence, tmp_path, capsys):
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(SystemExit) as raised:
        main(["compare", str(path), str(path)])
    assert raised.value.code == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("repeats", [5, 15])
@pytest.mark.parametrize("stragglers", [0.0, 0.15])
def test_equal_samples_are_rarely_called_different(repeats, stragglers):
    rng = np.random.default_rng(0)
    called, draws, doubt = 0, 1000, 0.05
    for _ in range(draws):
        samples = np.exp(
            rng.normal(scale=0.03, size=(2, repeats))
            + (rng.random((2, repeats)) < stragglers) * rng.exponential(0.4, (2, repeats))
        )
        measured = change(*samples, doubt=doubt)
        called += measured.low > 1 or measured.high < 1
    assert called / draws < 2 * doubt


def test_a_real_difference_is_detected_in_steady_repeats():
    rng = np.random.default_rng(0)
    samples = np.exp(rng.normal(scale=0.02, size=(200, 2, 7))) * np.array([1, 1.25])[:, None]
    assert np.mean([change(*pair, doubt=0.001).low > 1 for pair in samples]) > 0.9


def test_too_few_repeats_have_no_interval():
    measured = change([1.0, 1.0], [2.0, 2.0, 2.0], doubt=0.05)
    assert measured.ratio == pytest.approx(2)
    assert math.isnan(measured.low)
    assert math.isnan(measured.high)
