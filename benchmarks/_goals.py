"""What the library aims at, and whether a record meets it: one line for each goal, from the row of the record that measures it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from rich.table import Table

Record = dict[str, Any]
Row = dict[str, Any]
COLUMNS = ("what", "goal", "measured", "met")
NOT_MEASURED = "not in this record"


class Goal(NamedTuple):
    """A goal and the row that measures it.

    title: what is measured. goal: in words.
    section, fields: the row of the record.
    shown: row -> the measured figure, as text. met: row -> whether it meets the goal, at the precision that is shown.
    """

    title: str
    goal: str
    section: str
    fields: dict[str, str]
    shown: Callable[[Row], str]
    met: Callable[[Row], bool]


def lines(record: Record) -> list[tuple[str, str, str, str]]:
    """Returns title, goal, measured figure and "yes" or "no" of each goal; rows that the record lacks are named so."""
    answers = []
    for goal in GOALS:
        row = row_of(record, goal.section, **goal.fields)
        measured = (NOT_MEASURED, "") if row is None else (goal.shown(row), "yes" if goal.met(row) else "no")
        answers.append((goal.title, goal.goal, *measured))
    return answers


def table(lines: list[tuple[str, str, str, str]]) -> Table:
    """Returns the goals as a printed table, with the number of goals that are met."""
    met, missed = (sum(line[3] == answer for line in lines) for answer in ("yes", "no"))
    table = Table(title="goals", caption=f"{met} met, {missed} not met, {len(lines) - met - missed} not measured")
    for name in COLUMNS:
        table.add_column(name)
    for line in lines:
        table.add_row(*line)
    return table


def row_of(record: Record, section: str, **fields: str) -> Row | None:
    """Returns the measured row of a section that has these fields."""
    for row in record.get(section, []):
        if "skipped" not in row and fields.items() <= row.items():
            return row
    return None


def _at_most(
    title: str, limit: float, section: str, name: str, measure: str = "ratio", form: str = "{:.2f}", unit: str = ""
) -> Goal:
    def shown(row: Row) -> str:
        quartiles = row.get(f"{measure}_quartiles")
        text = form.format(row[measure]) + unit
        return text if quartiles is None else f"{text} ({form.format(quartiles[0])}-{form.format(quartiles[1])})"

    met = lambda row: float(form.format(row[measure])) <= limit  # noqa: E731
    return Goal(title, f"{limit:g}{unit}", section, {"name": name}, shown, met)


def _first(title: str, name: str) -> Goal:
    def shown(row: Row) -> str:
        return (
            f"{row['seconds']:.1f} s ({row['ratio']:.1f} times the bare model's); stored {row['stored_seconds']:.1f} s"
        )

    def met(row: Row) -> bool:
        soon = round(row["seconds"], 1) <= 2 or round(row["ratio"], 1) <= 2
        return soon and round(row["stored_seconds"], 1) <= 0.5

    words = "2 s, or twice the bare model's; stored 0.5 s"
    return Goal(f"first call of {title}", words, "first", {"name": name}, shown, met)


def _peer(title: str, limit: float, name: str, peer: str) -> Goal:
    shown = lambda row: "{:.3g} ({:.3g}-{:.3g})".format(row["times_faster"], *row["times_faster_quartiles"])  # noqa: E731
    met = lambda row: float(f"{row['times_faster']:.3g}") >= limit  # noqa: E731
    return Goal(f"{title}: times faster", f"at least {limit:g}", "peers", {"name": name, "peer": peer}, shown, met)


_RESNET = "Grad-CAM, ResNet-50, 32 images at 224"  # of the full form
_TEXTS = Goal(
    "programs for texts of 1 to 1,024 words",
    "8 lengths with programs of their own",
    "first",
    {"name": "lime.strings, texts of 1 to 1,024 words"},
    lambda row: f"{row['texts_compiled']} of {row['texts']} lengths compile {row['programs']} programs",
    lambda row: row["texts_compiled"] <= 8,
)
GOALS = (
    _first("`lime.tabular`, numbers", "lime.tabular of numbers, perceptron"),
    _first("`lime.tabular`, quartiles", "lime.tabular of quartiles, perceptron"),
    _first("`lime.image`", "lime.image, small ResNet"),
    _first("`lime.strings`", "lime.strings, a text of 24 words, bag of embeddings"),
    _first("`lime.strings` for another length", "lime.strings, the next text, of 100 words, bag of embeddings"),
    _first("`shap.values`, 30 players", "shap.values, 30 players, perceptron"),
    _first("`cam.grad_cam`", "cam.grad_cam, small ResNet"),
    _TEXTS,
    _at_most(
        "constants of the Gaussian process, 64 players",
        0.1,
        "solvers",
        "Gaussian process, 64 players",
        "constants_seconds",
        unit=" s",
    ),
    _at_most("LIME of numbers, perceptron", 1.5, "overhead", "LIME of numbers, perceptron"),
    _at_most("LIME of quartiles, perceptron", 2, "overhead", "LIME of quartiles, perceptron"),
    _at_most("LIME of words, bag of embeddings", 2, "overhead", "LIME of words, bag of embeddings"),
    _at_most("interactions of all pairs", 1.3, "overhead", "interactions SHAP, perceptron"),
    _at_most("a scale per player", 4, "overhead", "per-player Gaussian process SHAP, perceptron"),
    _at_most("Grad-CAM, small ViT", 1.1, "overhead", "Grad-CAM, ViT"),
    _at_most("LayerCAM, small ViT", 1.1, "overhead", "LayerCAM, ViT"),
    _at_most("KPCA-CAM at 224 x 224", 2, "overhead", "KPCA-CAM, small ResNet at 224"),
    _at_most("the same by 256 landmarks", 1.3, "overhead", "KPCA-CAM by 256 landmarks, small ResNet at 224"),
    _at_most("eleven maps from one pass", 1.1, "overhead", "all eleven in one pass, small ResNet"),
    _at_most("Grad-CAM, ResNet-50, 32 images at 224", 1.05, "networks", _RESNET),
    _at_most("the same: peak memory", 1.2, "networks", _RESNET, "memory_ratio"),
    _peer("Grad-CAM; captum", 1, "Grad-CAM, small ResNet", "captum LayerGradCam"),
    _peer("FEM; pytorch-grad-cam", 1, "fem", "pytorch-grad-cam, FEM"),
    _peer("Score-CAM; pytorch-grad-cam", 1, "score_cam", "pytorch-grad-cam, ScoreCAM"),
    _peer("LIME of images; captum", 1, "LIME, small ResNet, 49 regions", "captum Lime"),
    _peer("SHAP; shap's PermutationExplainer", 5, "default SHAP, table, 30 features", "shap PermutationExplainer"),
    _peer("LIME of numbers; lime", 10, "table, numbers", "lime"),
)
