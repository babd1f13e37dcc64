"""Coadds of DESI, copied by Globus."""
