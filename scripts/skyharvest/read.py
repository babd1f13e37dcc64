"""Read the assembled files of a run, in notebooks and other people's programs.

>>> from skyharvest import crossmatches, open_healpix, pixels
>>> pixels("results")                               # the NSIDE=16 pixels that there are
>>> with open_healpix("results", 1702) as pixel:    # or open_healpix("…/crossmatch_desi.hdf5")
...     table = pixel.table()                       # astropy: a row per spectrum, the CSV's columns beside it
...     best = pixel.spectra(table["primary"])      # flux, ivar, error, mask (n, wavelength)
>>> for pixel in crossmatches("results", "hetdex"): # one after another
...     collection = pixel.to_specutils()

Nothing is read but what is asked for. h5py and NumPy are enough; astropy, specutils and xarray are imported by the
methods that make their objects. docs/data-model.md says what the files hold.
"""

from skyharvest.products.crossmatch import Crossmatch
from skyharvest.products.results import crossmatches, open_healpix, pixels
from skyharvest.products.spectra import Spectra

__all__ = ["Crossmatch", "Spectra", "crossmatches", "open_healpix", "pixels"]
