"""The gallery: every figure, and an index with descriptions, data, commands and numbers."""

import dataclasses
import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
from flax import nnx

from experiments import cam_figure, gallery
from experiments._digits import load_scenes
from experiments._gallery_figures import STUDIES
from experiments._tables import BOSTON, PRICE
from experiments.gallery import Entry, flat, png_size, write_index


class Page(HTMLParser):
    """The elements of a page, with their attributes, and its text."""

    def __init__(self, path):
        super().__init__()
        self.elements, self.texts = [], []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return "".join(self.texts)

    def of(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def untrained(monkeypatch):
    def of(network, **_):
        model = network(nnx.Rngs(0))
        model.eval()
        return model, load_scenes(train_copies=1, seed=0)[1], 0.1

    monkeypatch.setattr(cam_figure, "trained_digit_net", of)


@pytest.fixture
def asked(monkeypatch):
    """Replaces the studies by functions that only write files of the right names, and records their arguments."""
    calls = {}
    head = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (640).to_bytes(4, "big") + (480).to_bytes(4, "big")

    def without_work(study):
        def main(arguments):
            calls[study.name] = arguments
            out = Path(arguments[arguments.index("--out") + 1])
            out.mkdir(parents=True, exist_ok=True)
            for figure in study.figures:
                for picture in figure.pictures:
                    (out / picture.file).write_bytes(head)
            (out / "numbers.json").write_text(json.dumps({"study": study.name, "R²": 0.98765}))

        return dataclasses.replace(study, main=main)

    monkeypatch.setattr(gallery, "STUDIES", tuple(map(without_work, STUDIES)))
    return calls


def test_the_figures_are_those_of_the_notes_and_two_of_photographs_in_order():
    assert [figure.number for study in STUDIES for figure in study.figures] == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    files = [picture.file for study in STUDIES for figure in study.figures for picture in figure.pictures]
    assert len(set(files)) == len(files)  # they are written into one folder


@pytest.mark.slow
@pytest.mark.usefixtures("untrained")
def test_figures_are_drawn_with_an_index_of_their_numbers(tmp_path, capsys):
    gallery.main(["--out", str(tmp_path), "--quick", "--only", "1", "2", "6"])
    page = Page(tmp_path / "index.html")
    pictures = {"cam.png", "cam_looks.png", "founding_game.png"}
    assert {image["src"] for image in page.of("img")} == pictures == {path.name for path in tmp_path.glob("*.png")}
    for image in page.of("img"):
        assert (tmp_path / image["src"]).stat().st_size > 15_000
        assert (int(image["width"]), int(image["height"])) == png_size(tmp_path / image["src"])
        assert len(image["alt"]) > 80
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert set(numbers) == {"cam_figure", "founding_game"}
    looks = numbers["cam_figure"]["over all test images"]
    assert looks["images"] == 360
    assert 0 < looks["share of the map in the digit's box"] < 1
    assert numbers["founding_game"]["founding game: Shapley values"] == pytest.approx([52 / 6, 73 / 6, 85 / 6])
    assert "8.667, 12.17, 14.17" in page.text
    assert page.text.count("hardly trained") == 2  # the game needs no model
    assert f"python -m experiments.founding_game --out {tmp_path} (" in page.text
    assert f"python -m experiments.cam_figure --out {tmp_path} --epochs 2 (" in page.text
    assert f"--out {tmp_path} --quick --only 1 2 6" in page.text
    assert str(tmp_path / "index.html") in capsys.readouterr().out


def test_files_of_real_data_go_to_the_studies_that_take_them(asked, tmp_path):
    posts, districts = tmp_path / "my posts.jsonl", tmp_path / "boston.csv"
    lines = [
        json.dumps({"split": split, "group": group, "text": "Subject: a\n\nwords"})
        for split in ("train", "test")
        for group in ("alt.atheism", "soc.religion.christian")
    ]
    posts.write_text("\n".join(lines) + "\n")
    rows = [",".join(map(str, range(row, row + 14))) for row in range(12)]
    districts.write_text("\n".join([",".join([*BOSTON, PRICE]), *rows]) + "\n")
    out = tmp_path / "out"
    gallery.main(["--out", str(out), "--newsgroups", str(posts), "--boston", str(districts)])
    assert list(asked) == [study.name for study in STUDIES]
    assert asked["newsgroups"] == ["--out", str(out), "--data", str(posts)]
    assert asked["housing"] == ["--out", str(out), "--boston", str(districts)]
    assert asked["cam_figure"] == ["--out", str(out)]
    page = Page(out / "index.html")
    assert "Stand-in data" not in page.text
    assert "20 newsgroups, by date" in page.text
    assert f"experiments.newsgroups --out {out} --data '{posts}'" in page.text  # as a shell reads it
    assert f"experiments.gallery --out {out} --newsgroups '{posts}' --boston {districts}" in page.text


def test_without_files_stand_ins_are_asked_for_and_labeled(asked, tmp_path):
    gallery.main(["--out", str(tmp_path)])
    assert asked["newsgroups"] == ["--out", str(tmp_path), "--stand-in"]
    assert asked["housing"] == ["--out", str(tmp_path)]
    page = Page(tmp_path / "index.html")
    assert page.text.count("Stand-in data") == 2
    assert "they are not 20 newsgroups" in page.text
    assert "442 patients with diabetes" in page.text
    assert "hardly trained" not in page.text
    assert json.loads((tmp_path / "numbers.json").read_text())["newsgroups"] == {"study": "newsgroups", "R²": 0.98765}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--boston", "none.csv"], "got none.csv: there is no such file"),
        (["--newsgroups", "none.jsonl"], "none.jsonl"),
        (["--only", "10"], "invalid choice: 10"),
    ],
)
def test_wrong_arguments_are_refused_before_any_study_runs(asked, arguments, sentence, tmp_path, capsys):
    with pytest.raises(SystemExit):
        gallery.main(["--out", str(tmp_path / "out"), *arguments])
    assert sentence in capsys.readouterr().err
    assert not asked
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("asked")
def test_the_index_needs_no_network_no_script_and_no_mouse(tmp_path):
    gallery.main(["--out", str(tmp_path)])
    written, page = (tmp_path / "index.html").read_text(), Page(tmp_path / "index.html")
    assert "http" not in written
    assert not page.of("script")
    assert not page.of("link")
    assert "prefers-color-scheme: dark" in written
    assert page.of("html") == [{"lang": "en"}]
    targets = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    links = [link["href"] for link in page.of("a")]
    assert links[0] == "#content"  # past the contents, by the first key
    for link in links:
        assert link[1:] in targets if link.startswith("#") else (tmp_path / link).exists()
    assert {link for link in links if link.startswith("#section")} == {
        f"#section-{position}" for position in range(1, 10)
    }
    for section in page.of("section"):
        assert section["aria-labelledby"] in targets
    assert all(image["alt"] for image in page.of("img"))


def test_numbers_and_names_are_escaped(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + 2 * (8).to_bytes(4, "big"))
    results = {"<b>": 1 / 3, "each": {"some": [1, 2.5], "more": list(range(20))}, "holds": True}
    assert flat(results) == [
        ("<b>", "0.3333"),
        ("each: some", "1, 2.5"),
        ("each: more", "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, and 8 more"),
        ("holds", "yes"),
    ]
    entry = Entry(1, "t", "", "<script>", False, {"a.png": 'a "b"'}, "python", results, 1.0)
    page = Page(write_index(tmp_path, [entry], "python"))
    assert not page.of("script")
    assert page.of("img")[0]["alt"] == 'a "b"'
    assert "<b>" in page.text


def test_a_file_that_is_no_picture_is_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(b"GIF89a")
    with pytest.raises(ValueError, match="must be a PNG file, got a file that begins with b'GIF89a'"):
        png_size(tmp_path / "a.png")
