"""Combine cameras with numba, in a process of its own: prints seconds to import, to compile, and per spectrum."""

import sys
import time

BEGAN = time.perf_counter()
import numba

IMPORTED = time.perf_counter()
import numpy as np


@numba.njit
def combine(flux, ivar, mask, starts, total_flux, total_ivar, total_mask, times):  # type: ignore[no-untyped-def]
    """Do what `combine_cameras` of `skyharvest.surveys.desi.spectra` does once the arms' places are known.

    The result is in ``total_*``.
    """
    for arm in range(len(starts)):
        for pixel in range(starts[arm], starts[arm] + flux[arm].shape[1]):
            times[pixel] += 1
    for row in range(len(total_flux)):
        for arm in range(len(starts)):
            for pixel in range(flux[arm].shape[1]):
                at = starts[arm] + pixel
                weight = np.float64(ivar[arm][row, pixel])
                value = np.float64(flux[arm][row, pixel])
                total_flux[row, at] += weight * value if times[at] > 1 else value
                total_ivar[row, at] += weight
                total_mask[row, at] |= mask[arm][row, pixel]
        for at in range(total_flux.shape[1]):
            weight = total_ivar[row, at]
            if times[at] > 1 and weight != 0:
                total_flux[row, at] /= weight
            if weight > 0:
                total_mask[row, at] = 0


def main(path: str) -> None:
    """Read the arms from an .npz file, combine them, compare with what is expected there."""
    given = np.load(path)
    arms = [[given[f"{arm}_{kind}"] for arm in "brz"] for kind in ("flux", "ivar", "mask")]
    flux, ivar, mask = map(tuple, arms)
    shape = given["flux"].shape
    seconds = []
    for _ in range(8):
        combined = np.zeros(shape), np.zeros(shape), np.zeros(shape, np.int32)
        start = time.perf_counter()
        combine(flux, ivar, mask, given["starts"], *combined, np.zeros(shape[1], np.int64))
        seconds.append(time.perf_counter() - start)
    for name, array in zip(("flux", "ivar", "mask"), combined, strict=True):
        assert np.array_equal(array, given[name]), name
    later = sorted(seconds[1:])[len(seconds) // 2]
    print(IMPORTED - BEGAN, seconds[0] - later, later / shape[0])


if __name__ == "__main__":
    main(sys.argv[1])
