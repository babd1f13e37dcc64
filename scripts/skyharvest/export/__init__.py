"""Spectra in file formats of other projects."""
