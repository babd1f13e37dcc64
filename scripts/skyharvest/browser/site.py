"""How pages to look at spectra with are written: they open from disk, and ask the network for nothing.

Beside ``NAME.html`` lie ``NAME/``, with the spectra in scripts of some rows each, and ``assets/``, which all pages
share: Bokeh's JavaScript and the browser's own. The names of scripts hold digests of what is in them: a page finds its
own, whatever another version has written there, and it appears when all that it needs is there.

All pages are one, in what they look like and do (``assets/page.html``, ``page.js``); what a kind of pages says of its
sources, and by which columns they are sorted, is told by a script of its own (`PageKind`).
"""

import hashlib
import html
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote

from skyharvest.core.atomic import atomic_path
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.sky.spectral_lines import KINDS

Json = dict[str, Any]
HERE = Path(__file__).parent / "assets"
STYLE = "browser.css"
BOKEH = ("bokeh", "bokeh-api")
SPECTRA_SCRIPTS = ("data.js", "spectrum.js", "table.js", "plot.js")  # in the order in which they need each other
SPECTRA_PAGE = "page.html"


@dataclass(frozen=True)
class PageKind:
    """A kind of pages.

    Attributes
    ----------
    name
        What its script in ``assets`` is called after.
    scripts
        What it runs, beside Bokeh, in this order.
    template
        What it is made of.
    words
        What the template says with them: `string.Template`'s names → text.
    """

    name: str
    scripts: tuple[str, ...]
    template: str
    words: Mapping[str, str]

    @classmethod
    def of_spectra(cls, name: str, **words: str) -> "PageKind":
        """Return a kind of pages with spectra: its words are home, home_title, jump and filter."""
        return cls(name, (*SPECTRA_SCRIPTS, f"{name}.js", "page.js"), SPECTRA_PAGE, words)

    @property
    def has_spectra(self) -> bool:
        """Whether it draws spectra, which are beside it."""
        return self.template == SPECTRA_PAGE


def write(
    out: Path,
    kind: PageKind,
    page: Json,
    scripts: Iterable[tuple[str, Json]],
    *,
    title: str,
    what: str,
    origin: str = "",
) -> None:
    """Write a page, the scripts beside it, and the assets if they are not there.

    Parameters
    ----------
    out
        The page. Scripts go to the directory of its name without ``.html``, assets to ``assets`` beside it.
    kind
        Of the page.
    page
        What it holds itself. Names of scripts are added: ``directory``, and ``files``, by kind; and spectral lines.
    scripts
        Kind and content of each, in order; one is in memory at a time.
    title, what
        Of the window, and in the head of the page.
    origin
        HTML that says what it was made from.

    Raises
    ------
    InputError
        If the page is to be called otherwise.
    MalformedFile
        If Bokeh lacks its scripts.
    """
    if out.suffix != ".html":
        raise InputError(f"the page is to be {out}, expected a name that ends with .html")
    directory = out.with_suffix("")
    if kind.has_spectra:
        directory.mkdir(parents=True, exist_ok=True)
    assets = write_assets(out.parent / "assets", kind)
    names: dict[str, list[str]] = {}
    for of, content in scripts:
        packed = _json(content)
        name = _with_digest(f"{of}-{len(names.get(of, ()))}.js", packed)
        _keep(directory / name, f'skyharvest.deliver("{name}",{packed});\n')
        names.setdefault(of, []).append(name)
    lines = {of: [[line.label, line.wave, line.rank] for line in of_kind] for of, of_kind in KINDS.items()}
    template = Template((HERE / kind.template).read_text(encoding="utf-8"))
    text = template.substitute(
        {key: html.escape(text) for key, text in kind.words.items()},
        title=html.escape(title),
        what=html.escape(what),
        origin=origin,
        style=quote(f"assets/{assets[STYLE]}"),
        scripts="\n".join(
            f'<script src="{quote(f"assets/{name}")}"></script>' for name in assets.values() if name.endswith(".js")
        ),
        data=_json(page | {"directory": directory.name, "files": names, "lines": lines}),
    )
    _write(out, text)
    named = {name for of_kind in names.values() for name in of_kind}
    for stale in directory.glob("*.js"):
        if stale.name not in named:
            stale.unlink(missing_ok=True)


def write_assets(directory: Path, kind: PageKind) -> dict[str, str]:
    """Write what all pages of a kind share, where it is not there yet, and return the names of the files.

    Returns
    -------
    dict
        ``bokeh`` and ``bokeh-api`` if it has spectra; its script, and ``browser.css`` → file name in the directory; in
        loading order.
    """
    names = {}
    for name in BOKEH if kind.has_spectra else ():
        content = _bokeh(name)
        names[name] = f"{name}-{metadata.version('bokeh')}.min.js"
        _keep(directory / names[name], content)
    script = "\n".join((HERE / name).read_text(encoding="utf-8") for name in kind.scripts)
    for name, content in ((f"{kind.name}.js", script), (STYLE, (HERE / STYLE).read_text(encoding="utf-8"))):
        names[name] = _with_digest(name, content)
        _keep(directory / names[name], content)
    return names


def _bokeh(name: str) -> str:
    """Return a script of Bokeh's. The package is found, not imported: that takes a second."""
    package = util.find_spec("bokeh")
    places = list(package.submodule_search_locations or ()) if package is not None else []
    path = Path(*places[:1], "server", "static", "js", f"{name}.min.js")
    if not places or not path.exists():
        raise MalformedFile(f"the Python package bokeh has no {path.name} (looked for {path}): install bokeh 3")
    return path.read_text(encoding="utf-8")


def _with_digest(name: str, content: str) -> str:
    stem, _, suffix = name.rpartition(".")
    return f"{stem}-{hashlib.blake2b(content.encode(), digest_size=6).hexdigest()}.{suffix}"


def _keep(path: Path, content: str) -> None:
    """Write a file whose name says what is in it, unless it is there: other jobs write the same."""
    if not path.exists() or path.stat().st_size != len(content.encode()):
        _write(path, content)


def _write(path: Path, content: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(content, encoding="utf-8")


def _json(value: Mapping[str, Any]) -> str:
    """Return JSON that is safe in a script element, whatever text a CSV file holds."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
