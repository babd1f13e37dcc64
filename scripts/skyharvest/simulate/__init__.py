"""Small simulated releases with known truth: the demo runs on them, and tests compare with the truth.

DESI's files have the format of DR1 (specprod iron): see desidatamodel.readthedocs.io,
DESI_SPECTRO_REDUX/SPECPROD/healpix (tilepix, coadd-SURVEY-PROGRAM-PIXNUM, redrock-SURVEY-PROGRAM-PIXNUM). The sky is
laid out so that every status of the ledger occurs, and the difficult places: pixel edges at NSIDE 64 and 16, RA 0/360,
high declination, absent coadds. The expected result of every CSV row is found by brute force here (all pairs, great
circles), without the modules that it tests.

Units: wavelength Å (vacuum), flux 10⁻¹⁷ erg s⁻¹ cm⁻² Å⁻¹, ivar the inverse square of that, RA and Dec degrees (ICRS).

- `desi`: `release.simulate` writes all of it; `sky` lays out objects and CSV rows, `truth` says what must become of the
  rows; `sources`, `spectrograph`, `coadd`, `tables`, `columns` make the spectra and their files
- `hetdex`, `legacysurvey`: cubes and bricks over some of the CSV's positions
- `fits_write`, `sha256sum`: the format of the files
"""
