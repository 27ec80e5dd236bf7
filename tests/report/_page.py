"""A page read back: elements in order, tables as numbers, pictures as pixels."""

import base64
import io
import re
from html.parser import HTMLParser

from PIL import Image

_VOID = {"img", "meta", "br", "link", "hr", "input", "source", "wbr"}


class Page(HTMLParser):
    """A well-formed page: every element that is opened is closed, in order, or reading it fails."""

    def __init__(self, source):
        super().__init__()
        self.source = source
        self.elements, self.texts, self.tables, self._open = [], [], [], []
        self.feed(source)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self._open.append(tag)
        if tag == "table":
            self.tables.append({"caption": "", "rows": []})
        elif tag == "tr":
            self.tables[-1]["rows"].append([])
        elif tag in ("td", "th"):
            self.tables[-1]["rows"][-1].append("")

    def handle_endtag(self, tag):
        assert self._open, f"</{tag}> closes nothing"
        assert self._open[-1] == tag, f"</{tag}> closes <{self._open[-1]}>"
        self._open.pop()

    def handle_data(self, data):
        if "style" in self._open:
            return
        self.texts.append(data)
        if "caption" in self._open:
            self.tables[-1]["caption"] += data
        elif self._open and self._open[-1] in ("td", "th"):
            self.tables[-1]["rows"][-1][-1] += data

    @property
    def text(self):
        return "".join(self.texts)

    def all(self, *tags):
        return [attributes for tag, attributes in self.elements if tag in tags]

    def table(self, caption):
        (found,) = [table["rows"] for table in self.tables if table["caption"].startswith(caption)]
        return found

    def pictures(self):
        written = re.findall(r'src="data:image/png;base64,([^"]+)"', self.source)
        return [base64.b64decode(one, validate=True) for one in written]

    def images(self):
        return [Image.open(io.BytesIO(png)).convert("RGB") for png in self.pictures()]
