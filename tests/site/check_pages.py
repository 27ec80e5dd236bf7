"""Opens every page of the built site in a headless browser, and reports what a reader would stumble over.

Each page is looked at 1280 and 390 pixels wide, in light and in dark. One line per finding:

- a link to a page, file or heading of the site that does not exist;
- an error in the browser's console, or a file that does not load;
- a table, code, picture or equation that is wider than its column and does not scroll, or a text that is cut off;
- a page that scrolls sideways;
- a picture without an alternative text;
- text whose contrast with its background is below 4.5, or 3 for large text (WCAG 2.2, success criterion 1.4.3).

pip install playwright, with a chromium on the path; the exit status is 1 if there is a finding:

python -m tests.site.check_pages out/docs --screenshots out/screenshots
"""

from __future__ import annotations

import argparse
import functools
import http.server
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

WIDTHS = (1280, 390)  # pixels: a laptop and a phone
SCHEMES = ("light", "dark")
SCRIPT = (Path(__file__).parent / "look.js").read_text()


class Findings:
    """Lines of findings, each once, with the widths and color schemes that show it."""

    def __init__(self):
        self.views: dict[tuple[str, str], list[str]] = {}

    def add(self, page: str, text: str, view: str = "") -> None:
        views = self.views.setdefault((page, text), [])
        if view and view not in views:
            views.append(view)

    def lines(self) -> list[str]:
        return [
            f"{page}: {text}" + (f" ({', '.join(views)})" if views else "")
            for (page, text), views in sorted(self.views.items())
        ]


def check_site(site: Path, screenshots: Path | None = None, only: str = "") -> list[str]:
    """Returns one line for each finding on the pages of a folder.

    site: the folder of the built site. screenshots: a folder for pictures of the pages. only: the beginning of the paths of
    the pages to open; links are checked from these pages.
    """
    pages = [path.relative_to(site).as_posix() for path in sorted(site.rglob("*.html"))]
    pages = [page for page in pages if not page.startswith("_") and page.startswith(only)]
    if not pages:
        raise SystemExit(f"`site` must be a folder with HTML pages, got {site}: build the documentation first.")
    findings, links = Findings(), {}
    with _served(site) as address, _browser() as browser:
        for page in pages:
            links[page] = _look(browser, address, page, findings, screenshots)
    anchors = {page: set(seen["anchors"]) for page, seen in links.items()}
    for page, seen in links.items():
        for link in seen["links"]:
            problem = _broken(link, site, anchors)
            if problem:
                findings.add(page, problem)
    return findings.lines()


def _look(browser, address, page, findings, screenshots):
    """Opens one page, and looks at it in each width and color scheme; returns its links and anchors."""
    tab = browser.new_page(viewport={"width": WIDTHS[0], "height": 900}, color_scheme=SCHEMES[0])
    tab.on("console", lambda message: _is_own(message) and findings.add(page, f"console: {message.text}"))
    tab.on("pageerror", lambda error: findings.add(page, f"console: {error}"))
    tab.on("requestfailed", lambda request: findings.add(page, f"does not load: {request.url.removeprefix(address)}"))
    tab.on(
        "response",
        lambda answer: (
            answer.status >= 400 and findings.add(page, f"{answer.status}: {answer.url.removeprefix(address)}")
        ),
    )
    tab.goto(f"{address}/{page}", wait_until="load")
    tab.add_script_tag(content=SCRIPT)
    tab.add_style_tag(content="*, *::before, *::after { transition: none !important; animation: none !important; }")
    for width in WIDTHS:
        tab.set_viewport_size({"width": width, "height": 900})
        for scheme in SCHEMES:
            tab.emulate_media(color_scheme=scheme)
            tab.wait_for_function("scheme => theme() === null || theme() === scheme", arg=scheme)
            view = f"{width} {scheme}"
            for text in tab.evaluate("look()"):
                findings.add(page, text, view)
            if screenshots is not None:
                path = screenshots / f"{page.removesuffix('.html').replace('/', '-')}-{width}-{scheme}.png"
                tab.screenshot(path=path, full_page=True)
    seen = tab.evaluate("links()")
    tab.close()
    seen["links"] = [link.removeprefix(address + "/") for link in seen["links"] if link.startswith(address + "/")]
    return seen


def _is_own(message):
    """Returns whether the console reports an error of a script; files that do not load are reported by their names."""
    return message.type == "error" and not message.text.startswith("Failed to load resource")


def _broken(link: str, site: Path, anchors: dict[str, set[str]]) -> str | None:
    """Returns what is wrong with a link within the site."""
    path, anchor = urldefrag(link)
    name = unquote(urlsplit(path).path) or "index.html"
    if not (site / name).is_file():
        return f"link to {name}, which does not exist"
    if anchor and name in anchors and unquote(anchor) not in anchors[name]:
        return f"link to #{anchor} of {name}, which has no such heading"
    return None


@contextmanager
def _served(site: Path) -> Iterator[str]:
    """Serves a folder on a free port of this machine."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=site))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


@contextmanager
def _browser():
    """Starts the chromium of this machine."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Without a sandbox, which containers do not allow: the pages are our own.
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Reports what a reader of the built site would stumble over.")
    parser.add_argument("site", type=Path, help="the folder of the built site, such as out/docs")
    parser.add_argument("--screenshots", type=Path, help="a folder for pictures of every page")
    parser.add_argument("--only", default="", help="the beginning of the paths of the pages to open, such as guides/")
    options = parser.parse_args(arguments)
    if options.screenshots is not None:
        options.screenshots.mkdir(parents=True, exist_ok=True)
    lines = check_site(options.site, options.screenshots, options.only)
    print("\n".join(lines) if lines else "No findings.")
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main())
