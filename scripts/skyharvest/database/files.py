"""Files of a production or a public release that the database is loaded from.

Light: it is imported whenever the workflow is parsed.
"""

import re
from pathlib import Path

from skyharvest.core.errors import InputError

NAME = re.compile(r"[a-z_][a-z0-9_]{0,50}")
"""Of a schema: what needs no quotes."""
RESERVED = ("main", "temp", "public", "information_schema")
"""Names that databases have taken."""
SUFFIX = ".db"
"""Of the SQLite file of a schema."""
PATTERNS = (
    ("tiles-*.fits",),
    ("exposures-*.fits",),
    ("tractorphot*.fits", "tractorphot/tractorphot*.fits"),
    ("targetphot*.fits", "zcatalog/targetphot*.fits"),
    ("zcatalog/zall-pix-*.fits", "zcatalog/v*/zall-pix-*.fits", "zall-pix-*.fits"),
    ("zcatalog/zall-tilecumulative-*.fits", "zcatalog/v*/zall-tilecumulative-*.fits", "zall-tilecumulative-*.fits"),
    ("fiberassign-*.fits*", "fiberassign/**/fiberassign-*.fits*"),
)
"""Below the directory of a release, kind by kind, in the order of loading: what comes first is referred to, and of the
photometry of a target the first counts."""
ONE = ("tiles", "exposures", "zall")
"""How names begin of which one file counts: that of the last version."""


def catalogue_files(directory: Path) -> list[Path]:
    """Return the files of a release that are loaded, in order.

    Parameters
    ----------
    directory
        ``…/spectro/redux/iron``, or one with such files in it.

    Raises
    ------
    InputError
        If it has no catalogue of redshifts.
    """
    found: list[Path] = []
    for patterns in PATTERNS:
        of_kind = [path for pattern in patterns for path in sorted(directory.glob(pattern))]
        found += of_kind[-1:] if patterns[0].split("/")[-1].startswith(ONE) else of_kind
    if not any(path.name.startswith("zall-") for path in found):
        raise InputError(
            f"{directory} has no catalogue of redshifts: expected zcatalog/zall-pix-….fits or zall-pix-….fits"
        )
    return found


def schema_of(directory: Path) -> str:
    """Return the name of the schema that a release is loaded into: its directory's, as a name in SQL."""
    name = re.sub("[^a-z0-9_]+", "_", directory.absolute().name.lower())[:50]
    name = name if re.match("[a-z_]", name) else f"_{name}"
    return f"{name}_" if name in RESERVED or name.startswith(("pg_", "sqlite_")) else name
