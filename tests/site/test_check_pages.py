"""The script that opens the pages of the site reports each fault of a page, and nothing on a page without faults."""

import shutil

import pytest

from tests.site import check_pages

PAGE = """<!doctype html><html><head><link rel="icon" href="data:,">
<style>body { margin: 0; background: #fff; color: #000 } article { width: 300px; overflow: hidden }</style></head>
<body><article>%s</article></body></html>"""
RIGHT = """<h2 id="part">Part</h2><p>Text, and <a href="#part">a link</a>.</p>
<div style="overflow-x: auto"><pre style="width: 900px">code that scrolls</pre></div>
<svg role="img" aria-label="a dot" width="9" height="9"><circle r="4"/></svg>"""
FAULTS = {  # what is wrong on a page: its HTML, and a part of the line that reports it
    "link": ('<a href="missing.html">x</a>', "link to missing.html, which does not exist"),
    "anchor": ('<a href="right.html#absent">x</a>', "link to #absent of right.html, which has no such heading"),
    "file": ('<img alt="a cat" src="cat.png">', "404: /cat.png"),
    "script": ("<script>throw new Error('broken')</script>", "console: broken"),
    "table": ('<table style="width: 400px"><tr><td>1</td></tr></table>', "cut off: <t"),
    "wide": ("</article><div style='width: 2000px'>x</div><article>", "the page scrolls sideways"),
    "alternative": (
        '<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=" width="9" height="9">',
        "no alternative text",
    ),
    "faint": ('<p style="color: #bbb">x</p>', "faint, contrast 1.9"),
}


@pytest.mark.slow
def test_each_fault_of_a_page_is_reported(tmp_path):
    pytest.importorskip("playwright")
    if shutil.which("chromium") is None:
        pytest.skip("no chromium")
    (tmp_path / "right.html").write_text(PAGE % RIGHT)
    for name, (html, _) in FAULTS.items():
        (tmp_path / f"{name}.html").write_text(PAGE % html)
    lines = check_pages.check_site(tmp_path)
    assert not [line for line in lines if line.startswith("right.html")]
    for name, (_, report) in FAULTS.items():
        reported = [line for line in lines if line.startswith(f"{name}.html")]
        assert reported, name
        assert all(report in line for line in reported), reported
