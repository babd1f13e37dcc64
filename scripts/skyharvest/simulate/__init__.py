"""A small simulated DESI release with known truth: what the demo runs on and what tests compare with.

The files have the format of DR1 (specprod iron): see desidatamodel.readthedocs.io, DESI_SPECTRO_REDUX/SPECPROD/healpix
(tilepix, coadd-SURVEY-PROGRAM-PIXNUM, redrock-SURVEY-PROGRAM-PIXNUM). The sky is laid out so that every status of the
ledger occurs, with the awkward places on purpose: pixel edges at NSIDE 64 and 16, RA 0/360, high declination, absent
coadds. The expected result of every CSV row is found by brute force here (all pairs, great circles), with nothing
from the modules that it tests.

Units: wavelength Å (vacuum), flux 10⁻¹⁷ erg s⁻¹ cm⁻² Å⁻¹, ivar the inverse square of that, RA and Dec degrees (ICRS).

- `release`: `simulate`, which writes all of it
- `sky`: where objects and CSV rows are
- `truth`: what must become of every CSV row
- `coadd`: observe some sources, write a coadd and its redrock file; no healpy is imported for these and what follows
- `tables`: the tables of those files
- `sources`: what galaxies, QSOs and stars shine
- `spectrograph`: what becomes of their light
- `columns`, `fitswrite`: the format of the tables and files
"""
