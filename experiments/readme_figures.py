"""Draws the pictures of README, by running its examples.

python -m experiments.readme_figures --out out/readme
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import matplotlib.pyplot as plt

README = Path(__file__).parent.parent / "README.md"


def examples() -> dict[str, str]:
    """Returns the examples of README by the names of the pictures below them."""
    blocks = re.findall(r"```python\n(.*?)```\s+!\[[^\]]*\]\([^)]*/(\w+)\.png\)", README.read_text(), flags=re.DOTALL)
    return {name: code for code, name in blocks}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/readme"), help="the folder to write to")
    out = parser.parse_args(arguments).out
    out.mkdir(parents=True, exist_ok=True)
    for name, code in examples().items():
        exec(compile(code, f"README.md, {name}", "exec"), {})
        plt.gcf().savefig(out / f"{name}.png", dpi=80)
        plt.close("all")
        print(f"wrote {out / name}.png")


if __name__ == "__main__":
    main()
