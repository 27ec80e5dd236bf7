"""Checks the package's annotations, the shapes of arrays among them, at every call in the tests.

jaxtyping's import hook decorates the functions of each module while it is imported, and beartype checks their calls.
"""

import ast
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

from beartype import beartype
from jaxtyping import install_import_hook

ROOT = Path(__file__).parent.parent / "xaijax"

# Modules and functions that are not checked, each with the reason.
EXCLUDED = {
    "xaijax._core.attribution": "PyTrees pass through transformations with None and other things in the place of arrays",
    "xaijax._core.model_game:ModelGame.__init__": "compiled functions rebuild the game with slots in the place of models",
    "xaijax._core.target:Target.__init__": "compiled functions rebuild the target with slots in the place of models",
}


def _module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)


def _exported(package: Path) -> set[str]:
    """Returns the names in `__all__`, read from the file."""
    for statement in ast.parse(package.read_text()).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__all__":
            return set(ast.literal_eval(statement.value))
    return set()


# Read from the files: `pkgutil.walk_packages` imports the packages, and the hook sees only imports after it is installed.
PACKAGES = sorted(ROOT.rglob("__init__.py"))
MODULES = sorted({_module_name(path) for path in ROOT.rglob("*.py") if path not in PACKAGES} - {*EXCLUDED})
PUBLIC = {name for package in PACKAGES for name in _exported(package)}


def install() -> None:
    """Installs the hook, before the package is imported."""
    install_import_hook(MODULES, f"{__name__}.checked")


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a signature from jaxtyping with beartype's checks.

    Public functions and classes answer wrong arguments themselves, in a sentence: only what they return is checked.
    `Self` is left out, as beartype knows it in decorated classes alone.
    """
    if f"{function.__module__}:{function.__qualname__}" in EXCLUDED:
        return function
    is_public = function.__qualname__.partition(".")[0] in PUBLIC
    function.__annotations__ = {
        name: hint
        for name, hint in function.__annotations__.items()
        if not (is_public and name != "return") and not _mentions_self(hint)
    }
    return beartype(function)


def _mentions_self(hint: Any) -> bool:
    return hint is typing.Self or any(map(_mentions_self, typing.get_args(hint)))
