"""The settings of the positions to look for."""

from typing import Annotated

from skyharvest.core.settings import Distinct, Limited, section, setting

Column = Annotated[str, Limited("A column of the CSV, whose name does not begin with a hyphen.", pattern="^[^-]")]
TARGETID_AS_TEXT = "column {!r} holds the TARGETIDs to match on, which are whole numbers: leave it out of targets.text"


@section
class Targets:
    """The positions to look for."""

    csv: str | None = setting(
        None,
        "Path of the CSV, needed where a survey is harvested; with a header line, a row per position, any further "
        "columns; as it is, or .gz, .bz2, .xz or .zst. A FITS, VOTable, ECSV or Parquet table does as well. Relative "
        "to the working directory, or absolute.",
        min_length=1,
        path=True,
        outcome=False,
    )
    ra: str = setting("RA_DESI", "Column of the right ascension, in degrees, ICRS.", min_length=1)
    dec: str = setting("DEC_DESI", "Column of the declination, in degrees, ICRS.", min_length=1)
    healpix: str | None = setting(
        None,
        "Column of an NSIDE=16 NESTED HEALPix number, which is checked against the position; null if there is none.",
        min_length=1,
    )
    targetid: str | None = setting(
        None,
        "Column of DESI TARGETIDs, to match on these instead of on position; null to match on position.",
        min_length=1,
    )
    text: Annotated[list[Column], Distinct()] = setting(
        [],
        "Columns that stay text although all their cells are numbers, such as identifiers. A column that a number does "
        "not give back exactly (007, 12.10 beside 12.1, more digits than a float has) stays text in any case.",
    )
    name: str = setting(
        "chandra",
        "HDF5 group that holds the CSV's own columns; letters, digits, underscores, dots and hyphens, the first one a "
        "letter, digit or underscore.",
        pattern="^[A-Za-z0-9_][A-Za-z0-9_.-]*$",
    )
