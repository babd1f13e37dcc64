"""What a page says, and where its links lead."""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote


class Read(HTMLParser):
    """A page's links, ids and text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links, self.ids, self.text = [], set(), []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        of = dict(attributes)
        self.links += [of[name] for name in ("href", "src") if of.get(name)]
        self.ids |= {of["id"]} if "id" in of else set()

    def handle_data(self, data):
        self.text.append(data)

    @property
    def said(self) -> str:
        return " ".join(" ".join(self.text).split())


def check_links(site: Path) -> int:
    """Check that every link of a site leads to a file of it, and to a place there; return how many there are."""
    read = {path: Read(path) for path in sorted(site.rglob("*.html"))}
    n = 0
    for path, page in read.items():
        for link in page.links:
            if link.startswith("data:"):
                continue
            name, _, place = unquote(link).partition("#")
            assert not name.startswith(("/", "http")), (path, link)
            target = (path.parent / name).resolve() if name else path
            assert target.is_file(), (path, link)
            assert not place or place in read[target].ids, (path, link)
            n += 1
    return n
