"""Of which CSV and settings a product says it is: in HDF5 attributes, FITS cards, HATS properties, or a page's head.

Products are made when they are asked for, and stay when a later run has another CSV: only they themselves know.
"""

import html
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from skyharvest.core.errors import MalformedFile
from skyharvest.harvest.manifest import Manifest

CARDS = {"CSVSHA": "csv_sha256", "CONFHASH": "config_hash"}
"""FITS card → attribute."""

PROPERTY = "skyharvest_"
"""Before an attribute's name, in the properties of a HATS catalogue."""

_META = re.compile(r'<meta name="skyharvest" content="([^"]*)">')
_HEAD = 4096  # bytes of a page that its meta element is in
_CARD = re.compile(r"^(CSVSHA|CONFHASH)\s*=\s*'([^']*?)\s*'")


@dataclass(frozen=True)
class Origin:
    """What a product was made from.

    Attributes
    ----------
    csv_sha256
        Of the CSV.
    config_hashes
        Survey → digest of its settings; empty where a product depends on the CSV alone.
    """

    csv_sha256: str
    config_hashes: Mapping[str, str]

    def belongs(self, manifests: Mapping[str, Manifest]) -> bool:
        """Tell whether it is of the runs of these manifests, by survey; what they lack is of no run."""
        return all(
            survey in manifests
            and manifests[survey].csv_sha256 == self.csv_sha256
            and (not config_hash or manifests[survey].config_hash == config_hash)
            for survey, config_hash in self.config_hashes.items()
        )

    def meta(self) -> str:
        """Return the element that says so in a page's head."""
        words = [f"csv_sha256={self.csv_sha256}", *(f"{name}={value}" for name, value in self.config_hashes.items())]
        return f'<meta name="skyharvest" content="{html.escape(" ".join(words))}">'


def origin_of(path: Path, survey: str = "") -> Origin | None:
    """Return what a product says of itself; None if it says nothing, or cannot be read.

    Parameters
    ----------
    path
        A page, a FITS or HDF5 file, or the directory of a HATS catalogue.
    survey
        Whose it is; a page says it.
    """
    if path.suffix == ".html":
        with path.open(encoding="utf-8", errors="replace") as stream:
            found = _META.search(stream.read(_HEAD))
        said = dict(word.partition("=")[::2] for word in html.unescape(found[1]).split()) if found else {}
        csv = said.pop("csv_sha256", None)
        return Origin(csv, said) if csv is not None else None
    said = _hats(path) if path.is_dir() else _fits(path) if path.suffix == ".fits" else _hdf5(path)
    return Origin(said["csv_sha256"], {survey: said.get("config_hash", "")}) if "csv_sha256" in said else None


def _hats(path: Path) -> dict[str, str]:
    lines: Iterable[str] = ()
    for properties in sorted(path.glob("*/hats.properties")):
        lines = properties.read_text(encoding="utf-8", errors="replace").splitlines()
    pairs = (line.partition("=")[::2] for line in lines if line.startswith(PROPERTY))
    return {key.strip().removeprefix(PROPERTY): value.strip() for key, value in pairs}


def _fits(path: Path) -> dict[str, str]:
    with path.open("rb") as stream:
        text = stream.read(1 << 16).decode("ascii", "replace")
    cards = (_CARD.match(text[start : start + 80]) for start in range(0, len(text), 80))
    return {CARDS[card[1]]: card[2] for card in cards if card}


def _hdf5(path: Path) -> dict[str, str]:
    from skyharvest.formats import hdf5  # noqa: PLC0415 (parse time does without)

    with suppress(MalformedFile), hdf5.reading(path) as file:
        return {key: str(file.attrs[key]) for key in CARDS.values() if key in file.attrs}
    return {}
