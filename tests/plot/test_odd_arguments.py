"""Arguments of the wrong type, and names no font can draw: one sentence, or a picture."""

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest

import xaijax as xai
from tests.plot._attributions import attribution, labels
from tests.plot._images import LABELS, PICTURES, maps, of_regions
from tests.selection import usual

GIVEN = attribution(np.random.default_rng(0).normal(size=(4, 3)))
MAPS = maps(np.linspace(0, 1, 3 * 6 * 8).reshape(3, 6, 8))
SHARES = jnp.linspace(0, 1, 3)


NAMES = ["$$", "$", "a\ud800b", "\x00\x07", "$\\frac{$", "%s {0}", "", "_hidden", "\n"]


@pytest.mark.parametrize("name", usual(NAMES, "a\ud800b", "$\\frac{$", "", "_hidden"))
def test_every_name_can_be_drawn(name):
    names = [name, "b", "c"]
    drawn = [
        xai.plot.bars(GIVEN, names=names, title=name),
        xai.plot.waterfall(GIVEN, names=names, inputs=names),
        xai.plot.force(GIVEN, names=names),
        xai.plot.beeswarm(GIVEN, names=names, output_names=None),
        xai.plot.cohort_bars(GIVEN, [name, "x", "x", "x"], names=names),
        xai.plot.dependence(GIVEN, 0, inputs=np.ones((4, 3)), names=names),
        xai.plot.image(MAPS, title=name),
        xai.plot.convergence([attribution([1.0, 2.0, 3.0], [0.1] * 3)] * 2, evaluations=[1, 2], names=names),
        xai.plot.curves({name: xai.metrics.Curve(SHARES[0], fractions=SHARES, outputs=SHARES, metric="insertion")}),
        xai.plot.error_curves({name: {1: [1.0]}}),
        xai.plot.intervals([1.0], names=[name or " "], reference=1.0, reference_name=name),
        xai.plot.image_grid(MAPS, PICTURES, labels=[name] * 3, titles=[name] * 3)[0],
        xai.plot.compare({name: MAPS}, PICTURES, labels=[name] * 3)[0, 0],
        xai.plot.text(GIVEN, names),
        xai.plot.scores(xai.metrics.Comparison({name: {name: xai.metrics.Score(jnp.ones(2))}}, {})),
    ]
    for ax in drawn:
        ax.figure.canvas.draw()
    assert "a\ufffdb" in labels(drawn[0]) if "\ud800" in name else True


def test_two_hundred_lines_of_a_heatmap_have_room():
    values = np.random.default_rng(0).normal(size=(3, 250))
    for top in (180, 181, 250):
        ax = xai.plot.heatmap(attribution(values), top=top)
        outputs = ax.child_axes[0].get_position()
        assert outputs.height > 0
        plt.close(ax.figure)


@pytest.mark.parametrize(
    ("draw", "sentence"),
    [
        (lambda: xai.plot.image_grid(MAPS, examples=3), "`examples` must be a sequence of indices of examples, got 3"),
        (lambda: xai.plot.image_grid(MAPS, examples="ab"), "`examples` must be a sequence"),
        (lambda: xai.plot.compare(MAPS, PICTURES, examples=1), "`examples` must be a sequence"),
        (lambda: xai.plot.compare(MAPS, PICTURES, examples=[1.5]), "`examples` must be an int"),
        (lambda: xai.plot.compare(MAPS, PICTURES, outputs=1), "`outputs` must be a sequence of outputs"),
        (lambda: xai.plot.compare(MAPS, PICTURES, shared="no"), "`shared` must be True or False"),
        (lambda: xai.plot.borders(PICTURES, LABELS, color="no color"), "`color` must be a color of Matplotlib"),
        (lambda: xai.plot.borders(PICTURES, LABELS, color=3), "`color` must be a color of Matplotlib"),
        (lambda: xai.plot.borders(PICTURES, LABELS, linewidth="thick"), "`linewidth` must be a number"),
        (lambda: xai.plot.borders(PICTURES, LABELS, gray="yes"), "`gray` must be True or False"),
        (lambda: xai.plot.borders(PICTURES, [[0, 1], [2]]), "`labels` must be an array, got .*rows differ in length"),
        (lambda: xai.plot.regions(of_regions([1.0] * 4), PICTURES[:1], fill="?"), "`fill` must be a color"),
        (lambda: xai.plot.regions(of_regions([1.0] * 4), PICTURES[:1], all_borders=1), "`all_borders` must be True"),
        (lambda: xai.plot.bars(GIVEN, title=3), "`title` must be a string or None, got int"),
        (lambda: xai.plot.bars(GIVEN, order=3), "`order` must be a sequence of players"),
        (lambda: xai.plot.bars(GIVEN, names={"a": 1, "b": 2, "c": 3}), "`names` must be a sequence of 3 names"),
        (lambda: xai.plot.bars(GIVEN, names=3), "`names` must be a sequence of 3 names"),
        (lambda: xai.plot.bars(GIVEN, example="first"), "`example` must be an int"),
        (lambda: xai.plot.bars(GIVEN, example=None, rows="all"), "`rows` must be indices of rows"),
        (lambda: xai.plot.bars(GIVEN, output_names="ab"), "`output_names` must be a sequence of strings"),
        (lambda: xai.plot.image(MAPS, output_names=3), "`output_names` must be a sequence of strings"),
        (lambda: xai.plot.image(MAPS, np.ma.array(PICTURES, mask=PICTURES > 0.5)), "`images` must be an array without"),
        (lambda: xai.plot.image_grid(MAPS, titles=3), "`titles` must be a sequence of strings"),
        (lambda: xai.plot.error_curves({"a": {1: [1.0]}}, colors="red"), "`colors` must be 1 color"),
        (lambda: xai.plot.error_curves({"a": {1: [1.0]}}, colors=["?"]), "`colors` must be a color"),
        (lambda: xai.plot.error_curves({"a": {1: [1.0]}}, legend="no"), "`legend` must be True or False"),
        (lambda: xai.plot.intervals([1.0], names=["a"], reference="chance"), "`reference` must be a number"),
        (lambda: xai.plot.convergence([GIVEN, GIVEN], evaluations=[1, 2], players=3), "`players` must be a sequence"),
        (lambda: xai.plot.curves(3), "`given` must be a curve"),
        (lambda: xai.plot.pair(PICTURES, PICTURES, outputs="ab"), "`outputs` must be an array of numbers"),
        (lambda: xai.plot.text_html(GIVEN, ["a"], title=3), "`title` must be a string"),
        (lambda: xai.plot.removal(GIVEN), "`removed` must come from xai.metrics.removal"),
    ],
)
def test_arguments_of_the_wrong_type_are_answered_with_a_sentence(draw, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        draw()
    assert not plt.get_fignums()
