"""Paths of a production, against desispec's."""

from pathlib import Path

import pytest

from skyharvest.reduction.desi.layout import COADDS, Layout
from skyharvest.surveys.desi.release import load_release

NIGHT, EXPID = 20250115, 6


@pytest.mark.peers
def test_paths_are_those_of_findfile(monkeypatch):
    from desispec.io import findfile

    monkeypatch.setenv("DESI_SPECTRO_REDUX", "/r")
    monkeypatch.setenv("SPECPROD", "sim")
    layout = Layout(Path("/r/sim"))
    of_camera = {"night": NIGHT, "expid": EXPID, "camera": "b0"}
    assert str(layout.preproc(NIGHT, EXPID, "b0")) == findfile("preproc", **of_camera)
    for kind, theirs in {
        "psf": "psf",
        "fit-psf": "fitpsf",
        "frame": "frame",
        "fiberflat": "fiberflat",
        "sky": "sky",
        "fluxcalib": "fluxcalib",
        "cframe": "cframe",
    }.items():
        assert str(layout.exposure(kind, NIGHT, EXPID, "b0")) == findfile(theirs, **of_camera), kind
    stars = findfile("stdstars", night=NIGHT, expid=EXPID, spectrograph=0)
    assert str(layout.of_exposure(f"stdstars-0-{EXPID:08d}.fits.gz", NIGHT, EXPID)) == stars
    for kind in ("psfnight", "fiberflatnight"):
        assert str(layout.calibnight(kind, NIGHT, "b0")) == findfile(kind, night=NIGHT, camera="b0"), kind
    for kind in ("spectra", "coadd", "redrock", "rrdetails"):
        expected = findfile(kind, healpix=12345, survey="main", faprogram="dark")
        assert str(layout.healpix(kind, "main", "dark", 12345)) == expected, kind
    by_camera = layout.healpix("coadd", "main", "dark", 12345)
    for form in COADDS:
        assert str(layout.healpix(form, "main", "dark", 12345)) == str(by_camera).replace("/coadd-", f"/{form}-")


def test_a_release_of_it_is_laid_out_as_the_harvest_reads_it(tmp_path):
    layout = Layout(tmp_path / "spectro/redux/sim")
    layout.production.mkdir(parents=True)
    release = load_release("sim", archive=str(tmp_path))
    assert layout.tilepix() == tmp_path / release.tilepix()
    for pix64 in (7, 12345):
        place = ("main", "dark", pix64)
        assert layout.healpix("coadd", *place) == tmp_path / release.coadd(*place)
        assert layout.healpix("redrock", *place) == tmp_path / release.redrock(*place)
        assert layout.checksums(*place) == tmp_path / release.checksums(*place)
