"""The command line: `python -m xaijax version`, `env`, `explain` and `report`."""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from xaijax._version import __version__

# What a bug report needs to know of the environment, where it is installed.
_PACKAGES = ("jax", "jaxlib", "flax", "numpy", "scipy", "matplotlib", "optax", "equinox", "keras", "torch")

_METHODS = (
    "grad_cam",
    "cam",
    "lime",
    "shap",
)  # of the demonstration, listed here so that the other commands import none
_MOST_CLASSES = 10  # as many maps are still readable next to each other


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command, and returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m xaijax", description="Explanations of JAX models.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    commands.add_parser("version", help="the version of the package")
    commands.add_parser("env", help="versions and devices, to paste into a bug report")
    explain = commands.add_parser("explain", help="why a real network sees what it sees in a photograph, as a picture")
    explain.add_argument("image", type=Path, help="a photograph: a JPEG or PNG file, or any other that Pillow reads")
    explain.add_argument("--method", choices=_METHODS, default=_METHODS[0], help=f"default: {_METHODS[0]}")
    explain.add_argument("--class", dest="label", metavar="CLASS", help="name or index of the class to explain")
    explain.add_argument(
        "--top", type=int, default=3, help="how many of the likeliest classes, if no class is named. Default: 3"
    )
    explain.add_argument(
        "--out", type=Path, help="the picture. Default: next to the photograph, such as cat_grad_cam.png"
    )
    report = commands.add_parser("report", help="one HTML file about a stored run, or about a saved attribution")
    report.add_argument("path", type=Path, help="a store of xai.scale.explain_dataset, or a file of xai.save")
    report.add_argument("--out", type=Path, help="the HTML file. Default: next to the path, with its name")
    report.add_argument("--rows", type=int, default=100, help="how many rows are read, from the first. Default: 100")
    report.add_argument("--examples", type=int, default=3, help="how many of them are shown one by one. Default: 3")
    options = parser.parse_args(arguments)
    if options.command == "version":
        print(__version__)
    elif options.command == "env":
        print("\n".join(environment()))
    elif options.command == "explain":
        return _explain(options.image, options.method, options.label, options.top, options.out)
    else:
        return _report(options.path, options.out, options.rows, options.examples)
    return 0


def environment() -> list[str]:
    """Returns a line for each version and device that a bug report should name."""
    import jax

    lines = [f"xaijax {__version__}", f"python {platform.python_version()} on {platform.platform()}"]
    for package in _PACKAGES:
        try:
            lines.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    devices = jax.devices()
    lines.append(f"devices {len(devices)} {devices[0].platform} ({devices[0].device_kind})")
    config = jax.config.values
    lines.append(f"x64 {config['jax_enable_x64']}, dtype promotion {config['jax_numpy_dtype_promotion']}")
    return lines


def _explain(image: Path, method: str, label: str | None, top: int, out: Path | None) -> int:
    from xaijax._demonstration.photograph import explain_photograph

    if not 1 <= top <= _MOST_CLASSES:
        print(f"`--top` must be 1 to {_MOST_CLASSES}, got {top}.", file=sys.stderr)
        return 2
    try:
        lines = explain_photograph(image, method, label, top, out)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(lines))
    return 0


def _report(path: Path, out: Path | None, rows: int, examples: int) -> int:
    from xaijax._core.attribution import Attribution
    from xaijax._io.files import load
    from xaijax._report import Section, report
    from xaijax.scale import failures

    if rows < 1 or examples < 1:
        print("`--rows` and `--examples` must be at least 1.", file=sys.stderr)
        return 2
    text = f"From {path.name}."
    try:
        attribution = load(path, rows=slice(rows)) if path.is_dir() else load(path)
        if path.is_dir() and (failed := failures(path)):
            reasons = "; ".join(f"row {each.row}: {each.reason}" for each in failed[:5])
            text += f"\n\n{len(failed)} rows of the store could not be explained, such as {reasons}"
        if not isinstance(attribution, Attribution):
            raise TypeError(f"{path} holds no attributions: pass a store of explanations, or a file of xai.save.")
        if attribution.num_examples is not None:
            attribution = attribution[:rows]
        shown = range(min(examples, attribution.num_examples or 1))
        section = Section(attribution, title=f"The first {rows} rows" if path.is_dir() else "", examples=list(shown))
        written = report(out or path.with_suffix(".html"), [section], title=path.stem, text=text)
    except (OSError, TypeError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    print(written)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
