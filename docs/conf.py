"""Builds the documentation: `sphinx-build -W docs out/docs`."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from docutils import nodes  # noqa: E402
from docutils.utils.math.latex2mathml import tex2mathml  # noqa: E402
from sphinx.application import Sphinx  # noqa: E402

import xaijax  # noqa: E402

project = "xaijax"
author = "the xaijax authors"
copyright = "the xaijax authors, Apache-2.0"
release = version = xaijax.__version__
html_title = f"xaijax {release}"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

# Pages with `{code-cell}` are notebooks: they run when the site is built, and an error stops the build.
nb_execution_mode = "cache"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True
# Figures of xai.plot have the first line of the plot's docstring instead.
FIGURE = "The figure that the code above draws"
nb_render_image_options = {"alt": FIGURE}

autodoc_member_order = "bysource"
autodoc_typehints = "none"
napoleon_google_docstring = True
napoleon_use_rtype = False
default_role = "literal"
smartquotes = False  # strings of code in docstrings keep their quotes

html_theme = "sphinx_book_theme"
html_math_renderer = "mathml"
html_theme_options = {"show_navbar_depth": 1, "show_toc_level": 2, "home_page_in_toc": True}
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_favicon = "_static/favicon.svg"
html_context = {"default_mode": "auto"}
exclude_patterns = ["**.ipynb_checkpoints", "jupyter_execute"]


def docstring(app, what, name, obj, options, lines):
    """Translates a docstring, which is written in plain Markdown, into what Sphinx reads."""
    marked = _marks(_equations(lines))
    lines[:] = _results(_tables(_fields(marked) if what == "class" else marked))
    if what == "property":
        lines[:0] = ["..", ""]  # an empty comment: else napoleon takes what is before the first colon for a type


def leave_out(app, what, name, obj, skip, options):
    """Leaves out the fields of named tuples, which the text of the class describes."""
    return True if str(obj.__doc__).startswith("Alias for field number") else None


EQUATION = re.compile(r"\S+( \S+)? = ")


def _equations(lines):
    """Makes paragraphs of equations blocks with one equation in each line; in a docstring, two spaces or more separate them."""
    result = []
    for paragraph in "\n".join(lines).split("\n\n"):
        if EQUATION.match(paragraph) and not paragraph.rstrip().endswith("."):
            equations = [equation for equation in re.split(r" {2,}|\n", paragraph) if equation]
            result += [".. code-block:: text", "", *(f"   {equation}" for equation in equations), ""]
        else:
            result += [*paragraph.split("\n"), ""]
    return result[:-1]


def _marks(lines):
    """Makes `code` literal, and keeps |, * and _ from being read as marks."""
    result, odd, verbatim = [], False, False
    for line in re.sub(
        r"(?m)^( +[a-z]\w*(?:, [a-z]\w*)*,)\n +(?=[a-z]\w*(?:, [a-z]\w*)*: )", r"\1 ", "\n".join(lines)
    ).split("\n"):
        if not line.strip():
            odd = False
        verbatim = line.startswith("..") or (verbatim and (not line or line.startswith(" ")))
        if verbatim or line.lstrip().startswith((">>>", "...")) or re.match(r"\s*\|.*\|\s*$", line):
            result.append(line)
            continue
        parts = line.split("`")
        inside = [(odd + number) % 2 == 1 for number in range(len(parts))]
        odd = inside[-1]
        text = ""
        for number, (part, code) in enumerate(zip(parts, inside, strict=True)):
            if number:
                before = "" if code and not re.search(r"\w$", parts[number - 1]) else "\\ " if code else ""
                after = "\\ " if not code and re.match(r"\w", part) else ""
                text += before + "``" + after
            text += part if code else re.sub(r"([|*]|_(?!\w))", r"\\\1", part)
        result.append(text)
    return result


def _fields(lines):
    """Makes a list of the fields of a class, "name: text" with its other lines indented."""
    result = []
    for line in lines:
        field = re.match(r"([a-z]\w*(?:, [a-z]\w*)*): ", line)
        if field:
            result += ["", f"- **{field.group(1)}**: {line[field.end() :]}"]
        else:
            result.append(line)
    return result


def _results(lines):
    """Puts an empty type before the text under "Returns:", which napoleon would read as "type: text"."""
    result = list(lines)
    for number, line in enumerate(result[:-1]):
        if line.strip() in ("Returns:", "Yields:"):
            text = result[number + 1]
            result[number + 1] = text[: len(text) - len(text.lstrip())] + ": " + text.lstrip()
    return result


def _tables(lines):
    """Turns tables in Markdown into those that Sphinx reads."""
    result, table = [], []
    for line in [*lines, ""]:
        if re.match(r"\s*\|.*\|\s*$", line):
            table.append(line)
            continue
        if table:
            result += _list_table(table)
            table = []
        result.append(line)
    return result[:-1]


def _list_table(table):
    indent = re.match(r"\s*", table[0]).group()
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", row.strip()[1:-1])] for row in table]
    heads, body = rows[0], rows[2:]
    text = [f"{indent}.. list-table::", f"{indent}   :header-rows: 1", ""]
    for row in (heads, *body):
        text += [f"{indent}   {'* -' if number == 0 else '  -'} {cell}" for number, cell in enumerate(row)]
    return ["", *text, ""]


def describe_figures(app, doctree):
    """Gives figures of code cells an alternative text that names the plot and says what it draws."""
    for cell in doctree.findall(
        lambda node: isinstance(node, nodes.container) and node.get("nb_element") == "cell_code"
    ):
        plots = dict.fromkeys(re.findall(r"xai\.plot\.(\w+)\(", cell.astext()))
        texts = [f"xai.plot.{plot}: {getattr(xaijax.plot, plot).__doc__.splitlines()[0]}" for plot in plots]
        for image in cell.findall(nodes.image):
            if texts and image.get("alt") == FIGURE:
                image["alt"] = " ".join(texts)


def formula(translator, node):
    """Writes a formula in MathML, which browsers draw without scripts."""
    text = re.sub(r"\\[bB]ig(?![a-z])", "", node.astext())  # brackets grow with their contents in MathML
    as_block = isinstance(node, nodes.math_block)
    written = tex2mathml(text, as_block=as_block)
    translator.body.append(
        f'<div class="formula">{written}</div>' if as_block else f'<span class="formula">{written}</span>'
    )
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", docstring, priority=400)  # before napoleon
    app.connect("autodoc-skip-member", leave_out)
    app.connect("doctree-read", describe_figures)
    app.add_html_math_renderer("mathml", (formula, None), (formula, None))
    return {"parallel_read_safe": True}
