"""What people import to read a run's results; see `skyharvest.products.read`."""

from skyharvest.products.read import Crossmatch, Spectra, crossmatches, open_healpix, pixels

__all__ = ["Crossmatch", "Spectra", "crossmatches", "open_healpix", "pixels"]
