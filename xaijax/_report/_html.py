"""Elements of HTML: all text is escaped here."""

from __future__ import annotations

import html

from xaijax._core.words import printable

_VOID = {"img", "meta", "br", "source"}


class Html(str):
    """HTML; every other string is text, and is escaped."""


def element(name: str, /, *content: str | None, **attributes: str | int | None) -> Html:
    """Returns one element. None in its content or attributes is left out; `class_` means class, `aria_label` aria-label."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escaped(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{joined(*content)}</{name}>")


def joined(*content: str | None) -> Html:
    """Joins contents, with their texts escaped."""
    return Html("".join(part if isinstance(part, Html) else escaped(part) for part in content if part is not None))


def escaped(text: str) -> str:
    return html.escape(printable(text))


def paragraphs(text: str) -> Html:
    """Returns a text as paragraphs, which empty lines separate."""
    return joined(*(element("p", part.strip(), dir="auto") for part in text.split("\n\n") if part.strip()))
