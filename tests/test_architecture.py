"""The arrows between the folders: no import circle, lazy imports included, and no method knows another."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import xaijax

ROOT = Path(xaijax.__file__).parent
NAMESPACES = [name for name in xaijax.__all__ if (ROOT / name / "__init__.py").exists()]

# The folders that each folder may import. "xaijax" itself, with all names, is imported by none.
ARROWS = {
    "_version": set(),
    "__main__": {"_core", "_demonstration", "_io", "_report", "_version", "scale"},
    "_core": {"_model", "_version"},
    "_model": {"_core"},
    "_io": {"_core", "_model", "_version"},
    "segment": {"_core"},
    "mask": {"_core", "_model", "segment"},
    "target": {"_core", "_model"},
    "trees": {"_core", "_model"},
    "text": {"_core", "_model"},
    "cam": {"_core", "_model", "mask", "target", "segment"},
    "gradient": {"_core", "_model", "mask", "target", "segment"},
    "lime": {"_core", "_model", "_io", "mask", "target", "segment"},
    "shap": {"_core", "_model", "mask", "target", "segment", "gradient", "trees"},
    "metrics": {"_core", "_model", "_io", "mask", "target"},
    "plot": {"_core", "_model", "_io", "mask", "metrics", "text"},
    "_explain": {"_core", "_model", "mask", "cam", "lime", "shap"},
    "_demonstration": {"_core", "cam", "lime", "mask", "plot", "shap"},
    "_report": {"_core", "_io", "_version", "metrics", "plot", "text"},
    "scale": {"_core", "_model", "_io", "_version", "mask", "target", "metrics"},
}


def module_name(path):
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}


class _Imports(ast.NodeVisitor):
    """Collects the imports of a module wherever they stand, those for type checkers included."""

    def __init__(self, package):
        self.package, self.modules = package, set()

    def visit_Import(self, node):
        self.modules |= {alias.name for alias in node.names}

    def visit_ImportFrom(self, node):
        parent = self.package.rsplit(".", node.level - 1)[0] if node.level else ""
        module = ".".join(part for part in (parent, node.module) if part)
        for alias in node.names:
            full = f"{module}.{alias.name}"
            self.modules.add(full if full in MODULES else module)


def imports(source, package=""):
    visitor = _Imports(package)
    visitor.visit(ast.parse(source))
    return visitor.modules


IMPORTS = {name: imports(path.read_text(), name.rpartition(".")[0]) for name, path in MODULES.items()}


def circles(edges):
    """Returns the strongly connected components of several modules (Tarjan, 1972)."""
    order, low, stack, components = {}, {}, [], []

    def visit(module):
        order[module] = low[module] = len(order)
        stack.append(module)
        for other in edges[module] & edges.keys():
            if other not in order:
                visit(other)
            if other in stack:
                low[module] = min(low[module], low[other])
        if low[module] == order[module]:
            position = stack.index(module)
            components.append(sorted(stack[position:]))
            del stack[position:]

    for module in edges:
        if module not in order:
            visit(module)
    return [component for component in components if len(component) > 1]


def test_no_import_circle_exists_even_by_imports_within_functions():
    assert circles(IMPORTS) == []


def test_the_search_sees_circles_of_lazy_imports_and_of_type_checkers():
    def edges(lazy):
        return {"a": imports("import b"), "b": imports(lazy)}

    assert circles(edges("def f():\n    from a import g")) == [["a", "b"]]
    assert circles(edges("if TYPE_CHECKING:\n    from a import g")) == [["a", "b"]]
    assert circles(edges("import c")) == []
    assert circles(edges("import c")) == []


@pytest.mark.parametrize("folder", sorted({name.split(".")[1] for name in MODULES if "." in name}))
def test_a_folder_imports_only_the_folders_below_it(folder):
    """A new folder gets a line in ARROWS, by the arrows of the architecture."""
    allowed = {"xaijax." + other for other in ARROWS[folder] | {folder}}
    for name in (name for name in MODULES if name.split(".")[1:2] == [folder]):
        own = {module for module in IMPORTS[name] if module.partition(".")[0] == "xaijax"}
        assert {".".join(module.split(".")[:2]) for module in own} <= allowed, name


def test_methods_never_import_each_other_and_the_core_knows_none():
    """But xai.shap offers expected gradients as well, which are Shapley values."""
    methods = {"cam", "gradient", "lime", "shap"}
    arrows = {method: ARROWS[method] & methods for method in methods}
    assert arrows == {"cam": set(), "gradient": set(), "lime": set(), "shap": {"gradient"}}
    of_shap = {name: modules for name, modules in IMPORTS.items() if name.startswith("xaijax.shap")}
    assert [name for name, modules in of_shap.items() if "xaijax.gradient" in modules] == ["xaijax.shap"]
    assert not [name for modules in of_shap.values() for name in modules if name.startswith("xaijax.gradient.")]
    assert not ARROWS["_core"] & (methods | {"mask", "metrics", "plot", "scale", "_report", "_io"})


def test_the_package_imports_neither_experiments_nor_benchmarks_nor_tests():
    outside = {"experiments", "benchmarks", "tests"}
    assert not [name for name in MODULES if outside & {module.partition(".")[0] for module in IMPORTS[name]}]


def test_every_imported_package_is_declared():
    import tomllib

    project = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    words = {"pillow": "PIL", "scikit-learn": "sklearn", "scikit-image": "skimage", "dm-haiku": "haiku"}
    declared = set()
    for line in (*project["dependencies"], *extras):
        name = line.split("[")[0].split(">")[0].split("=")[0].split("<")[0].strip().lower()
        declared.add(words.get(name, name.replace("-", "_")))
    third_party = {module.partition(".")[0] for modules in IMPORTS.values() for module in modules}
    third_party -= {"xaijax", "", *sys.stdlib_module_names}
    assert third_party <= declared


def in_a_new_process(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


HEAVY = [
    "matplotlib",
    "rich",
    "tensorstore",
    "optax",
    "scipy",
    "flax",
    "PIL",
    "pandas",
    "sklearn",
    "torch",
    "equinox",
    "keras",
    "haiku",
]


def test_importing_the_package_imports_no_heavy_dependency():
    code = f"import sys, xaijax; print([name for name in {HEAVY} if name in sys.modules])"
    assert in_a_new_process(code) == "[]"


def test_namespaces_without_plots_import_no_heavy_dependency():
    modules = ", ".join(f"xaijax.{name}" for name in NAMESPACES if name != "plot")
    code = f"import sys, {modules}; print([name for name in {HEAVY} if name in sys.modules])"
    assert in_a_new_process(code) == "[]"


def test_importing_the_package_adds_at_most_three_tenths_of_a_second_to_jax():
    code = "import jax, time; start = time.process_time(); import xaijax; print(time.process_time() - start)"
    seconds = [float(in_a_new_process(code)) for _ in range(3)]
    assert min(seconds) < 0.3


@pytest.mark.parametrize("namespace", [None, *NAMESPACES])
def test_tab_completion_shows_public_names_alone(namespace):
    module = getattr(xaijax, namespace) if namespace else xaijax
    assert sorted(dir(module)) == sorted(module.__all__)
    assert not [name for name in dir(module) if name.startswith("_")]
    assert all(getattr(module, name) is not None for name in module.__all__)


def test_a_name_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'xaijax' has no attribute 'limes'"):
        xaijax.limes  # noqa: B018
