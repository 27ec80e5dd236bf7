"""The files that CI, releases and editors read agree with each other, and name files that exist."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT, EXTRAS = PYPROJECT["project"], PYPROJECT["project"]["optional-dependencies"]
WORKFLOWS = {path.stem: yaml.safe_load(path.read_text()) for path in (ROOT / ".github/workflows").glob("*.yml")}
STEPS = [
    (name, step)
    for name, workflow in WORKFLOWS.items()
    for job in workflow["jobs"].values()
    for step in job.get("steps", [])
]
PYTHONS = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))


def test_every_action_has_one_version():
    used = {step["uses"].split("@")[0]: set() for _, step in STEPS if "uses" in step}
    for _, step in STEPS:
        if "uses" in step:
            action, version = step["uses"].split("@")
            used[action].add(version)
            assert re.fullmatch(r"v\d+|release/v\d+", version), step["uses"]
    assert {action: versions for action, versions in used.items() if len(versions) != 1} == {}


@pytest.mark.parametrize("name", sorted(WORKFLOWS))
def test_commands_of_workflows_name_files_and_extras_that_exist(name):
    for command in [step["run"] for own, step in STEPS if own == name and "run" in step]:
        for word in shlex.split(command.replace("$(", " ").replace(")", " ")):
            if re.fullmatch(r"\.?\w[\w.-]*/[\w./-]+|\w+\.py|docs|\.ci/\w+", word) and not word.startswith("out/"):
                assert (ROOT / word).exists(), word
            for extra in re.findall(r"^\.\[(.*)\]$", word):
                assert set(extra.split(",")) <= set(EXTRAS), word
    for job in WORKFLOWS[name]["jobs"].values():
        assert not job.get("uses", "").startswith("./") or (ROOT / job["uses"]).exists()
        assert set([job["needs"]] if "needs" in job else []) <= set(WORKFLOWS[name]["jobs"])


def test_no_workflow_may_write_but_where_it_publishes():
    for name, workflow in WORKFLOWS.items():
        assert workflow["permissions"] == {"contents": "read"}, name
        for number, job in workflow["jobs"].items():
            assert "permissions" not in job or number == "publish"
            assert "uses" in job or "timeout-minutes" in job, (name, number)


def test_releases_are_published_without_a_token():
    job = WORKFLOWS["release"]["jobs"]["publish"]
    assert job["permissions"] == {"id-token": "write"}
    assert job["environment"] == "release"
    assert job["steps"][-1] == {"uses": "pypa/gh-action-pypi-publish@release/v1"}
    assert WORKFLOWS["release"][True] == {"push": {"tags": ["v*"]}}  # YAML reads `on` as true
    assert "secrets" not in (ROOT / ".github/workflows/release.yml").read_text()
    folders = [step["with"] for _, step in STEPS if re.search("(up|down)load-artifact", step.get("uses", ""))]
    assert [(folder["name"], folder["path"]) for folder in folders] == [("dist", "dist")] * 2


def test_every_supported_python_is_tested_and_the_lowest_is_that_of_the_linters():
    assert PYTHONS == ["3.11", "3.12", "3.13"]
    assert PROJECT["requires-python"] == f">={PYTHONS[0]}"
    assert PYPROJECT["tool"]["ruff"]["target-version"] == "py" + PYTHONS[0].replace(".", "")
    assert PYPROJECT["tool"]["pyright"]["pythonVersion"] == PYTHONS[0]
    matrix = WORKFLOWS["tests"]["jobs"]["versions"]["strategy"]["matrix"]["python-version"]
    (own,) = {
        version
        for _, step in STEPS
        if (version := str(step.get("with", {}).get("python-version", ""))).startswith("3") and "\n" not in version
    }
    assert [own, *matrix] == PYTHONS
    (several,) = {
        version for _, step in STEPS if "\n" in (version := str(step.get("with", {}).get("python-version", "")))
    }
    assert sorted(several.split()) == PYTHONS
    assert f"| Python | {', '.join(PYTHONS)} |" in (ROOT / "docs/versions.md").read_text()


def test_jax_and_jaxlib_have_one_range_and_ci_runs_its_lower_end():
    low, high = re.fullmatch(r"jax>=([\d.]+),<([\d.]+)", PROJECT["dependencies"][0]).groups()
    assert PROJECT["dependencies"][1] == f"jaxlib>={low},<{high}"
    assert f"jax=={low}.0 jaxlib=={low}.0 " in (ROOT / ".ci/run").read_text()
    major, minor = high.split(".")
    newest = f"{major}.{int(minor) - 1}"
    stated = low if newest == low else f"{low} to {newest}"
    assert f"| JAX | {stated}: " in (ROOT / "docs/versions.md").read_text()


def test_editors_and_ci_lint_with_one_version():
    (ruff,) = [line for line in EXTRAS["tests"] if line.startswith("ruff")]
    assert re.fullmatch(r"ruff==[\d.]+", ruff)
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    assert [hook["additional_dependencies"] for hook in hooks] == [[ruff]] * 2
    commands = [re.sub(" --force-exclude", "", hook["entry"]) for hook in hooks]
    ci = (ROOT / ".ci/run").read_text()
    assert all(f"/{command} ." in ci or f"/{command} --check ." in ci for command in commands)


def test_ci_installs_the_peers_of_the_extra():
    installed = " ".join(re.findall(r"pip install (.*)", (ROOT / ".ci/run").read_text())).split()
    assert set(EXTRAS["peers"]) - set(installed) == set()
