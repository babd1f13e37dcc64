"""VIRUS, the spectrographs of HETDEX: sizes of detectors, fibers, dithers, and what spectra are calibrated to.

The names of amplifiers are in `layout`, as what reads only names does without numpy.
"""

import numpy as np

from skyharvest.core.arrays import Floats

SIZE = 1032
"""Rows and columns of an amplifier, without overscan; pixels of a spectrum."""
N_FIBERS = 112
"""Of an amplifier."""
FIBER_RADIUS = 0.75
"""Arcsec."""
N_GRID, GRID_STEP = 1036, 2.0
GRID: Floats = 3470.0 + GRID_STEP * np.arange(N_GRID, dtype=np.float64)
"""Å in air: the wavelengths of calibrated spectra, `GRID_STEP` apart."""
DITHERS = ((0.0, 0.0), (1.215, -0.70), (1.215, 0.70))
"""Arcsec: nominal, where the fibers of exposures 1, 2 and 3 are on the focal plane of the first."""
EXPOSURE_S, AREA_CM2 = 360.0, 5e5
"""What a throughput is normalised to: HETDEX's own numbers."""
PLANCK, LIGHT = 6.62607015e-27, 2.99792458e18
"""erg s, and Å/s: ``PLANCK * LIGHT / λ`` is the energy of a photon, erg."""
