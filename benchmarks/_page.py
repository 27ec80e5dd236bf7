"""The tables of pages, filled from the newest record: what stands between `<!-- record: NAME -->` and `<!-- end -->`."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import _record

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
_MARKED = re.compile(r"(<!-- record: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
Record = dict[str, Any]


def newest_record(folder: Path = _record.RESULTS) -> Record:
    """Returns the newest record of CPUs in a quick or full form: those that have the cases of the pages."""
    records = [_record.read(path) for path in sorted(folder.rglob("*.json"))]
    usual = [record for record in records if record["form"] in ("quick", "full") and _of_cpu(record)]
    if not usual:
        raise ValueError(f"`folder` must hold a quick or full record of a CPU, got none in {folder}.")
    return max(usual, key=lambda record: record["date"])


def filled(text: str, record: Record) -> str:
    """Returns the text with the marked parts replaced by those of this record."""

    def replaced(match: re.Match[str]) -> str:
        name = match[2]
        if name not in _PARTS:
            raise ValueError(f"`record:` must name a part of the page, got {name!r}: choose among {list(_PARTS)}.")
        return f"{match[1]}{_PARTS[name](record)}\n{match[3]}"

    return _MARKED.sub(replaced, text)


def _of_cpu(record: Record) -> bool:
    return record["device"]["platform"] == "cpu"


class _Line(NamedTuple):
    """title: what the line shows; names: of the rows of the record, of which the line shows the range."""

    title: str
    names: Sequence[str]


def _line(title: str, *names: str) -> _Line:
    return _Line(title, names or (title,))


_ONE_PASS = ("Grad-CAM++", "HiResCAM", "XGrad-CAM", "LayerCAM", "element-wise Grad-CAM", "Shapley-CAM", "FEM")
_OVERHEAD = (
    _line("CAM, small ResNet"),
    _line("Grad-CAM", "Grad-CAM, small ResNet"),
    _line(", ".join(_ONE_PASS), *(f"{title}, small ResNet" for title in _ONE_PASS)),
    _line("Eigen-CAM, EigenGrad-CAM", "Eigen-CAM, small ResNet", "EigenGrad-CAM, small ResNet"),
    _line("KPCA-CAM", "KPCA-CAM, small ResNet"),
    _line("eleven maps from one pass", "all eleven in one pass, small ResNet"),
    _line("the same at 224 x 224", "all eleven in one pass, small ResNet at 224"),
    _line("KPCA-CAM at 224 x 224: a kernel of 3,136 positions", "KPCA-CAM, small ResNet at 224"),
    _line("Grad-CAM of all ten classes", "Grad-CAM of all ten classes, small ResNet"),
    _line(
        "Score-CAM, Group-CAM, IS-CAM, SS-CAM",
        *(f"{title}, small ResNet" for title in ("Score-CAM", "Group-CAM", "IS-CAM", "SS-CAM")),
    ),
    _line("Smooth Grad-CAM++ (only the tail is evaluated again)", "Smooth Grad-CAM++, small ResNet"),
    _line("Grad-CAM, LayerCAM, small ViT", "Grad-CAM, ViT", "LayerCAM, ViT"),
    _line("permutation SHAP, perceptron"),
    _line("kernel SHAP", "kernel SHAP, perceptron"),
    _line("Gaussian process SHAP", "Gaussian process SHAP, perceptron"),
    _line("the same with a scale per player", "per-player Gaussian process SHAP, perceptron"),
    _line("interactions of all pairs, from the same rows", "interactions SHAP, perceptron"),
    _line("expected gradients, perceptron"),
    _line("Gaussian process SHAP on a grid, small ResNet"),
    _line("Gaussian process SHAP on a grid, small ViT", "Gaussian process SHAP on a grid, ViT"),
    _line("LIME of numbers, perceptron"),
    _line("LIME of quartiles, perceptron"),
    _line("LIME of words, bag of embeddings"),
    _line("LIME of words, text transformer"),
    _line("LIME on superpixels, small ResNet"),
    _line("LIME on superpixels, small ViT", "LIME on superpixels, ViT"),
)
_PEERS = {
    "Grad-CAM, small ResNet; pytorch-grad-cam": ("grad_cam", "pytorch-grad-cam, GradCAM"),
    "Ablation-CAM": ("ablation_cam", "pytorch-grad-cam, AblationCAM"),
    "Score-CAM": ("score_cam", "pytorch-grad-cam, ScoreCAM"),
    "FEM": ("fem", "pytorch-grad-cam, FEM"),
    "Grad-CAM; captum": ("Grad-CAM, small ResNet", "captum LayerGradCam"),
    "LIME of quartiles, 30 features, 5,000 samples; lime": ("table, quartiles", "lime"),
    "LIME of quartiles by lime's definitions": ("table, quartiles, lime's definitions", "lime"),
    "LIME of numbers": ("table, numbers", "lime"),
    "LIME of numbers by lime's definitions": ("table, numbers, lime's definitions", "lime"),
    "LIME of texts of 128 words": ("text, 128 words", "lime"),
    "LIME of images (dominated by the model)": ("image, 49 regions", "lime"),
    "LIME of images; captum": ("LIME, small ResNet, 49 regions", "captum Lime"),
    "SHAP, 30 features, 600 evaluations; shap's PermutationExplainer": (
        "default SHAP, table, 30 features",
        "shap PermutationExplainer",
    ),
    "the same; shap's KernelExplainer, `l1_reg` off": (
        "default SHAP, table, 30 features",
        "shap KernelExplainer, l1_reg off",
    ),
    "exact SHAP, 10 features; shap's ExactExplainer": ("exact SHAP, table, 10 features", "shap ExactExplainer"),
    "kernel SHAP, 12 features; captum": ("kernel SHAP, table, 12 features", "captum KernelShap"),
    "kernel SHAP of images; captum": ("kernel SHAP, small ResNet, 49 regions", "captum KernelShap"),
    "permutation SHAP; captum's ShapleyValueSampling": (
        "permutation SHAP, table, 12 features",
        "captum ShapleyValueSampling",
    ),
    "kernel SHAP; shapiq": ("kernel SHAP, table, 12 features", "shapiq KernelSHAP"),
}


def _source(record: Record) -> str:
    date, device = datetime.datetime.fromisoformat(record["date"]), record["device"]
    cores = f"{device['cores']} CPU core{'s' if device['cores'] > 1 else ''}"
    command = re.sub(r" --out \S+", "", record["command"])
    packages = ", ".join(f"{name} {version}" for name, version in record["peer_versions"].items())
    return (
        f"Measured on {date:%Y-%m-%d} on {cores} ({device['kind']}) by `{command}`, with JAX\n"
        f"{record['versions']['jax']}{f' and {packages}' if packages else ''}: medians with quartiles of at most\n"
        f"{record['repeats']} interleaved repeats."
    )


def _overhead(record: Record) -> str:
    by_name = {row["name"]: row for row in record["overhead"]}
    lines = []
    for line in _OVERHEAD:
        rows = [by_name[name] for name in line.names if name in by_name]
        if rows:
            counts, ratios, firsts = ([row[part] for row in rows] for part in ("rows", "ratio", "first_seconds"))
            quartiles = "" if len(rows) > 1 else " ({:.2f}-{:.2f})".format(*rows[0]["ratio_quartiles"])
            ratio, first = _range(ratios, "{:.2f}") + quartiles, f"{_range(firsts, '{:.1f}')} s"
            lines.append([line.title, _range(counts, "{:,}"), ratio, first])
    return _table(("explanation", "rows", "ratio (quartiles)", "first call"), lines)


def _peers(record: Record) -> str:
    by_name = {(row["name"], row["peer"]): row for row in record["peers"] if "skipped" not in row}
    lines = []
    for title, names in _PEERS.items():
        if names in by_name:
            row = by_name[names]
            low, high = row["times_faster_quartiles"]
            at_equal_error = row["times_faster_at_equal_error"]
            lines.append(
                [
                    title,
                    _short(row["explanations_per_second"]),
                    _short(row["peer_explanations_per_second"]),
                    f"{_short(row['times_faster'])} ({_short(low)}-{_short(high)})",
                    "" if at_equal_error is None else _short(at_equal_error),
                ]
            )
    return _table(("explanation; package", "xaijax", "package", "ratio (quartiles)", "at equal error"), lines)


def _memory(record: Record) -> str:
    small, large = (
        row["bytes"] / 1e6
        for counts in ("100 background rows, 10", "10000 background rows, 1000")
        if (row := _row(record, "memory", name=f"batch_size 2048, {counts} permutations"))
    )
    return (
        f"Permutation SHAP with `batch_size=2048` uses {small:.1f} MB of temporary memory for 100 background rows and 10\n"
        f"permutations, and {large:.1f} MB for 10,000 rows and 1,000 permutations."
    )


def _parts(record: Record) -> str:
    """Returns the milliseconds of each explanation in the section of parts, and the shares of its parts."""
    shown = list(dict.fromkeys(part for row in record["parts"] for part in row["parts"]))
    lines = []
    for row in record["parts"]:
        shares = {part: f"{seconds / row['whole']:.0%}" for part, seconds in row["parts"].items()}
        lines.append([row["name"], f"{1e3 * row['whole']:.3g}", *(shares.get(part, "") for part in shown)])
    return _table(("explanation", "milliseconds", *shown), lines)


_ABOVE = 1.2  # ratios above are explained


def _roofline(record: Record) -> str:
    """Returns operations and their share of the peak, for the explanations that take much longer than the bare model."""
    lines = [
        [
            row["name"],
            f"{row['ratio']:.2f}",
            f"{row['flops_ratio']:.2f}",
            f"{row['peak_fraction']:.1%}",
            f"{row['bare_peak_fraction']:.1%}",
        ]
        for row in record["overhead"]
        if row["ratio"] > _ABOVE and row["flops_ratio"] and row["peak_fraction"] and row["bare_peak_fraction"]
    ]
    return _table(("explanation", "time", "operations", "of the peak", "bare model, of the peak"), lines)


class _Goal(NamedTuple):
    """title: what is compared; goal: in words; figure: record -> the measured figure, None where the record has none."""

    title: str
    goal: str
    figure: Callable[[Record], str | None]


def _row(record: Record, section: str, **fields: str) -> dict[str, Any] | None:
    """Returns the measured row of a section that has these fields."""
    for row in record.get(section, []):
        if "skipped" not in row and fields.items() <= row.items():
            return row
    return None


def _figure(section: str, shown: Callable[[dict[str, Any]], str], **fields: str) -> Callable[[Record], str | None]:
    def figure(record: Record) -> str | None:
        row = _row(record, section, **fields)
        return None if row is None else shown(row)

    return figure


def _ratio(title: str, goal: str, name: str, section: str = "overhead") -> _Goal:
    shown = lambda row: "{:.2f} ({:.2f}-{:.2f})".format(row["ratio"], *row["ratio_quartiles"])  # noqa: E731
    return _Goal(title, goal, _figure(section, shown, name=name))


def _first(title: str, name: str) -> _Goal:
    shown = lambda row: (  # noqa: E731
        f"{row['seconds']:.1f} s ({row['ratio']:.1f} times the bare model's); stored {row['stored_seconds']:.1f} s"
    )
    return _Goal(
        f"first call of {title}", "2 s, or twice the bare model's; stored 0.5 s", _figure("first", shown, name=name)
    )


def _peer(title: str, goal: str, name: str, peer: str) -> _Goal:
    shown = lambda row: "{:.3g} ({:.3g}-{:.3g})".format(row["times_faster"], *row["times_faster_quartiles"])  # noqa: E731
    return _Goal(f"{title}: times faster", goal, _figure("peers", shown, name=name, peer=peer))


_RESNET = "32 images at 224"  # of the full form
_SHAP = "shap PermutationExplainer"
_GOALS = (
    _first("`lime.tabular`, numbers", "lime.tabular of numbers, perceptron"),
    _first("`lime.tabular`, quartiles", "lime.tabular of quartiles, perceptron"),
    _first("`lime.image`", "lime.image, small ResNet"),
    _first("`lime.strings`", "lime.strings, a text of 24 words, bag of embeddings"),
    _first("`lime.strings` for another length", "lime.strings, the next text, of 100 words, bag of embeddings"),
    _first("`shap.values`, 30 players", "shap.values, 30 players, perceptron"),
    _first("`cam.grad_cam`", "cam.grad_cam, small ResNet"),
    _Goal(
        "programs for texts of 1 to 1,024 words",
        "8",
        _figure(
            "first",
            lambda row: f"{row['texts_compiled']} of {row['texts']} texts compile {row['programs']} programs",
            name="lime.strings, texts of 1 to 1,024 words",
        ),
    ),
    _Goal(
        "constants of the Gaussian process, 64 players",
        "0.1 s",
        _figure("solvers", lambda row: f"{row['constants_seconds']:.2f} s", name="Gaussian process, 64 players"),
    ),
    _ratio("LIME of numbers, perceptron", "1.5", "LIME of numbers, perceptron"),
    _ratio("LIME of quartiles, perceptron", "2", "LIME of quartiles, perceptron"),
    _ratio("LIME of words, bag of embeddings", "2", "LIME of words, bag of embeddings"),
    _ratio("interactions of all pairs", "1.3", "interactions SHAP, perceptron"),
    _ratio("a scale per player", "4", "per-player Gaussian process SHAP, perceptron"),
    _ratio("Grad-CAM, small ViT", "1.1", "Grad-CAM, ViT"),
    _ratio("LayerCAM, small ViT", "1.1", "LayerCAM, ViT"),
    _ratio("KPCA-CAM at 224 x 224", "2.0", "KPCA-CAM, small ResNet at 224"),
    _ratio("eleven maps from one pass", "1.1", "all eleven in one pass, small ResNet"),
    _ratio(f"Grad-CAM, ResNet-50, {_RESNET}", "1.05", f"Grad-CAM, ResNet-50, {_RESNET}", "networks"),
    _Goal(
        "the same: peak memory",
        "1.2",
        _figure("networks", lambda row: f"{row['memory_ratio']:.2f}", name=f"Grad-CAM, ResNet-50, {_RESNET}"),
    ),
    _peer("Grad-CAM; captum", "at least 1", "Grad-CAM, small ResNet", "captum LayerGradCam"),
    _peer("FEM; pytorch-grad-cam", "at least 1", "fem", "pytorch-grad-cam, FEM"),
    _peer("Score-CAM; pytorch-grad-cam", "at least 1", "score_cam", "pytorch-grad-cam, ScoreCAM"),
    _peer("LIME of images; captum", "at least 1", "LIME, small ResNet, 49 regions", "captum Lime"),
    _peer("SHAP; shap's PermutationExplainer", "at least 5", "default SHAP, table, 30 features", _SHAP),
    _peer("LIME of numbers; lime", "at least 10", "table, numbers", "lime"),
)


def _goals(record: Record) -> str:
    lines = [[goal.title, goal.goal, goal.figure(record) or "not in this record"] for goal in _GOALS]
    return _table(("what", "goal", "measured"), lines)


_PARTS: dict[str, Callable[[Record], str]] = {
    "source": _source,
    "goals": _goals,
    "overhead": _overhead,
    "peers": _peers,
    "memory": _memory,
    "parts": _parts,
    "roofline": _roofline,
}


def _range(numbers: Sequence[float], form: str) -> str:
    low, high = (form.format(number) for number in (min(numbers), max(numbers)))
    return low if low == high else f"{low}-{high}"


def _table(columns: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [columns, ["---"] * len(columns), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"
