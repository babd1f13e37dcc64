"""What pages of spectra hold, read as a browser reads it."""

import base64
import json
import zlib
from html.parser import HTMLParser

import numpy as np


def decode(text, dtype):
    """Undo the encoding: zlib, and the bytes of each number back together."""
    planes = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8)
    return planes.reshape(np.dtype(dtype).itemsize, -1).T.copy().view(dtype).ravel()


class Page(HTMLParser):
    """The data of a page, and what else there is."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.scripts, self.text, self._inside = [], [], "", False
        self.feed(path.read_text(encoding="utf-8"))
        self.data = json.loads(self.text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self._inside = dict(attrs).get("id") == "data"
        if tag == "script" and "src" in dict(attrs):
            self.scripts.append(dict(attrs)["src"])

    def handle_endtag(self, tag):
        self._inside = False

    def handle_data(self, data):
        self.text += data if self._inside else ""


def delivered(path):
    """Return what a script hands over, and the name under which it does."""
    call, _, rest = path.read_text(encoding="utf-8").partition("(")
    assert call == "skyharvest.deliver"
    assert rest.endswith(");\n")
    return json.loads(f"[{rest[:-3]}]")


def contents(page_path, kind="spectra"):
    page = Page(page_path).data
    made = []
    for name in page["files"][kind]:
        named, content = delivered(page_path.with_suffix("") / name)
        assert named == name
        made.append(content)
    return page, made
