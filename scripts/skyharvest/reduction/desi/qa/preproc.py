"""PREPROC: read noise, overscan, bad pixels and cosmics of each amplifier of a preprocessed image."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from desispec.maskbits import ccdmask, extractmaskval
from desispec.preproc import get_amp_ids, parse_sec_keyword

from skyharvest.core.arrays import Array, Floats
from skyharvest.reduction.desi.qa.part import Part, width

LETTERS = {"1": "A", "2": "B", "3": "C", "4": "D"}
MOST = 1_000_000
"""So many pixels of an amplifier tell its noise."""


def measure_preproc(
    pixels: Floats, ivar: Floats, mask: Array, header: Mapping[str, Any], bad_amps: Collection[str] = ()
) -> Part:
    """Measure a preprocessed image.

    Parameters
    ----------
    pixels, ivar, mask
        (n_y, n_x): electrons, their inverse variances, and desispec's ``ccdmask``.
    header
        With desispec's cards of each amplifier: CCDSECA, OBSRDNA, OVERSCNA, OSTEPA.
    bad_amps
        Those that are known as bad: they are not measured.
    """
    part, steps = Part(), {}
    for amp in get_amp_ids(header):
        name = LETTERS.get(amp, amp)
        if name in bad_amps:
            continue
        at = f"amp {name}"
        region = parse_sec_keyword(header[f"CCDSEC{amp}"])
        bits = mask[region]
        cosmic = (bits & int(ccdmask.COSMIC)) != 0
        masked = (bits & int(extractmaskval) & ~int(ccdmask.COSMIC)) != 0
        part.add(f"PREPROC-READNOISE_{name}", header[f"OBSRDN{amp}"], at)
        part.add(f"PREPROC-OVERSCAN_{name}", header[f"OVERSCN{amp}"], at)
        part.add(f"PREPROC-NOISE_{name}", noise(pixels[region], ivar[region] * ~(cosmic | masked)), at)
        part.add(f"PREPROC-MASKED_{name}", masked.mean(), at)
        part.add(f"PREPROC-COSMICS_{name}", (cosmic & ~masked).mean(), at)
        if f"OSTEP{amp}" in header:
            steps[at] = float(header[f"OSTEP{amp}"])
    if steps:
        worst = max(steps, key=steps.__getitem__)
        part.add("PREPROC-OVERSCAN_STEP", steps[worst], worst)
    return part


def noise(pixels: Floats, ivar: Floats) -> float:
    """Return the width of differences of neighbours along columns, over their errors: 1 if variances are right.

    Light changes slowly along a column, as fibers' traces do, and few pixels have edges of lines: a median leaves
    those out. NaN if hardly a pixel is good.
    """
    every = max(1, pixels.size // MOST)
    pixels, ivar = pixels[:, ::every], ivar[:, ::every]
    low, high = ivar[:-1], ivar[1:]
    good = (low > 0) & (high > 0)
    if good.sum() < 100:
        return np.nan
    change = (pixels[1:] - pixels[:-1])[good] / np.sqrt(1 / low[good] + 1 / high[good])
    return width(change)
