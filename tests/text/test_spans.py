"""Texts are cut into spans that join to the text."""

import pytest

import xaijax as xai

TEXT = 'It rains. "Really?" she asked...  Take 3.5 coats!\n\nNew paragraph: no end'


def letters(text):
    return [ord(letter) for letter in text]


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("sentences", ["It rains.", ' "Really?"', " she asked...", "  Take 3.5 coats!", "\n\nNew paragraph: no end"]),
        ("paragraphs", [TEXT[: TEXT.index("\n\n")], "\n\nNew paragraph: no end"]),
        ("texts", [TEXT]),
        ("words", ["It", " rains.", ' "Really?"', " she", " asked...", "  Take", " 3.5", " coats!", "\n\nNew", " paragraph:", " no", " end"]),
    ],
)  # fmt: skip
def test_spans_keep_every_letter(by, expected):
    cut = xai.text.spans(TEXT, letters, by=by)
    assert list(cut.names) == expected
    assert "".join(cut.names) == TEXT
    assert [ids.tolist() for ids in cut.ids] == [letters(part) for part in expected]
    assert cut.groups is None


@pytest.mark.parametrize("by", ["sentences", "paragraphs", "words"])
def test_the_last_span_keeps_the_spaces_after_it(by):
    cut = xai.text.spans(["One.\n", " Two. \r\n\n "], letters, by=by)
    assert cut.names == ("One.\n", " Two. \r\n\n ")
    assert [ids.tolist() for ids in cut.ids] == [letters(part) for part in cut.names]


def test_sentences_may_end_without_a_space_and_lines_by_windows():
    assert xai.text.spans("你好。\u300c好吗\uff1f\u300d 3.5。再见", letters).names == (
        "你好。",
        "\u300c好吗\uff1f\u300d",
        " 3.5。",
        "再见",
    )
    assert xai.text.spans("a\r\n\r\nb", letters).names == ("a", "\r\n\r\nb")


def test_tokens_are_named_by_decode():
    cut = xai.text.spans("ab", letters, by="tokens", decode=lambda ids: chr(ids[0]))
    assert (cut.names, [ids.tolist() for ids in cut.ids]) == (("a", "b"), [[97], [98]])
    assert xai.text.spans("ab", letters, by="tokens").names == ("97", "98")


def test_documents_are_groups():
    cut = xai.text.spans(["One. Two.", "", "Three."], letters)
    assert cut.groups == [[0, 1], [2]]
    prompt = xai.text.prompt(cut, prefix=[1])
    assert (prompt.names, prompt.groups) == (("One.", " Two.", "Three."), [[0, 1], [2]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: xai.text.spans("", letters), "`text` must hold something to tokenize"),
        (lambda: xai.text.spans(3, letters), "`text` must be a sequence of strings"),
        (lambda: xai.text.spans("a", None), "`tokenize` must be callable"),
        (lambda: xai.text.spans("a", lambda text: [0.5]), r"`tokenize\(text\)` must be token ids"),
        (lambda: xai.text.spans("a", letters, by="lines"), "`by` must be one of"),
    ],
)
def test_wrong_arguments_get_one_sentence(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()
