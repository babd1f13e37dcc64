"""Spectra of the fibers of an exposure: without scattered light, cosmic rays and sky."""
