"""Two classifiers of posts: LIME detects the defect of generated posts; posts are read from each source."""

import gzip
import json
from types import SimpleNamespace
from urllib.error import URLError

import numpy as np
import pytest

from experiments import newsgroups
from experiments._posts import GROUPS, LONGEST, Vocabulary, cut, header_words, load_posts, without_header
from experiments.newsgroups import TESTS, TRAINED

POST = "From: someone@example.edu\nSubject: Re: words\n\nA body with words.\n\nAnd more."
STAND_IN = "STAND-IN: generated posts, not 20 newsgroups"


@pytest.mark.slow
def test_explanations_show_which_classifier_depends_on_the_headers(tmp_path, capsys):
    few = ["--seeds", "1", "--posts", "4", "--samples", "300"]
    newsgroups.main(["--stand-in", "--out", str(tmp_path), *few])
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert numbers["corpus"] == STAND_IN
    assert STAND_IN in capsys.readouterr().out
    for words in ("all words", "the ten heaviest words"):
        with_headers, bodies = (numbers[f"{name}: share of the mass on header words, {words}"] for name in TRAINED)
        assert with_headers["mean"] > bodies["mean"] + 0.1
        assert bodies["mean"] < 0.02
    accuracies = {name: [numbers[f"{name}: accuracy, {test}"]["mean"] for test in TESTS] for name in TRAINED}
    as_posted, stripped, swapped = accuracies[TRAINED[0]]
    assert as_posted > stripped + 0.1 > swapped + 0.2
    assert max(accuracies[TRAINED[1]]) - min(accuracies[TRAINED[1]]) < 0.02  # depends on none
    assert as_posted > max(accuracies[TRAINED[1]])  # the reason to prefer it
    heaviest, of_bodies = (numbers[f"{name}: heaviest words of the post shown"] for name in TRAINED)
    assert {"NNTP", "Posting", "Host"} < set(list(heaviest)[:5])
    assert not {"NNTP", "Posting", "Host"} & set(of_bodies)
    assert max(heaviest[word] for word in ("NNTP", "Posting", "Host")) < 0  # evidence for atheism
    assert numbers[f"{TRAINED[0]}: local R² of the explanations, mean"] > 0.9
    assert (tmp_path / "newsgroups.png").stat().st_size > 50_000


def test_header_words_are_those_of_the_header_alone():
    assert header_words(POST) == {"From", "someone", "example", "edu", "Subject", "Re"}
    assert without_header(POST) == "A body with words.\n\nAnd more."


def test_posts_are_cut_after_a_word_and_unknown_words_share_an_id():
    assert cut("word, " * (LONGEST + 5)) == ("word, " * LONGEST)[:-2]
    tokenizer = Vocabulary(["a b", "a c", "a b"], at_least=2)
    assert tokenizer("a b c A") == [2, 3, 1, 1]
    assert len(tokenizer) == 512


def lines(posts):
    return "".join(
        json.dumps({"split": split, "group": group, "text": text, "id": "1"}) + "\n" for split, group, text in posts
    )


POSTS = [(split, group, POST) for split in ("train", "test") for group in GROUPS]


def test_posts_are_read_from_a_file(tmp_path):
    others = [("train", "sci.space", POST), ("test", GROUPS[1], "Subject: nothing\n\n \n")]  # no words in its body
    (tmp_path / "posts.jsonl").write_text(lines(POSTS + others))
    with gzip.open(tmp_path / "posts.jsonl.gz", "wt") as file:
        file.write(lines(POSTS + others))
    for name in ("posts.jsonl", "posts.jsonl.gz"):
        posts = load_posts(tmp_path / name, stand_in=False, seed=0)
        assert posts.train_texts == posts.test_texts == [POST, POST]
        np.testing.assert_array_equal(posts.train_labels, [0, 1])
        np.testing.assert_array_equal(posts.test_labels, [0, 1])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (lines(POSTS[:3]), r"got none of soc.religion.christian with split 'test'"),
        ('{"split": "train", "text": "words"}\n', "line 1 without group"),
        (lines(POSTS) + "[]\n", "line 5 without split"),
        (lines(POSTS) + "words\n", "must hold lines of JSON, got line 5"),
    ],
)
def test_a_file_of_something_else_is_refused(content, sentence, tmp_path):
    (tmp_path / "posts.jsonl").write_text(content)
    with pytest.raises(ValueError, match=sentence):
        load_posts(tmp_path / "posts.jsonl", stand_in=False, seed=0)


def test_a_missing_file_is_not_replaced_by_generated_posts(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_posts(tmp_path / "posts.jsonl", stand_in=False, seed=0)


def test_posts_can_be_downloaded_through_scikit_learn(monkeypatch):
    datasets = pytest.importorskip("sklearn.datasets")
    asked = []

    def fetch(**options):
        asked.append(options["subset"])
        names = options["categories"][::-1]  # the labels follow its own order of names
        return SimpleNamespace(data=[POST, POST + options["subset"]], target=[0, 1], target_names=names)

    monkeypatch.setattr(datasets, "fetch_20newsgroups", fetch)
    posts = load_posts(None, stand_in=False, seed=0)
    assert asked == ["train", "test"]
    assert posts.test_texts == [POST, POST + "test"]
    np.testing.assert_array_equal(posts.test_labels, [1, 0])
    assert "STAND-IN" not in posts.corpus


def test_without_a_network_posts_are_generated_and_labeled_so(monkeypatch, capsys):
    datasets = pytest.importorskip("sklearn.datasets")

    def fetch(**_):
        raise URLError("no network")

    monkeypatch.setattr(datasets, "fetch_20newsgroups", fetch)
    posts = load_posts(None, stand_in=False, seed=0)
    assert posts.corpus == STAND_IN
    assert "no network" in capsys.readouterr().out
    assert posts.train_texts == load_posts(None, stand_in=True, seed=0).train_texts
