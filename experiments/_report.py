"""Where an experiment writes: figures with the numbers behind them, a line for each, a summary at the end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

import xaijax as xai


class Report:
    """A folder of results. `with Report(out, total=...) as report:` shows a progress bar where there is a terminal."""

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

    def step(self, what: str) -> None:
        """One step further, and what comes now."""
        self._progress.update(self._task, advance=1, description=what)

    def say(self, line: str) -> None:
        self.console.print(line, markup=False)

    def figure(self, name: str, figure: Figure, what: str) -> None:
        """Writes a figure and says so in a line."""
        figure.savefig(self.out / f"{name}.png", dpi=130)
        plt.close(figure)
        self.figures.append((f"{name}.png", what))
        self.say(f"wrote {self.out / f'{name}.png'}: {what}")

    def keep(self, name: str, attribution: xai.Attribution) -> None:
        """Writes the attribution behind a figure; `xai.load` reads it."""
        xai.save(self.out / f"{name}.npz", attribution)

    def section(self, attribution: xai.Attribution, **options: Any) -> None:
        """A section of the page that `page` writes, see `xai.Section`."""
        self.sections.append(xai.Section(attribution, **options))

    def page(self, title: str, text: str) -> None:
        """Writes the sections as one HTML page."""
        xai.report(self.out / "report.html", self.sections, title=title, text=text)
        self.figures.insert(0, ("report.html", f"one page about all of it: {len(self.sections)} sections"))

    def close(self) -> None:
        """Writes the numbers, and says where everything is."""
        (self.out / "numbers.json").write_text(json.dumps(self.numbers, indent=2) + "\n")
        self.say(f"\nLook in {self.out}:")
        for name, what in self.figures:
            self.say(f"  {name:<26} {what}")
        self.say(f"  {'numbers.json':<26} the numbers behind what was said: {len(self.numbers)} entries")
        if any(self.out.glob("*.npz")):
            self.say(f"  {'*.npz':<26} the attributions behind the figures, for xai.load")
