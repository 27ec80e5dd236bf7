"""The wheel and the source archive hold what they should, and work where nothing but them is installed.

`python -m pytest -m slow tests/test_release.py` makes an environment for each supported version of Python that this machine
has, with the lowest and with the newest JAX. Each takes a minute, and half a gigabyte while it exists.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.version import Version

import xaijax

ROOT = Path(__file__).parent.parent
SCRIPT = Path(__file__).parent / "users" / "every_namespace.py"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PYTHONS = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
LOWEST = [  # of JAX and of what has to suit it
    re.sub(r">=([\d.]+).*", r"==\1", line) for line in PROJECT["dependencies"] if re.match(r"(jax|jaxlib|flax)>", line)
]
LARGEST = 1_000_000  # bytes of an archive


def run(*command, **options):
    """Runs a command with no settings of the tests, and returns what it prints."""
    kept = {
        name: value for name, value in os.environ.items() if not re.match("JAX|XLA|NPROC|PYTHON|OPENBLAS_NUM", name)
    }
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=kept, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """The wheel and the source archive of this folder."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-d", folder, cwd=ROOT)
    (wheel,), (source,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, source


def test_the_wheel_holds_the_package_alone_and_the_archive_what_builds_it(archives):
    wheel, source = archives
    own = {
        path.relative_to(ROOT).as_posix() for path in (ROOT / "xaijax").rglob("*") if path.suffix in (".py", ".typed")
    }
    assert "xaijax/py.typed" in own
    with zipfile.ZipFile(wheel) as file:
        info = f"xaijax-{xaijax.__version__}.dist-info"
        listed = {name for name in file.namelist() if not name.startswith(f"{info}/")}
        metadata = file.read(f"{info}/METADATA").decode()
    assert listed == own
    assert f"Version: {xaijax.__version__}\n" in metadata
    assert "License-File: LICENSE\n" in metadata
    with tarfile.open(source) as file:
        listed = {name.partition("/")[2] for name in file.getnames()}
    assert listed - own == {
        "CHANGELOG.md",
        "CITATION.cff",
        "LICENSE",
        "PKG-INFO",
        "README.md",
        "pyproject.toml",
        ".gitignore",
    }
    assert own < listed
    for archive in archives:
        assert archive.stat().st_size < LARGEST
        assert f"xaijax-{xaijax.__version__}" in archive.name


def interpreter(version):
    """Returns the path of a Python of this version on this machine, as named by systems or installed by pyenv; or None."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    named = [shutil.which(f"python{version}"), *sorted(pyenv.glob(f"{version}.*/bin/python"))]
    for path in filter(None, named):
        code = "import sys, venv; print(*sys.version_info[:2], sep='.')"
        done = subprocess.run([path, "-c", code], capture_output=True, text=True)
        if done.stdout.strip() == version:
            return path
    return None


@pytest.mark.slow
@pytest.mark.parametrize("jax", ["lowest", "newest"])
@pytest.mark.parametrize("python", PYTHONS)
def test_what_strangers_install_explains_and_type_checks(python, jax, archives, tmp_path):
    base = interpreter(python)
    if base is None:
        pytest.skip(f"no Python {python} on this machine")
    run(base, "-m", "venv", tmp_path / "clean")
    own = tmp_path / "clean" / "bin" / "python"
    try:
        for archive in archives:
            run(
                own,
                "-m",
                "pip",
                "install",
                "--quiet",
                "--force-reinstall",
                archive,
                *(LOWEST if jax == "lowest" else []),
            )
            run(own, "-m", "pip", "check")
            lines = run(own, "-m", "xaijax", "env", cwd=tmp_path).splitlines()
            assert lines[0] == f"xaijax {xaijax.__version__}"
            assert lines[1].startswith(f"python {python}.")
            versions = dict(line.split()[:2] for line in lines)
            lowest = dict(line.split("==") for line in LOWEST)["jax"]
            assert jax == "newest" or Version(versions["jax"]) == Version(lowest)
            where = run(own, "-c", "import xaijax; print(xaijax.__file__)", cwd=tmp_path)
            assert str(tmp_path) in where
            assert run(own, SCRIPT, cwd=tmp_path).startswith("conv (2, 16, 16, 4)")
            print(f"{archive.name} with Python {versions['python']} and JAX {versions['jax']}: installed, and explains")
        settings = tmp_path / "pyrightconfig.json"
        settings.write_text(f'{{"include": ["user"], "typeCheckingMode": "strict", "pythonVersion": "{python}"}}')
        (tmp_path / "user").mkdir()
        shutil.copy(SCRIPT, tmp_path / "user")
        checked = run(sys.executable, "-m", "pyright", "--pythonpath", own, "-p", settings)
        assert "0 errors, 0 warnings" in checked
    finally:
        shutil.rmtree(tmp_path / "clean")
