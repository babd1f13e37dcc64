"""The Sun's spectrum: its lines are where laboratories have them, and a user's own file takes its place."""

from pathlib import Path

import numpy as np
import pytest

from skyharvest.core.errors import InputError
from skyharvest.reduction.hetdex.calibration import solar_spectrum

# Fraunhofer lines that stand alone at 1 Å, wavelengths in air: NIST ASD.
LINES = {3581.193: "Fe I", 3933.663: "Ca II K", 3968.468: "Ca II H", 4226.728: "Ca I", 4383.545: "Fe I",
         4861.35: "H beta", 5172.684: "Mg I", 5183.604: "Mg I"}  # fmt: skip


def test_lines_are_at_their_wavelengths_in_air() -> None:
    sun = solar_spectrum.read()
    assert sun.wavelength[0] <= 3400
    assert sun.wavelength[-1] >= 5620
    for line in LINES:
        near = np.flatnonzero(np.abs(sun.wavelength - line) < 1.2)
        k = near[np.argmin(sun.flux[near])]
        low, mid, high = sun.flux[k - 1 : k + 2]
        place = sun.wavelength[k] + 0.5 * (low - high) / (low - 2 * mid + high) * solar_spectrum.STEP
        assert abs(place - line) < 0.12, (line, place)  # in vacuum it would be 1 Å and more
    # A spectrum of irradiance: 1.8 W m-2 nm-1 at 500 nm (any atlas).
    assert 1.8 < np.mean(sun.flux[np.abs(sun.wavelength - 5000) < 100]) < 2.1


def test_convolution_keeps_flux_and_gives_the_width() -> None:
    grid = np.arange(3400, 5620.1, 0.05)
    line = np.exp(-0.5 * ((grid - 4500.1) / (2.0 * solar_spectrum.SIGMA)) ** 2)
    sun = solar_spectrum.SolarSpectrum(
        np.arange(3400, 5620.1, 0.25), np.interp(np.arange(3400, 5620.1, 0.25), grid, line), 2.0
    )
    broad = sun.convolved(5.0)
    centre = np.sum(broad * sun.wavelength) / broad.sum()
    sigma = np.sqrt(np.sum(broad * (sun.wavelength - centre) ** 2) / broad.sum())
    assert broad.sum() == pytest.approx(sun.flux.sum(), rel=1e-6)
    assert centre == pytest.approx(4500.1, abs=1e-3)
    assert sigma == pytest.approx(5.0 * solar_spectrum.SIGMA, rel=0.002)
    with pytest.raises(ValueError, match="2 Å"):
        sun.convolved(1.0)


def test_own_file(tmp_path: Path) -> None:
    path = tmp_path / "sun.txt"
    fine = np.arange(3390, 5630, 0.01)
    flux = 1 - 0.9 * (np.abs(fine - 4500.0) < 0.02)  # a line narrower than the grid is not missed
    np.savetxt(path, np.column_stack([fine, flux]))
    sun = solar_spectrum.read(path, 0.05)
    assert np.sum(1 - sun.flux) * solar_spectrum.STEP == pytest.approx(np.sum(1 - flux) * 0.01, rel=0.01)
    assert sun.wavelength[np.argmin(sun.flux)] == 4500.0


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (np.array([[3400.0, 1.0], [3399.0, 1.0], [5700.0, 1.0]]), "row 2"),
        (np.array([[3600.0, 1.0], [5700.0, 1.0]]), "3600 to 5700"),
        (np.array([[3300.0, 1.0], [5700.0, 1.0]]), "steps of 2400"),
        (np.ones((4, 3)), "3 columns"),
    ],
)
def test_a_file_that_will_not_do(tmp_path: Path, table: np.ndarray, says: str) -> None:
    path = tmp_path / "sun.txt"
    np.savetxt(path, table)
    with pytest.raises(InputError, match=says):
        solar_spectrum.read(path)
    with pytest.raises(InputError, match=r"none\.txt"):
        solar_spectrum.read(tmp_path / "none.txt")
