"""The page around the sections: one file without scripts, for light and dark screens, phones, paper and screen readers."""

from __future__ import annotations

from collections.abc import Sequence

from xaijax._core.words import counted
from xaijax._report._html import Html, element, joined, paragraphs

# System fonts, and contrasts of at least 4.5 : 1 (WCAG 2.2, AA). On dark pages charts are inverted: their white becomes the
# page's background, and their colors keep their hues. On phones names wrap, so that values and intervals stay in sight.
_STYLE = """
:root { color-scheme: light dark; --page: #ffffff; --ink: #1c1c1c; --quiet: #555555; --line: #c8c8c8; --stripe: #f4f4f2;
  --link: #1f5485; --warn: #fff4e0; --warn-line: #b45f06; }
@media (prefers-color-scheme: dark) { :root { --page: #16181b; --ink: #e8e6e3; --quiet: #a9a9a9; --line: #44484d;
  --stripe: #202327; --link: #8dbdec; --warn: #33260f; --warn-line: #e0993d; }
  img { background: var(--page); }
  .chart { filter: invert(0.914) hue-rotate(180deg); background: #ffffff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 56rem; background: var(--page); color: var(--ink);
  font: 1rem/1.55 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.8rem; line-height: 1.2; margin: 0 0 0.5rem; }
h2 { font-size: 1.4rem; line-height: 1.25; margin: 3rem 0 0.5rem; border-top: 2px solid var(--line); padding-top: 1rem; }
h3 { font-size: 1.1rem; margin: 2rem 0 0.5rem; }
nav h2 { font-size: 1.1rem; border: 0; margin: 1.5rem 0 0; padding: 0; }
a { color: var(--link); }
a:focus-visible, summary:focus-visible, .scroll:focus-visible, main:focus-visible { outline: 3px solid var(--link);
  outline-offset: 2px; }
.skip { position: absolute; left: -100rem; }
.skip:focus { left: 1rem; top: 1rem; padding: 0.5rem 1rem; background: var(--page); z-index: 1; }
figure { margin: 1rem 0; }
img { max-width: 100%; height: auto; border-radius: 4px; }
figcaption, .note, footer { color: var(--quiet); font-size: 0.9rem; }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: 0.92rem; font-variant-numeric: tabular-nums; }
caption { text-align: start; font-weight: 600; padding: 0.25rem 0; }
th, td { padding: 0.2rem 0.75rem 0.2rem 0.4rem; text-align: start; vertical-align: top; border-bottom: 1px solid var(--line); }
th[scope=row] { font-weight: 400; max-width: 24rem; }
.numbers td, .numbers thead th:not(:first-child) { text-align: end; white-space: nowrap; }
tbody tr:nth-child(even) { background: var(--stripe); }
tfoot th, tfoot td { color: var(--quiet); }
summary { cursor: pointer; color: var(--link); padding: 0.25rem 0; }
.warnings { background: var(--warn); border-inline-start: 5px solid var(--warn-line); padding: 0.1rem 1rem; margin: 1.5rem 0; }
.warnings h3 { margin-top: 0.75rem; }
footer { margin-top: 3rem; border-top: 1px solid var(--line); }
@media (max-width: 36rem) {
  body { padding: 1rem 0.75rem 2rem; }
  table { font-size: 0.85rem; width: 100%; }
  th, td { padding: 0.2rem 0.4rem 0.2rem 0.2rem; }
  th[scope=row], .facts td, .inputs td:nth-child(2) { overflow-wrap: anywhere; white-space: normal; min-width: 4rem; }
  .inputs td:nth-child(2) { min-width: 5rem; }
  .numbers thead th:not(:first-child) { white-space: normal; }
}
@media print {
  :root { color-scheme: light; --page: #ffffff; --ink: #000000; --quiet: #444444; --line: #bbbbbb; --stripe: #f4f4f4;
    --link: #000000; --warn: #ffffff; --warn-line: #000000; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  .skip, nav { display: none; }
  section { break-before: page; }
  h2, h3, caption { break-after: avoid; }
  .chart { filter: none; }
  figure, tr, .warnings { break-inside: avoid; }
  thead { display: table-header-group; }
  .scroll { overflow: visible; }
  tbody tr { print-color-adjust: exact; }
  details::details-content { content-visibility: visible; block-size: auto; }
}
"""


def page(
    title: str, text: str, facts: Sequence[str], chapters: Sequence[Html], entries: Sequence[tuple[str, int]]
) -> Html:
    """Returns the whole file. entries: the heading and the number of warnings of each chapter; facts: lines of the footer."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", Html(_STYLE)),
    )
    body = element(
        "body",
        element("a", "Skip to the explanations", class_="skip", href="#content"),
        element("header", element("h1", title, dir="auto"), paragraphs(text), _contents(entries)),
        element("main", *(joined("\n", each) for each in chapters), id="content", tabindex=-1),
        "\n",
        element("footer", *(element("p", line) for line in facts)),
    )
    return joined(Html("<!DOCTYPE html>\n"), element("html", "\n", head, "\n", body, "\n", lang="en"), "\n")


def _contents(entries: Sequence[tuple[str, int]]) -> Html | None:
    """Returns links to the chapters, where there are several."""
    if len(entries) < 2:
        return None
    items = []
    for number, (heading, warnings) in enumerate(entries, 1):
        count = f" ({counted(warnings, 'warning')})" if warnings else None
        items.append(element("li", element("a", heading, href=f"#section-{number}", dir="auto"), count))
    return element("nav", element("h2", "Contents", id="contents"), element("ol", *items), aria_labelledby="contents")
