"""The programs, from desispec's images to files that desispec reads."""

from pathlib import Path

import average_psf
import extract_frame
import fit_psf
import numpy as np
import pytest
import shift_traces

from reduction_camera import LINES, camera, noisy, psf_of
from skyharvest.core.errors import MalformedFile
from skyharvest.reduction.desi.psf.file import read_psf, write_psf

pytestmark = pytest.mark.peers

MADE = camera(n_y=700)
FINE = np.arange(MADE.wave_min - 5, MADE.wave_max + 5, 0.1)
FIRST, LAST = 7450.0, 7450.0 + 0.8 * 440
SKY = np.interp(FINE, [7400, 7900], [10, 14])


def write_image(path: Path, light: np.ndarray, dx: float = 0.0, dy: float = 0.0, seed: int = 1) -> None:
    """Write what `desi_preproc` would, of a camera without faults."""
    from astropy.table import Table
    from desispec.image import Image
    from desispec.io import write_image as write

    image, ivar = noisy(MADE.image(FINE, light, dx, dy), 2.5, seed)
    fibers = np.arange(25, dtype=np.int32)
    fibermap = Table({"TARGETID": 100 + fibers.astype(np.int64), "FIBER": fibers, "OBJTYPE": ["TGT"] * 25})
    fibermap.meta["EXTNAME"] = "FIBERMAP"
    meta = {
        "CAMERA": "z0",
        "EXPTIME": 1000.0,
        "TARGTRA": 180.0,
        "TARGTDEC": 30.0,
        "MJD-OBS": 60690.3,
        "FLAVOR": "science",
    }
    made = Image(image, ivar, mask=np.zeros(image.shape, np.uint32), readnoise=2.5, camera="z0", meta=meta)
    made.fibermap = fibermap
    path.parent.mkdir(parents=True, exist_ok=True)
    write(str(path), made)


def call(program, *arguments: object) -> None:
    program.main(program.build_parser().parse_args([str(argument) for argument in arguments]))


@pytest.fixture(scope="module")
def night(tmp_path_factory) -> Path:
    """Two arcs and a science exposure, reduced up to the frame."""
    root = tmp_path_factory.mktemp("night")
    write_psf(root / "calibration.fits", psf_of(MADE, 0.25, -0.35, wider=1.05, degree=3), "z0")
    (root / "lines.txt").write_text("".join(f"Ar {line} # known\n" for line in LINES))
    arc = np.zeros((25, len(FINE)))
    for line in LINES:
        arc[:, round((line - FINE[0]) / 0.1)] = 20000
    for k in (1, 2):
        write_image(root / f"preproc-{k}.fits.gz", arc, seed=k)
        lines = ("--lines", root / "lines.txt")
        of_arc = ("--image", root / f"preproc-{k}.fits.gz", "--psf", root / "calibration.fits", "--camera", "z0")
        call(fit_psf, *of_arc, "--out", root / f"fit-psf-{k}.fits", *lines)
    psfs = [root / f"fit-psf-{k}.fits" for k in (1, 2)]
    call(average_psf, "--psfs", *psfs, "--camera", "z0", "--out", root / "psfnight.fits")
    from skyharvest.reduction.desi.psf.shifts import read_sky

    light = SKY + 3 * np.interp(FINE, *read_sky()) + np.zeros((25, 1))
    write_image(root / "preproc-3.fits.gz", light, -0.1, 0.18, seed=3)
    of_science = ("--image", root / "preproc-3.fits.gz", "--psf", root / "psfnight.fits")
    call(shift_traces, *of_science, "--out", root / "psf-3.fits", "--sky", "--degrees-x", 1, 0, "--degrees-y", 1, 0)
    extract = ("--image", root / "preproc-3.fits.gz", "--psf", root / "psf-3.fits")
    call(extract_frame, *extract, "--out", root / "frame-3.fits.gz", "--wavelength", FIRST, LAST, 0.8)
    np.save(root / "light.npy", light)
    return root


