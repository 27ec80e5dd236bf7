"""Elements of HTML: what is text is escaped, always and here alone."""

from __future__ import annotations

import html
import unicodedata

_VOID = {"img", "meta", "br"}


class Html(str):
    """HTML already; every other string is text."""


def element(name: str, /, *content: str | None, **attributes: str | int | None) -> Html:
    """One element; None among its content or attributes is left out, and `class_` and `aria_label` lose their lines."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escaped(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{joined(*content)}</{name}>")


def joined(*content: str | None) -> Html:
    """Contents one after the other, texts escaped."""
    return Html("".join(part if isinstance(part, Html) else escaped(part) for part in content if part is not None))


def escaped(text: str) -> str:
    return html.escape(printable(text))


def printable(text: str) -> str:
    """Characters that no page may hold and no font has, those of control and halves of pairs, are replaced."""
    return "".join(one if one in "\n\t" or unicodedata.category(one) not in ("Cc", "Cs") else "\ufffd" for one in text)


def paragraphs(text: str) -> Html:
    """A text, whose paragraphs are set apart by empty lines."""
    return joined(*(element("p", part.strip(), dir="auto") for part in text.split("\n\n") if part.strip()))
