"""VIRUS, the spectrographs of HETDEX: sizes of their detectors, fibers, and the wavelengths of calibrated spectra."""

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
EXPOSURE_S, AREA_CM2 = 360.0, 5e5
"""What a throughput is normalised to: HETDEX's own numbers."""
