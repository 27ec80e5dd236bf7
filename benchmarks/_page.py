"""The tables of pages, filled from the newest record: what stands between `<!-- record: NAME -->` and `<!-- end -->`."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import _record
from benchmarks._goals import COLUMNS, NOT_MEASURED, lines, row_of
from experiments._error_tables import LEAST_ERROR

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
_MARKED = re.compile(r"(<!-- record: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
Record = dict[str, Any]


def newest_record(folder: Path = _record.RESULTS) -> Record:
    """Returns the newest full record of a CPU, or the newest quick one if there is none: only these have the cases of pages."""
    records = [_record.read(path) for path in sorted(folder.rglob("*.json"))]
    usual = [record for record in records if record["form"] in ("quick", "full") and _of_cpu(record)]
    if not usual:
        raise ValueError(f"`folder` must hold a quick or full record of a CPU, got none in {folder}.")
    return max(usual, key=lambda record: (record["form"] == "full", record["date"]))


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
    _line("the same by 256 landmarks (Nyström)", "KPCA-CAM by 256 landmarks, small ResNet at 224"),
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

_OVERHEAD_IN_SHORT = (
    _line("CAM, Grad-CAM, LayerCAM, small ResNet", *(f"{title}, small ResNet" for title in ("CAM", "Grad-CAM", "LayerCAM"))),
    _line("Grad-CAM, LayerCAM, small ViT", "Grad-CAM, ViT", "LayerCAM, ViT"),
    _line("KPCA-CAM of 3,136 positions", "KPCA-CAM, small ResNet at 224"),
    _line("LIME on superpixels, small ResNet and ViT", "LIME on superpixels, small ResNet", "LIME on superpixels, ViT"),
    _line(
        "SHAP on a grid, small ResNet and ViT",
        "Gaussian process SHAP on a grid, small ResNet",
        "Gaussian process SHAP on a grid, ViT",
    ),
    _line(
        "SHAP of a table, a model of 0.1 µs",
        *(f"{title} SHAP, perceptron" for title in ("permutation", "kernel", "Gaussian process")),
    ),
    _line("all interactions, the same model", "interactions SHAP, perceptron"),
    _line("a scale per player, the same model", "per-player Gaussian process SHAP, perceptron"),
    _line(
        "LIME of a table, the same model",
        "LIME of numbers, perceptron",
        "LIME of quartiles, perceptron",
    ),
)  # fmt: skip
_PEERS_IN_SHORT = {
    "SHAP; shap's PermutationExplainer": _PEERS["SHAP, 30 features, 600 evaluations; shap's PermutationExplainer"],
    "LIME of numbers; lime": _PEERS["LIME of numbers"],
    "Grad-CAM of a small ResNet; pytorch-grad-cam": _PEERS["Grad-CAM, small ResNet; pytorch-grad-cam"],
    "Grad-CAM of a small ResNet; captum": _PEERS["Grad-CAM; captum"],
    "LIME of images; captum": _PEERS["LIME of images; captum"],
    "kernel SHAP, 12 features; shapiq": _PEERS["kernel SHAP; shapiq"],
}
_ON_PYTORCH = ("captum", "pytorch-grad-cam")


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
    table_lines = []
    for line, rows in _measured(record, _OVERHEAD):
        counts, ratios, firsts = ([row[part] for row in rows] for part in ("rows", "ratio", "first_seconds"))
        quartiles = "" if len(rows) > 1 else " ({:.2f}-{:.2f})".format(*rows[0]["ratio_quartiles"])
        ratio, first = _range(ratios, "{:.2f}") + quartiles, f"{_range(firsts, '{:.1f}')} s"
        table_lines.append([line.title, _range(counts, "{:,}"), ratio, first])
    return _table(("explanation", "rows", "ratio (quartiles)", "first call"), table_lines)


def _overhead_in_short(record: Record) -> str:
    table_lines = [
        [line.title, _range([row["ratio"] for row in rows], "{:.2f}")]
        for line, rows in _measured(record, _OVERHEAD_IN_SHORT)
    ]
    return _table(("explanation", "time ÷ model's"), table_lines)


def _measured(record: Record, chosen: Sequence[_Line]) -> list[tuple[_Line, list[dict[str, Any]]]]:
    """Returns the lines whose rows the record has, with these rows."""
    by_name = {row["name"]: row for row in record["overhead"]}
    pairs = [(line, [by_name[name] for name in line.names if name in by_name]) for line in chosen]
    return [(line, rows) for line, rows in pairs if rows]


def _peers(record: Record) -> str:
    table_lines = []
    for title, row in _compared(record, _PEERS):
        at_equal_error = row["times_faster_at_equal_error"]
        table_lines.append([title, *_speeds(row), "" if at_equal_error is None else _short(at_equal_error)])
    return _table(("explanation; package", "xaijax", "package", "ratio (quartiles)", "at equal error"), table_lines)


def _peers_in_short(record: Record) -> str:
    table_lines = [[title, _short(row["times_faster"])] for title, row in _compared(record, _PEERS_IN_SHORT)]
    return _table(("explanation; package", "times faster"), table_lines)


def _slower(record: Record) -> str:
    """Returns every comparison that a package on PyTorch wins."""
    ours = {names: title for title, names in _PEERS.items()}
    table_lines = []
    for row in record["peers"]:
        if "skipped" not in row and row["wins"] == row["peer"] and row["peer"].startswith(_ON_PYTORCH):
            title = ours.get((row["name"], row["peer"]), f"{row['name']}; {row['peer']}")
            table_lines.append([title, *_speeds(row)])
    columns = ("explanation; package", "xaijax", "package", "ratio (quartiles)")
    return _table(columns, table_lines) if table_lines else "No comparison of this record."


def _errors(record: Record) -> str:
    """Returns the squared errors of ours and of the package, at the evaluations at which both were timed."""
    table_lines = [
        [
            title,
            *(f"{row[side]:,}" for side in ("evaluations", "peer_evaluations")),
            *(f"{row[side]:.1e}" for side in ("error", "peer_error")),
        ]
        for title, row in _compared(record, _PEERS)
        if row["error"] is not None and min(row["error"], row["peer_error"]) > LEAST_ERROR
    ]
    return _table(("explanation; package", "evaluations", "package's", "error", "package's"), table_lines)


def _compared(record: Record, chosen: dict[str, tuple[str, str]]) -> list[tuple[str, dict[str, Any]]]:
    """Returns the titles of the comparisons that the record has, with their rows."""
    rows = [(title, row_of(record, "peers", name=name, peer=peer)) for title, (name, peer) in chosen.items()]
    return [(title, row) for title, row in rows if row is not None]


def _speeds(row: dict[str, Any]) -> list[str]:
    """Returns explanations per second of both, and their ratio with its quartiles."""
    low, high = row["times_faster_quartiles"]
    ratio = f"{_short(row['times_faster'])} ({_short(low)}-{_short(high)})"
    return [_short(row["explanations_per_second"]), _short(row["peer_explanations_per_second"]), ratio]


def _first(record: Record) -> str:
    """Returns the seconds of first calls with nothing stored, of the bare model, and with all programs stored."""
    table_lines = [
        [
            row["name"],
            *(f"{row[part]:.1f} s" for part in ("seconds", "bare_seconds", "stored_seconds")),
            f"{row['programs']}",
        ]
        for row in record.get("first", [])
        if "seconds" in row
    ]
    columns = ("first call", "nothing stored", "bare model", "stored", "programs")
    return _table(columns, table_lines) if table_lines else f"First calls are {NOT_MEASURED}."


def _networks(record: Record) -> str:
    """Returns the ratios of whole networks, and the ratio of planned peak memory where it is measured."""
    table_lines = [
        [
            row["name"],
            "{:.2f} ({:.2f}-{:.2f})".format(row["ratio"], *row["ratio_quartiles"]),
            f"{row['memory_ratio']:.2f}" if "memory_ratio" in row else "",
        ]
        for row in record.get("networks", [])
    ]
    columns = ("explanation", "ratio (quartiles)", "memory")
    return _table(columns, table_lines) if table_lines else f"Whole networks are {NOT_MEASURED}."


def _memory(record: Record) -> str:
    small, large = (
        row["bytes"] / 1e6
        for counts in ("100 background rows, 10", "10000 background rows, 1000")
        if (row := row_of(record, "memory", name=f"batch_size 2048, {counts} permutations"))
    )
    return (
        f"Permutation SHAP with `batch_size=2048` uses {small:.1f} MB of temporary memory for 100 background rows and 10\n"
        f"permutations, and {large:.1f} MB for 10,000 rows and 1,000 permutations."
    )


def _parts(record: Record) -> str:
    """Returns the milliseconds of each explanation in the section of parts, and the shares of its parts."""
    shown = list(dict.fromkeys(part for row in record["parts"] for part in row["parts"]))
    table_lines = []
    for row in record["parts"]:
        shares = {part: f"{seconds / row['whole']:.0%}" for part, seconds in row["parts"].items()}
        table_lines.append([row["name"], f"{1e3 * row['whole']:.3g}", *(shares.get(part, "") for part in shown)])
    return _table(("explanation", "milliseconds", *shown), table_lines)


_ABOVE = 1.2  # ratios above are explained


def _roofline(record: Record) -> str:
    """Returns operations and their share of the peak, for the explanations that take much longer than the bare model."""
    table_lines = [
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
    return _table(("explanation", "time", "operations", "of the peak", "bare model, of the peak"), table_lines)


def _goals(record: Record) -> str:
    return _table(COLUMNS, lines(record))


_PARTS: dict[str, Callable[[Record], str]] = {
    "source": _source,
    "goals": _goals,
    "first": _first,
    "overhead": _overhead,
    "overhead_in_short": _overhead_in_short,
    "networks": _networks,
    "peers": _peers,
    "peers_in_short": _peers_in_short,
    "slower": _slower,
    "errors": _errors,
    "memory": _memory,
    "parts": _parts,
    "roofline": _roofline,
}


def _range(numbers: Sequence[float], form: str) -> str:
    low, high = (form.format(number) for number in (min(numbers), max(numbers)))
    return low if low == high else f"{low}-{high}"


def _table(columns: Sequence[str], table_lines: Iterable[Sequence[str]]) -> str:
    rows = [columns, ["---"] * len(columns), *table_lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"
