"""A simulated night of DESI: desispec takes it as it takes a real one."""

from pathlib import Path

import fitsio
import numpy as np
import pytest

from skyharvest.simulate.desi_night.camera import cameras
from skyharvest.simulate.desi_night.night import NIGHT, Plan, simulate
from skyharvest.simulate.desi_night.spectra import galaxy_parts, quasar_parts, star
from skyharvest.simulate.desi_night.templates import standard_wave

pytestmark = pytest.mark.peers

PLAN = Plan(arcs=1, flats=0, science=1, truncated=True, missing=None, cameras=("z0",))


@pytest.fixture(scope="module")
def night(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("night")
    exposures = simulate(root, PLAN)
    assert [exposure.obstype for exposure in exposures] == ["arc", "arc", "science"]
    return root


def raw(night: Path, expid: int) -> Path:
    return night / "data" / str(NIGHT) / f"{expid:08d}" / f"desi-{expid:08d}.fits.fz"


def test_desispec_preprocesses_it(night, tmp_path, monkeypatch):
    """Bias, overscan and orientation are understood: the light is where the traces are, with the noise that it had."""
    from desispec.io import read_fibermap, read_image
    from desispec.scripts import preproc

    monkeypatch.setenv("DESI_SPECTRO_CALIB", str(night / "calibration"))
    monkeypatch.setenv("DESIMODEL", str(night / "desimodel"))
    fibermap = raw(night, 3).with_name("fibermap-00000003.fits")
    out = tmp_path / "preproc.fits.gz"
    arguments = ["-i", str(raw(night, 3)), "-o", str(out), "--cameras", "z0", "--fibermap", str(fibermap)]
    arguments += ["--nodark", "--no-cte-corr"]  # to correct for charge transfer, desispec wants specter
    preproc.main(preproc.parse(arguments))
    image = read_image(str(out))
    camera = cameras()["z0"]
    assert image.pix.shape == (camera.n_y, camera.n_x)
    assert read_fibermap(str(out))["OBJTYPE"][2] == "SKY"
    x = np.polynomial.legendre.legval(np.zeros(1), camera.traces(-0.10)[0].T)[:, 0]
    profile = np.median(image.pix[1900:2200], axis=0)
    lit = [fiber for fiber in range(25) if fiber != PLAN.dead]
    for fiber in lit:
        near = slice(round(x[fiber]) - 3, round(x[fiber]) + 4)
        centre = (profile[near] * np.arange(near.start, near.stop)).sum() / profile[near].sum()
        assert centre == pytest.approx(x[fiber], abs=0.1)
    assert profile[round(x[PLAN.dead])] < 0.1 * np.median([profile[round(x[fiber])] for fiber in lit])
    dark = image.pix[:, 30:200]
    noise = 1.4826 * np.median(np.abs(dark - np.median(dark)))
    assert camera.read_noise < noise < 1.25 * camera.read_noise  # each row's overscan adds some


def test_the_truncated_exposure_cannot_be_read(night):
    with pytest.raises(OSError, match=r"z0|Z0|FITS"), fitsio.FITS(raw(night, 2)) as file:
        file["Z0"].read()


def test_the_truth_says_what_each_fiber_is_on(night):
    with fitsio.FITS(night / "truth.fits") as file:
        objects, wave, flux = (file[name].read() for name in ("OBJECTS", "WAVELENGTH", "FLUX"))
    kinds = objects["KIND"].astype(str)
    assert set(kinds) == {"SKY", "STD", "GALAXY", "QSO", "STAR"}
    assert np.isnan(objects["Z"][kinds == "SKY"]).all()
    assert (flux[kinds == "SKY"] == 0).all()
    assert flux.shape == (25, wave.size)
    assert objects["THROUGHPUT"][PLAN.dead] == 0


def test_it_is_the_same_every_time(night, tmp_path):
    simulate(tmp_path, PLAN)
    for expid in (1, 3):
        assert raw(tmp_path, expid).read_bytes() == raw(night, expid).read_bytes()


def test_spectra_have_the_features_they_are_known_by():
    wave = standard_wave()

    def depth(spectrum: np.ndarray, line: float) -> float:
        return 1 - np.interp(line, wave, spectrum) / np.interp([line - 60, line + 60], wave, spectrum).mean()

    hot, cool = star(wave, 9000), star(wave, 3500)
    assert depth(hot, 4862.7) > 0.3 > depth(star(wave, 4800), 4862.7)
    assert depth(star(wave, 5000), 3934.8) > depth(star(wave, 5000, -1.5), 3934.8)
    assert depth(cool, 7070) > 0.1
    parts = galaxy_parts(wave)
    assert np.median(parts["old"][(wave > 4050) & (wave < 4250)]) > 1.3 * np.median(
        parts["old"][(wave > 3750) & (wave < 3900)]
    )
    assert wave[np.argmax(parts["oiii"])] == pytest.approx(5008.2, abs=0.5)
    assert wave[np.argmax(quasar_parts(wave)["balmer"])] == pytest.approx(6564.6, abs=0.5)
