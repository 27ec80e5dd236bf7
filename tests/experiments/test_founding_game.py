"""The founding example: its printed numbers and its figure."""

import json
import re

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.table import Table

import xaijax as xai
from experiments import founding_game


def test_the_six_orders_and_their_mean(capsys, tmp_path):
    assert founding_game.contributions() == {
        "ABC": [4, 6, 25],
        "ACB": [4, 19, 12],
        "BAC": [3, 7, 25],
        "BCA": [15, 7, 13],
        "CAB": [11, 19, 5],
        "CBA": [15, 15, 5],
    }
    founding_game.main(["--out", str(tmp_path)])
    printed = capsys.readouterr().out
    (row,) = re.findall(r"Shapley +(\S+) +(\S+) +(\S+)", printed)
    np.testing.assert_allclose([float(value) for value in row], [52 / 6, 73 / 6, 85 / 6], atol=5e-4)
    assert (tmp_path / "founding_game.png").stat().st_size > 5000
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    for name in ("Shapley values", "mean contributions"):
        np.testing.assert_allclose(numbers[f"founding game: {name}"], [52 / 6, 73 / 6, 85 / 6], rtol=1e-6)


def cells(ax):
    (table,) = (artist for artist in ax.get_children() if isinstance(artist, Table))
    texts = {position: cell.get_text().get_text() for position, cell in table.get_celld().items()}
    rows, columns = (1 + max(position[axis] for position in texts) for axis in range(2))
    return [[texts[row, column] for column in range(columns)] for row in range(rows)]


def test_the_figure_has_the_pay_the_contributions_and_the_shapley_values():
    attribution = xai.shap.exact(xai.Game(founding_game.pay_of, num_players=3))
    figure = founding_game.draw(founding_game.contributions(), attribution)
    pay, orders, shares = figure.axes
    assert cells(pay)[1:] == [
        ["empty", "0"],
        ["A", "4"],
        ["B", "7"],
        ["C", "5"],
        ["AB", "10"],
        ["AC", "16"],
        ["BC", "20"],
        ["ABC", "35"],
    ]
    assert cells(orders) == [
        ["order", "A", "B", "C"],
        ["A, B, C", "4", "6", "25"],
        ["A, C, B", "4", "19", "12"],
        ["B, A, C", "3", "7", "25"],
        ["B, C, A", "15", "7", "13"],
        ["C, A, B", "11", "19", "5"],
        ["C, B, A", "15", "15", "5"],
        ["sum", "52", "73", "85"],
        ["mean", "52/6", "73/6", "85/6"],
    ]
    assert [label.get_text() for label in shares.get_yticklabels()] == [
        "worker C: 85/6",
        "worker B: 73/6",
        "worker A: 52/6",
    ]
    np.testing.assert_allclose([bar.get_width() for bar in shares.patches], [85 / 6, 73 / 6, 52 / 6], rtol=1e-6)
    plt.close(figure)


def test_the_game_pays_each_team_as_in_the_table():
    coalitions = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 1, 1]])
    np.testing.assert_array_equal(founding_game.pay_of(coalitions), list(founding_game.PAY.values()))