def test_the_night_has_the_traces_that_were_simulated(night):
    wave = np.linspace(7500, 7780, 20)
    for name, (dx, dy) in {"psfnight": (0, 0), "psf-3": (-0.1, 0.18)}.items():
        found, expected = read_psf(night / f"{name}.fits").traces(wave), psf_of(MADE, dx, dy).traces(wave)
        assert max(np.abs(a - b).max() for a, b in zip(found, expected, strict=True)) < 0.03, name


def test_desispec_reads_the_frame_and_it_is_right(night):
    from desispec.io import read_frame

    frame = read_frame(str(night / "frame-3.fits.gz"))
    assert frame.wave[[0, -1]].tolist() == [FIRST, LAST]
    assert frame.fibermap["TARGETID"].tolist() == list(range(100, 125))
    assert frame.meta["BUNIT"] == "electron/Angstrom"
    assert (frame.mask == 0).mean() > 0.99
    light = np.load(night / "light.npy")
    # The light in each bin of 0.8 Å, times the resolution matrix that desispec makes of the file.
    share = np.array([np.convolve(row, np.full(8, 0.1), "same") for row in light])
    binned = np.array([np.interp(frame.wave, FINE, row) for row in share]) / 0.8 * 10
    inner = slice(15, -15)
    ratio = [np.median((frame.flux[k] / (frame.R[k] @ binned[k]))[inner]) for k in range(25)]
    np.testing.assert_allclose(ratio, 1, atol=0.02)
    assert "SUM_RAW_COUNT_Z" in frame.scores.dtype.names


def test_wavelengths_of_the_barycentre_are_written_and_the_light_is_moved(night, tmp_path):
    from desispec.io import read_frame

    extract = ("--image", night / "preproc-3.fits.gz", "--psf", night / "psf-3.fits", "--barycentric")
    call(extract_frame, *extract, "--out", tmp_path / "frame.fits.gz", "--wavelength", FIRST, LAST, 0.8)
    moved, plain = read_frame(str(tmp_path / "frame.fits.gz")), read_frame(str(night / "frame-3.fits.gz"))
    factor = moved.meta["HELIOCOR"]
    assert 1e-6 < abs(factor - 1) < 1.1e-4
    at_detector = np.interp(moved.wave / factor, plain.wave, np.median(plain.flux, axis=0))
    ratio = (np.median(moved.flux, axis=0) / at_detector)[20:-20]
    assert np.median(ratio) == pytest.approx(1, abs=0.01)
    assert np.std(ratio) < 0.05


def test_what_cannot_be_done_is_said_with_the_files_name(night, tmp_path):
    dark = np.zeros((25, len(FINE)))
    write_image(tmp_path / "dark.fits.gz", dark)
    psf, out = ("--psf", night / "psfnight.fits"), ("--out", tmp_path / "out.fits")
    with pytest.raises(MalformedFile, match=r"dark\.fits\.gz: there is no light where the arc lines are expected"):
        call(fit_psf, "--image", tmp_path / "dark.fits.gz", *psf, *out, "--camera", "z0")
    with pytest.raises(MalformedFile, match=r"dark\.fits\.gz: no fiber has light enough"):
        call(shift_traces, "--image", tmp_path / "dark.fits.gz", *psf, *out)
    other = psf_of(camera(n_y=700, n_fiber=50))
    write_psf(tmp_path / "other.fits", other.select(25, 50), "z0")
    with pytest.raises(MalformedFile, match=r"FIBERMAP has fibers .*other\.fits 25 to 49, expected the same"):
        call(
            extract_frame,
            "--image",
            tmp_path / "dark.fits.gz",
            "--psf",
            tmp_path / "other.fits",
            *out,
            "--wavelength",
            7450,
            7500,
            0.8,
        )
    assert not (tmp_path / "out.fits").exists()
