"""DESI: spectra out of coadds."""
