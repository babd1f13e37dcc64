"""The spectra in formats of others."""
