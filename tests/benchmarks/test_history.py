"""The history of the ratio of every case over the dates of the records."""

import json

import matplotlib.dates as mdates
import numpy as np
import pytest
from matplotlib.colors import to_hex

from benchmarks import _history
from benchmarks.__main__ import main
from benchmarks._record import RESULTS, device_name, kept_path

CPU = {"kind": "a processor", "platform": "cpu", "count": 1, "cores": 2}
GPU = {"kind": "NVIDIA H100 80GB HBM3", "platform": "gpu", "count": 1, "cores": 16}


def _record(day, ratios, device, form="quick"):
    rows = [
        {"name": name, "ratio": ratio, "ratio_quartiles": [0.9 * ratio, 1.2 * ratio]} for name, ratio in ratios.items()
    ]
    return {"schema": 1, "date": f"2026-03-{day:02d}T12:00:00+00:00", "form": form, "device": device, "overhead": rows}


@pytest.fixture
def folder(tmp_path):
    records = [
        _record(9, {"Grad-CAM": 1.1, "LIME": 4.0}, CPU),
        _record(2, {"Grad-CAM": 1.5, "LIME": 6.0}, CPU),
        _record(5, {"Grad-CAM": 1.2}, GPU, "full"),
    ]
    for number, record in enumerate(records):
        path = kept_path(record, tmp_path / "results")
        assert path.name.startswith(record["date"][:10])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_stem(f"{path.stem}-{number}").write_text(json.dumps(record))
    (tmp_path / "results" / "old.json").write_text('{"overhead": []}')
    return tmp_path / "results"


def test_devices_have_names_for_folders():
    assert device_name(CPU) == "cpu-2-cores"
    assert device_name(GPU) == "nvidia-h100-80gb-hbm3"
    assert device_name(GPU | {"count": 4}) == "4-nvidia-h100-80gb-hbm3"
    assert kept_path(_record(3, {}, CPU)) == RESULTS / "cpu-2-cores" / "2026-03-03-quick.json"


def test_each_case_has_a_panel_with_its_ratios_by_date(folder):
    lines = []
    figure = _history.draw(_history.history(_history.read_folder(folder, say=lines.append)))
    assert len(lines) == 1
    assert "old.json must be of schema 1, got none" in lines[0]
    panels = {axes.get_title(loc="left"): axes for axes in figure.axes}
    assert set(panels) == {"Grad-CAM", "LIME"}
    assert len(figure.axes) == 2
    slow, fast = panels["Grad-CAM"].containers
    dates = [date.day for date in mdates.num2date(slow.lines[0].get_xdata())]
    assert dates == [2, 9]
    assert list(slow.lines[0].get_ydata()) == [1.5, 1.1]
    (bars,) = slow.lines[2]
    np.testing.assert_allclose([segment[:, 1] for segment in bars.get_segments()], [[1.35, 1.8], [0.99, 1.32]])
    assert list(fast.lines[0].get_ydata()) == [1.2]
    assert to_hex(slow.lines[0].get_color()) != to_hex(fast.lines[0].get_color())
    assert len(panels["LIME"].containers) == 1
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["cpu-2-cores, quick", "nvidia-h100-80gb-hbm3, full"]
    for axes in panels.values():
        low, high = axes.get_ylim()
        assert low < 0.8
        assert high > 1.25
        assert 1.0 in axes.get_yticks()
        assert 2 <= sum(low <= tick <= high for tick in axes.get_yticks()) <= 5
        assert [1, 1] in [list(line.get_ydata()) for line in axes.lines]


def test_the_command_draws_a_picture_of_the_cases_that_are_asked_for(folder, tmp_path):
    out = tmp_path / "pictures" / "history.png"
    history = main(["history", str(folder), "--out", str(out), "--only", "lime"])
    assert {line.case for line in history} == {"LIME"}
    assert out.read_bytes().startswith(b"\x89PNG")


def test_networks_and_first_calls_have_panels_of_their_own():
    record = _record(3, {"Grad-CAM": 1.1}, CPU)
    (row,) = record["overhead"]
    record |= {
        "first": [row | {"ratio": 3.0}, {"name": "texts", "programs": 8}],
        "networks": [row | {"name": "ResNet-50"}],
    }
    lines = {line.case: points[0].ratio for line, points in _history.history([record]).items()}
    assert lines == {"Grad-CAM": 1.1, "ResNet-50": 1.1, "first call: Grad-CAM": 3.0}


@pytest.mark.parametrize(
    ("name", "only", "sentence"),
    [("nowhere", "", "there is no such folder"), ("empty", "", "got no record in"), ("results", "SHAP", "got 'SHAP'")],
)
def test_folders_without_matching_records_are_refused(folder, name, only, sentence, capsys):
    (folder.parent / "empty").mkdir()
    with pytest.raises(SystemExit):
        main(["history", str(folder.parent / name), "--only", only])
    assert sentence in capsys.readouterr().err
