"""A real coadd of DESI, harvested by the workflow, against desispec. Skips where the real files are not there."""

import csv
import hashlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.io import fits

REAL = Path(__file__).resolve().parents[2].parent / "shared" / "real"
pytestmark = pytest.mark.skipif(not (REAL / "archive").is_dir(), reason=f"no real DESI files in {REAL}")
COADD = "archive/spectro/redux/loa/healpix/special/dark/272/27247/coadd-special-dark-27247.fits"
STATUSES = ["matched", "no_fiber", "no_fiber", "not_covered", "coadd_absent"]


@pytest.fixture(scope="module")
def harvested(tmp_path_factory, run) -> Path:
    directory = tmp_path_factory.mktemp("real")
    (directory / "real.yaml").write_text(
        f"""
targets: {{csv: {REAL}/targets.csv, ra: RA_DESI, dec: DEC_DESI, healpix: healpix, name: chandra}}
desi: {{release: loa, surveys: [special], programs: [dark], archive: {REAL}/archive, spectra: {{arms: true}}}}
"""
    )
    done = run(directory, "--configfile", "real.yaml")
    assert done.status == 0, done.output
    return directory / "results"


def test_the_ledger_says_what_became_of_the_five_rows(harvested):
    with (harvested / "desi/ledger.csv").open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert [line["status"] for line in lines] == STATUSES
    assert [line["nearest_arcsec"][:4] for line in lines] == ["0.30", "2.00", "", "", ""]
    assert [line["n_within_report_radius"] for line in lines] == ["1", "1", "0", "0", "0"]
    assert [line["missing_coadds"] for line in lines] == ["0", "0", "0", "0", "1"]


def test_native_arms_are_bit_for_bit_the_coadds(harvested):
    with (
        h5py.File(harvested / "desi/extracted/272/27247.hdf5") as extracted,
        h5py.File(harvested / "desi_crossmatches/healpix=1702/crossmatch_desi.hdf5") as assembled,
        fits.open(REAL / COADD) as coadd,
    ):
        for arm in "brz":
            for kind in ("wavelength", "flux", "ivar", "mask", "resolution"):
                expected = coadd[f"{arm}_{kind}".upper()].data
                native = np.ascontiguousarray(expected, expected.dtype.newbyteorder("<"))
                assert extracted[f"{arm}/{kind}"].dtype == native.dtype
                assert extracted[f"{arm}/{kind}"][:].tobytes() == native.tobytes()
                name = "lambda" if kind == "wavelength" else kind
                assert assembled[f"desi/{arm}_{name}"][:].tobytes() == native.tobytes()
        for name in coadd["FIBERMAP"].columns.names:
            expected = coadd["FIBERMAP"].data[name]
            stored = extracted[f"fibermap/{name}"][:]
            assert (stored.astype(str) == expected).all() if stored.dtype.kind == "S" else (stored == expected).all(), (
                name
            )


@pytest.mark.peers
def test_the_combined_spectrum_and_redshift_are_desispecs(harvested):
    io = pytest.importorskip("desispec.io", reason="desispec (dependency group `peers`) is not installed")
    coaddition = pytest.importorskip("desispec.coaddition")
    expected = coaddition.coadd_cameras(io.read_spectra(str(REAL / COADD)))
    with h5py.File(harvested / "desi_crossmatches/healpix=1702/crossmatch_desi.hdf5") as file:
        desi = file["desi"]
        assert desi["spectrum_flux"].shape == (1, 7781)
        np.testing.assert_array_equal(desi["spectrum_lambda"][:], expected.wave["brz"])
        # Stored as float32; the combination itself is equal to the last bit.
        np.testing.assert_array_equal(desi["spectrum_flux"][:], expected.flux["brz"].astype(np.float32))
        np.testing.assert_array_equal(desi["spectrum_ivar"][:], expected.ivar["brz"].astype(np.float32))
        np.testing.assert_array_equal(desi["spectrum_mask"][:], expected.mask["brz"])
        assert desi["z"][0] == pytest.approx(0.00726967, abs=5e-9)
        assert desi["spectype"][0] == b"GALAXY"
        assert desi["zwarn"][0] == 0
        assert desi["primary"][:].tolist() == [True]
        assert desi["targetid"][0] == 39089837499744649
        resolution = expected.resolution_data["brz"][0]
        offset = np.arange(-5, 6)[:, None]
        mean = (offset * resolution).sum(0) / resolution.sum(0)
        sigma = np.sqrt((offset**2 * resolution).sum(0) / resolution.sum(0) - mean**2)
        difference = np.abs(desi["spectrum_lsf_sigma"][0] - sigma)
        # desispec takes the weights of an arm's first and last 5 pixels from its other end.
        ends = np.isin(np.arange(7781), np.concatenate([np.arange(k - 5, k + 5) for k in (2700, 2751, 4900, 5026)]))
        assert difference[~ends].max() < 1e-5
        assert difference.max() < 0.03


def test_the_files_are_those_that_the_archive_published():
    for sums in (REAL / "archive").rglob("*.sha256sum"):
        for line in sums.read_text().splitlines():
            digest, name = line.split()
            assert hashlib.sha256((sums.parent / name).read_bytes()).hexdigest() == digest


def test_downloading_whole_files_gives_the_same(harvested, run):
    directory = harvested.parent
    name = "desi/extracted/272/27247.hdf5"
    done = run(
        directory,
        "--configfile",
        "real.yaml",
        "--config",
        "results=whole",
        "desi={transfer: files}",
        "--",
        "whole/desi_crossmatches/healpix=1702/crossmatch_desi.hdf5",
    )
    assert done.status == 0, done.output
    assert (directory / "whole" / name).read_bytes() == (harvested / name).read_bytes()
