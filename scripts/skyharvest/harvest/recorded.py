"""What files say that they were made from. Parse time asks only where something has changed: it takes libraries."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from skyharvest.core.errors import MalformedFile
from skyharvest.formats import hdf5
from skyharvest.harvest import manifest
from skyharvest.harvest.assembled import is_made_from, made_from
from skyharvest.harvest.extracted import has_data


def request_of(extracted: Path) -> str:
    """Return what an extracted file was made for; "" if it cannot be read."""
    with suppress(MalformedFile, FileNotFoundError), hdf5.reading(extracted) as file:
        return str(file.attrs.get("request", ""))
    return ""


def is_assembled_from(assembled: Path, extracted: Iterable[Path], meaning: Mapping[str, str]) -> bool:
    """Tell whether an assembled file was made from these files as they are now, of this CSV and these settings."""
    with suppress(MalformedFile, FileNotFoundError):
        return is_made_from(assembled, made_from(extracted, meaning))
    return False


def meaning_of(assembled: Path) -> dict[str, str]:
    """Return what an assembled file's rows mean: `skyharvest.harvest.manifest.MEANING`; empty if it cannot be read."""
    with suppress(MalformedFile, FileNotFoundError), hdf5.reading(assembled) as file:
        return manifest.meaning_of(file.attrs)
    return {}


def is_bare(extracted: Path) -> bool:
    """Tell whether an extracted file has no spectra or images any more."""
    with suppress(MalformedFile, FileNotFoundError):
        return not has_data(extracted)
    return False


def csv_of(targets: Path) -> str:
    """Return the SHA-256 of the CSV that ``targets.parquet`` was made from; "" if it does not say."""
    with suppress(pa.ArrowInvalid, OSError), targets.open("rb") as stream:
        return manifest.csv_of(pq.read_schema(stream))
    return ""
