"""The sky: HEALPix pixels, matching of positions, spectral lines."""
