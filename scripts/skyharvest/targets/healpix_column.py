"""A CSV's own column of HEALPix pixels, compared with those of its positions."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skyharvest.core.errors import InputError
from skyharvest.sky.healpix import guess_scheme
from skyharvest.targets.csv_rows import BLANK_PIXEL, NO_PIXEL, Names

log = logging.getLogger(__name__)

NSIDE_FILES = 16  # of the assembled files, and of a `healpix` column of the CSV
MIN_AGREEMENT = 0.999


def check_healpix_column(
    path: Path, names: Names, cells: Sequence[int], own: dict[str, npt.NDArray[Any]]
) -> int | None:
    """Compare the CSV's pixels with those of RA and Dec; return how many rows disagree, None without such a column."""
    if names.healpix is None:
        return None
    claimed = np.array(cells, np.int64)
    wrong = np.flatnonzero(claimed != own["pix16"])
    share = 1 - len(wrong) / len(claimed)
    if share >= MIN_AGREEMENT:
        if len(wrong):
            log.warning(
                "%s: %s is not the NSIDE=%d NESTED pixel of %s, %s in %d of %d rows; RA and Dec decide",
                *(path, names.healpix, NSIDE_FILES, names.ra, names.dec, len(wrong), len(claimed)),
            )
        return len(wrong)
    schemes = guess_scheme(claimed, own["ra"], own["dec"])
    good = [scheme for scheme in schemes if scheme[2] >= MIN_AGREEMENT]
    if good:
        verdict = f"It agrees with {_scheme(good[0])}: convert it"
    else:
        first = wrong[0]
        found = {BLANK_PIXEL: "an empty cell", NO_PIXEL: "no whole number"}.get(int(claimed[first]), claimed[first])
        verdict = (
            f"No NSIDE from 1 to 512 agrees in either ordering; the best are {', '.join(map(_scheme, schemes[:3]))}. "
            f"The first row that disagrees is row {own['row'][first]}, with {found} instead of "
            f"{own['pix16'][first]}: see whether {names.ra} and {names.dec} are the columns it was made from"
        )
    raise InputError(
        f"{path}: column {names.healpix!r} should hold the NSIDE={NSIDE_FILES} NESTED pixels of {names.ra}, "
        f"{names.dec}, but {_percent(share)} of the {len(claimed):,} rows agree. {verdict}, or do without the check "
        "(targets.healpix: null, or no --healpix): RA and Dec decide in any case"
    )


def _scheme(scheme: tuple[int, str, float]) -> str:
    nside, ordering, share = scheme
    return f"NSIDE={nside} {ordering} ({_percent(share)})"


def _percent(share: float) -> str:
    """Return a percentage that is 100 or 0 only where it is exactly that."""
    return f"{share:.0%}" if share in (0, 1) else f"{min(max(100 * share, 0.01), 99.99):.2f}%"
