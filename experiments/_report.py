"""The output of a study: figures with their numbers, a line for each, and a summary."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

import xaijax as xai


class Report:
    """Writes the results of a study into a folder. As a context manager it shows a progress bar of `total` steps."""

    def __init__(self, out: Path, *, total: int = 0):
        out.mkdir(parents=True, exist_ok=True)
        self.out = out
        self.console = Console(highlight=False, soft_wrap=True)
        self.numbers: dict[str, Any] = {}
        self.figures: list[tuple[str, str]] = []
        self.sections: list[xai.Section] = []
        self._progress = Progress(
            TextColumn("{task.description:<34}"), BarColumn(), TimeElapsedColumn(), console=self.console, transient=True
        )
        self._task = self._progress.add_task("starting", total=total)
        self._total = total

    def __enter__(self) -> Report:
        if self._total:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def step(self, description: str) -> None:
        """Advances the progress bar by one step and names the next one."""
        self._progress.update(self._task, advance=1, description=description)

    def say(self, line: str) -> None:
        self.console.print(line, markup=False)

    def figure(self, name: str, figure: Figure, description: str) -> None:
        """Writes a figure and prints a line about it."""
        figure.savefig(self.out / f"{name}.png", dpi=130)
        plt.close(figure)
        self.figures.append((f"{name}.png", description))
        self.say(f"wrote {self.out / f'{name}.png'}: {description}")

    def keep(self, name: str, attribution: xai.Attribution) -> None:
        """Writes the attribution behind a figure; `xai.load` reads it."""
        xai.save(self.out / f"{name}.npz", attribution)

    def section(self, attribution: xai.Attribution, **options: Any) -> None:
        """Adds a section to the page that `page` writes, see `xai.Section`."""
        self.sections.append(xai.Section(attribution, **options))

    def page(self, title: str, text: str) -> None:
        """Writes the sections as one HTML page."""
        xai.report(self.out / "report.html", self.sections, title=title, text=text)
        self.figures.insert(0, ("report.html", f"one page with all explanations: {len(self.sections)} sections"))

    def close(self) -> None:
        """Writes the numbers and lists the files."""
        (self.out / "numbers.json").write_text(json.dumps(self.numbers, indent=2) + "\n")
        self.say(f"\nLook in {self.out}:")
        for name, description in self.figures:
            self.say(f"  {name:<26} {description}")
        self.say(f"  {'numbers.json':<26} all reported numbers: {len(self.numbers)} entries")
        if any(self.out.glob("*.npz")):
            self.say(f"  {'*.npz':<26} the attributions behind the figures, for xai.load")


def efficiency_gap(attribution: xai.Attribution) -> float:
    """Returns the largest difference over the rows between the values' sum and the output minus the base value."""
    assert attribution.base_value is not None
    total = attribution.values.sum(axis=1)
    return float(jnp.abs(total - (attribution.output - attribution.base_value)).max())
