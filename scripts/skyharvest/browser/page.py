"""Pages to look at the spectra of one pixel with, which open from disk and ask the network for nothing.

Beside ``healpix=N.html`` lie ``healpix=N/``, with the spectra in scripts of some rows each, and ``assets/``, which all
pages share: Bokeh's JavaScript and the browser's own. The names of scripts hold digests of what is in them: a page
finds its own, whatever another version has written there, and it appears when all that it needs is there.
"""

import hashlib
import html
import json
from collections.abc import Mapping
from importlib import metadata, util
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote

from skyharvest.browser import data
from skyharvest.browser.sources import PageSources, opened
from skyharvest.core.atomic import atomic_path
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.sky.spectral_lines import KINDS

HERE = Path(__file__).parent / "assets"
SCRIPTS = ("data.js", "spectrum.js", "table.js", "plot.js", "page.js")  # in the order in which they need each other
STYLE = "browser.css"
BOKEH = ("bokeh", "bokeh-api")


def write_page(files: Mapping[str, Path], out: Path) -> int:
    """Write a page, its spectra, and the assets if they are not there; return the number of sources.

    Parameters
    ----------
    files
        Survey → its assembled file of the pixel.
    out
        The page. Spectra go to the directory of its name without ``.html``, assets to ``assets`` beside it.

    Raises
    ------
    MalformedFile, InputError
        As `skyharvest.browser.sources.opened`.
    """
    if out.suffix != ".html":
        raise InputError(f"the page is to be {out}, expected a name that ends with .html")
    directory = out.with_suffix("")
    directory.mkdir(parents=True, exist_ok=True)
    assets = write_assets(out.parent / "assets")
    with opened(files) as sources:
        page = data.page_data(sources)
        page["directory"] = directory.name
        page["files"] = _write_spectra(sources, directory)
        n, origin = sources.n, sources.origin
    page["lines"] = {kind: [[line.label, line.wave, line.rank] for line in of_kind] for kind, of_kind in KINDS.items()}
    template = Template((HERE / "page.html").read_text(encoding="utf-8"))
    pixel = page["attributes"].get("healpix", "")
    _write(
        out,
        template.substitute(
            title=html.escape(f"HEALPix {pixel} · spectra"),
            pixel=html.escape(str(pixel)),
            origin=origin.meta(),
            style=quote(f"assets/{assets[STYLE]}"),
            scripts="\n".join(
                f'<script src="{quote(f"assets/{name}")}"></script>' for name in assets.values() if name.endswith(".js")
            ),
            data=_json(page),
        ),
    )
    named = {name for names in page["files"].values() for name in names}
    for stale in directory.glob("*.js"):
        if stale.name not in named:
            stale.unlink(missing_ok=True)
    return n


def write_assets(directory: Path) -> dict[str, str]:
    """Write what all pages share, where it is not there yet, and return the names of the files.

    Returns
    -------
    dict
        ``bokeh``, ``bokeh-api``, ``browser.js``, ``browser.css`` → file name in the directory; in loading order.
    """
    names = {}
    for name in BOKEH:
        content = _bokeh(name)
        names[name] = f"{name}-{metadata.version('bokeh')}.min.js"
        _keep(directory / names[name], content)
    script = "\n".join((HERE / name).read_text(encoding="utf-8") for name in SCRIPTS)
    for name, content in (("browser.js", script), (STYLE, (HERE / STYLE).read_text(encoding="utf-8"))):
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


def _write_spectra(sources: PageSources, directory: Path) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for number in range(data.n_files(sources)):
        for kind, content in data.files(sources, number).items():
            packed = _json(content)
            name = _with_digest(f"{kind}-{number}.js", packed)
            _keep(directory / name, f'skyharvest.deliver("{name}",{packed});\n')
            names.setdefault(kind, []).append(name)
    return names


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
