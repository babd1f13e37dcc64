"""Paths of a production, against desispec's."""

from pathlib import Path

import pytest

from skyharvest.reduction.desi.layout import Layout

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
