"""Spectra out of images, with all fibers of a bundle modelled at once (spectroperfectionism)."""
