"""What belongs to a survey's finished run: ``{survey}/manifest.json``, which readers, exports, pages and counts follow.

A results directory may hold more: files of rows that the CSV no longer has, of other programs, of another radius.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skyharvest.core.atomic import atomic_path
from skyharvest.core.errors import InputError, MalformedFile

if TYPE_CHECKING:
    import pyarrow as pa

NAME = "manifest.json"
MEANING = {"csv_sha256": "another CSV", "config_hash": "other settings"}
"""Root attributes that say what the rows of a file mean, and what differs where they do."""


@dataclass(frozen=True)
class Manifest:
    """What belongs to a run.

    Attributes
    ----------
    survey, release
        Whose it is.
    csv_sha256
        Of the CSV that ``row`` counts in; "" if it was a pipe.
    config_hash
        Of the settings that the results depend on: `skyharvest.config.load.digest`.
    rows
        Rows of the CSV.
    pixels
        NSIDE=16 NESTED pixel → rows of its assembled file.
    """

    survey: str
    release: str
    csv_sha256: str
    config_hash: str
    rows: int
    pixels: Mapping[int, int]

    def check(self, attributes: Mapping[str, Any], path: Path) -> None:
        """Check that an assembled file is of this run.

        Raises
        ------
        InputError
            If it is of another CSV or other settings.
        """
        check_alike(attributes, asdict(self), path, f"the run's {self.survey}/{NAME}")


def csv_of(schema: "pa.Schema") -> str:
    """Return the SHA-256 of the CSV that ``targets.parquet`` was made from, by its schema; "" if it does not say."""
    metadata: dict[bytes, bytes] = schema.metadata or {}
    return metadata.get(b"csv_sha256", b"").decode()


def meaning_of(attributes: Mapping[str, Any]) -> dict[str, str]:
    """Return what root attributes say of a file's rows, `MEANING`; "" for what they do not say."""
    return {key: str(attributes.get(key, "")) for key in MEANING}


def check_alike(attributes: Mapping[str, Any], others: Mapping[str, Any], path: Path, other: str | Path) -> None:
    """Check that the rows of a file are of the same CSV, and matched by the same settings, as those of another.

    Raises
    ------
    InputError
        If they are not: ``row`` 17 may be another source in each, or what they hold of it depend on which is read.
    """
    for key, what in MEANING.items():
        found, expected = str(attributes.get(key, "")), str(others.get(key, ""))
        if found != expected:
            raise InputError(
                f"{path} is of {what} than {other}: its {key} is {found or 'absent'}, expected {expected or 'none'}. "
                "Their rows do not go together: do not mix them. In the results of a run, run it to its end"
            )


def write_manifest(manifest: Manifest, path: Path) -> None:
    """Write ``manifest.json``."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(asdict(manifest), indent=1) + "\n", encoding="utf-8")


def read_manifests(results: Path, surveys: Iterable[str]) -> dict[str, Manifest]:
    """Return the manifest of each survey that has one in a results directory: `read_manifest`."""
    read = {survey: read_manifest(results, survey) for survey in surveys}
    return {survey: manifest for survey, manifest in read.items() if manifest is not None}


def read_manifest(results: Path, survey: str, name: str = NAME) -> Manifest | None:
    """Return the manifest of a survey's last finished run in a results directory; None if there is none.

    Parameters
    ----------
    name
        Of the file, where it has been set aside.

    Raises
    ------
    MalformedFile
        If it is torn.
    """
    path = results / survey / name
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        return Manifest(**(read | {"pixels": {int(pixel): rows for pixel, rows in read["pixels"].items()}}))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise MalformedFile(f"{path} is torn ({error!r}): remove it and run the workflow again") from error
