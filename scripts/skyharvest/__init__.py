"""Skyharvest: harvest what public sky surveys hold at a list of sky positions.

The library behind the programs in ``scripts/``. It does not depend on Snakemake. Importing the package itself
imports nothing heavy: jobs are short and many, so each module imports only what it needs. The names that
`skyharvest.read` has are here, too, imported when they are first asked for:

>>> from skyharvest import crossmatches, open_healpix, pixels
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skyharvest.read import Crossmatch, Spectra, crossmatches, open_healpix, pixels

__version__ = "0.1.0"
__all__ = ["Crossmatch", "Spectra", "crossmatches", "open_healpix", "pixels"]


def __getattr__(name: str) -> Any:
    """Return what notebooks ask for, from `skyharvest.read`."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("skyharvest.read"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
