"""tests/site/check_pages.py reports each fault of a page in one line, and nothing of a page without faults."""

import shutil

import pytest

from tests.site.check_pages import check_site, main

pytestmark = pytest.mark.slow
EVERYWHERE = "1280 light, 1280 dark, 390 light, 390 dark"
DOT = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
PAGES = {
    "good": f"""<h1 id="top">A page</h1><p><a href="#top">Its heading</a>, <a href="folder/other.html#part">another page</a></p>
        <div style="overflow-x: auto"><pre style="width: 3000px">a line that scrolls</pre></div>
        <img src="{DOT}" width="20" height="20" alt="a dot">
        <svg width="20" height="20" aria-label="a drawing"></svg>
        <p style="color: #666">gray and legible</p>""",
    "folder/other": '<h2 id="part">A part</h2>',
    "link": '<a href="none.html">to a page</a>',
    "anchor": '<a href="folder/other.html#none">to a heading</a>',
    "error": "<script>console.error('an error')</script>",
    "exception": "<script>throw new Error('an exception')</script>",
    "file": '<img src="none.png" alt="a picture">',
    "wide": '<pre style="width: 3000px">too wide</pre>',
    "table": '<table style="width: 3000px"><tr><td>too wide</td></tr></table>',
    "phone": '<pre style="width: 600px">too wide for a phone</pre>',
    "picture": f'<img src="{DOT}" width="20" height="20" alt=" ">',
    "drawing": '<svg width="20" height="20"></svg>',
    "faint": '<p style="color: #999">hard to read</p>',
    "large": '<p style="color: #aaa; font-size: 24px">large and hard to read</p>',
    "dark": "<style>@media (prefers-color-scheme: dark) { p { color: #ccc } }</style><p>hard to read</p>",
}
FAULTS = {
    "link": "link to none.html, which does not exist",
    "anchor": "link to #none of folder/other.html, which has no such heading",
    "error": "console: an error",
    "exception": "console: an exception",
    "file": "404: /none.png",
    "wide": f'cut off: <pre> "too wide" ({EVERYWHERE})',
    "table": f'cut off: <table> "too wide" ({EVERYWHERE})',
    "phone": 'cut off: <pre> "too wide for a phone" (390 light, 390 dark)',
    "sideways": "the page scrolls sideways, by 210 pixels (390 light, 390 dark)",
    "picture": f'no alternative text: <img> "{DOT.rpartition("/")[2][:50]}" ({EVERYWHERE})',
    "drawing": f'no alternative text: <svg> "" ({EVERYWHERE})',
    "faint": f'faint, contrast 2.8: <p> "hard to read" ({EVERYWHERE})',
    "large": f'faint, contrast 2.3: <p> "large and hard to read" ({EVERYWHERE})',
    "dark": 'faint, contrast 1.6: <p> "hard to read" (1280 dark, 390 dark)',
}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("playwright")
    if shutil.which("chromium") is None:
        pytest.skip("there is no chromium on the path")
    folder = tmp_path_factory.mktemp("site")
    (folder / "folder").mkdir()
    start = '<!doctype html><html lang="en"><meta charset="utf-8"><link rel="icon" href="data:,"><title>A page</title>'
    for name, text in PAGES.items():
        column = f'<article style="overflow-x: hidden">{text}</article>'
        (folder / f"{name}.html").write_text(f"{start}<body style='background: white'>{column}")
    (folder / "sideways.html").write_text(f"{start}<body style='margin: 0; width: 600px'><article>wide</article>")
    return folder


@pytest.fixture(scope="module")
def findings(site):
    return [line.split(".html: ", 1) for line in check_site(site)]


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_reported_once(name, findings):
    (text,) = [text for page, text in findings if page == name]
    assert text == FAULTS[name]


def test_a_page_without_faults_has_no_finding(findings):
    assert {page for page, _ in findings} == set(FAULTS)


def test_the_exit_status_and_the_screenshots(site, tmp_path, capsys):
    shots = tmp_path / "shots"
    assert main([str(site), "--only", "folder/", "--screenshots", str(shots)]) == 0
    assert capsys.readouterr().out == "No findings.\n"
    assert {path.name for path in shots.iterdir()} == {
        f"folder-other-{width}-{scheme}.png" for width in (1280, 390) for scheme in ("light", "dark")
    }
    assert main([str(site), "--only", "link"]) == 1
    assert capsys.readouterr().out == f"link.html: {FAULTS['link']}\n"


def test_a_folder_without_pages_is_refused(tmp_path):
    pytest.importorskip("playwright")
    with pytest.raises(SystemExit, match="`site` must be a folder with HTML pages"):
        check_site(tmp_path)
