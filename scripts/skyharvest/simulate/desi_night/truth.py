"""A reduction of the simulated night, compared with its truth."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fitsio
import numpy as np
from desispec.io import read_frame
from scipy.sparse import csr_matrix

from skyharvest.core.arrays import Floats
from skyharvest.reduction.desi.layout import Layout
from skyharvest.reduction.desi.psf.file import read_psf
from skyharvest.reduction.desi.psf.model import Psf
from skyharvest.simulate.desi_night.camera import Camera, cameras
from skyharvest.simulate.desi_night.night import NIGHT, STEP, sky_flux
from skyharvest.simulate.desi_night.objects import electrons
from skyharvest.simulate.desi_night.psf import off

PIXELS, WIDTH, PULLS, Z = 0.02, 0.02, (0.9, 1.1), 3e-4
PIXELS_BLUE = 0.03
"""Of traces of b on the sky: with 25 fibers the sky's few lines there tell a move to 0.011 pixel, one σ."""
FLUX = {"b": 0.03, "r": 0.02, "z": 0.02}
LINES, MOST_SNR = 100, 30.0
"""So many of the sky's brightest lines of a camera are compared with the resolution, but for those with more signal to
noise in a pixel. Light of all wavelengths is told by amounts 0.8 Å apart, which holds a narrow line to some per cent:
of brighter ones χ² tells that, not the resolution."""
LOBES = 6
"""Of the kernel that puts light onto the grid of a frame."""


@dataclass(frozen=True)
class Check:
    """What was compared, what was seen, what was expected, and whether it is so."""

    what: str
    seen: str
    goal: str
    well: bool


@dataclass(frozen=True)
class Truth:
    """The truth of a night, as `skyharvest.simulate.desi_night.night.simulate` writes it."""

    objects: Any
    wave: Floats
    flux: Floats
    moved: dict[int, tuple[float, float]]

    @classmethod
    def read(cls, path: Path) -> "Truth":
        """Read ``truth.fits``."""
        with fitsio.FITS(str(path)) as file:
            moved = {int(row["EXPID"]): (float(row["DX"]), float(row["DY"])) for row in file["EXPOSURES"].read()}
            return cls(file["OBJECTS"].read(), file["WAVELENGTH"].read(), file["FLUX"].read().astype(float), moved)

    @property
    def kind(self) -> np.ndarray[Any, Any]:
        """(n_fiber,) text: what each fiber looks at."""
        return np.char.strip(self.objects["KIND"].astype(str))

    @property
    def lit(self) -> np.ndarray[Any, Any]:
        """(n_fiber,) bool: fibers that are not dead."""
        return np.asarray(self.objects["THROUGHPUT"] > 0)


def check_night(root: Path, production: Path) -> Iterator[Check]:
    """Yield the comparisons of a production with the truth.

    Parameters
    ----------
    root
        Where the night was simulated.
    production
        Its reduction.
    """
    truth, files = Truth.read(root / "truth.fits"), Layout(production)
    n_fiber = len(truth.objects)
    own = cameras(0, n_fiber)
    names = sorted(path.name.split("-")[1] for path in (production / "calibnight" / str(NIGHT)).glob("psfnight-*"))
    frames = sorted((production / "exposures" / str(NIGHT)).glob("*/cframe-*.fits.gz"))
    for name in names:
        psf = read_psf(files.calibnight("psfnight", NIGHT, name))
        yield _traces(f"{name}: traces of the arcs", psf, own[name], (0.0, 0.0))
        yield _widths(f"{name}: widths of spots", psf, own[name])
    for name in names:
        expids = [int(path.parent.name) for path in frames if f"-{name}-" in path.name]
        for expid in expids:
            psf = read_psf(files.exposure("psf", NIGHT, expid, name))
            most = PIXELS_BLUE if name[0] == "b" else PIXELS
            yield _traces(f"{name} {expid:08d}: traces", psf, own[name], truth.moved[expid], most)
        yield _resolution(name, files, expids, truth)
        yield from _calibrated(name, files, expids, truth)
    for path in sorted(production.glob("healpix/*/*/*/*/redrock-*.fits")):
        yield from _redshifts(path, truth)


def _traces(what: str, psf: Psf, camera: Camera, moved: tuple[float, float], most: float = PIXELS) -> Check:
    far = off(psf, camera, moved, psf.status == 0)
    return Check(what, f"{far:.3f} pixel off at most", f"≤ {most}", far <= most)


def _widths(what: str, psf: Psf, camera: Camera) -> Check:
    wave = np.linspace(camera.first, camera.last, 100)
    good = psf.status == 0
    wider = max(
        float(np.abs(psf.parameter(name, wave)[good] / true - 1).max())
        for name, true in zip(("GHSIGX", "GHSIGY"), camera.widths(wave), strict=True)
    )
    return Check(what, f"{wider:.2%} off at most", f"≤ {WIDTH:.0%}", wider <= WIDTH)


def _calibrated(name: str, files: Layout, expids: Sequence[int], truth: Truth) -> Iterator[Check]:
    """Compare calibrated frames: fluxes of objects, and the scatter of fibers on the sky."""
    ratios, pulls = [], []
    for expid in expids:
        frame = read_frame(str(files.exposure("cframe", NIGHT, expid, name)))
        for fiber in np.flatnonzero(truth.lit):
            good = (frame.ivar[fiber] > 0) & (frame.mask[fiber] == 0)
            expected = np.interp(frame.wave, truth.wave, truth.flux[fiber])
            if truth.kind[fiber] == "SKY":
                pulls.append((frame.flux[fiber] * np.sqrt(frame.ivar[fiber]))[good])
            elif good.any():
                ratios.append(float(np.median(frame.flux[fiber][good] / expected[good])))
    ratio, limit = float(np.mean(ratios)), FLUX[name[0]]
    yield Check(f"{name}: flux over truth", f"{ratio:.4f}", f"1 ± {limit}", abs(ratio - 1) <= limit)
    # The sky is the mean of these very fibers: it takes 1 / n of their variance, and desispec adds as much.
    n_sky = int(np.sum(truth.lit & (truth.kind == "SKY")))
    left = np.sqrt((n_sky - 1) / (n_sky + 1))
    spread, (low, high) = float(np.std(np.concatenate(pulls))) / left, PULLS
    what = f"{name}: pulls of sky fibers, over {left:.3f}"
    yield Check(what, f"{spread:.3f}", f"{low} to {high}", low <= spread <= high)


def _resolution(name: str, files: Layout, expids: Sequence[int], truth: Truth) -> Check:
    """Compare frames, around the brightest lines of the sky, with the true light times their resolution."""
    found: list[Floats] = []
    fine = np.arange(truth.wave[0], truth.wave[-1], STEP)
    for expid in expids:
        frame = read_frame(str(files.exposure("frame", NIGHT, expid, name)))
        observed = frame.wave / float(frame.meta.get("HELIOCOR", 1.0))
        onto = _onto(fine, observed)
        lines = _brightest(observed)
        for fiber in np.flatnonzero(truth.lit & (truth.kind == "SKY")):
            light = truth.objects["THROUGHPUT"][fiber] * sky_flux(fine) * electrons(fine, frame.meta["EXPTIME"])
            expected = frame.R[fiber].dot(onto @ light)
            bright = expected**2 * frame.ivar[fiber] > MOST_SNR**2
            good = (frame.ivar[fiber] > 0) & (frame.mask[fiber] == 0) & lines & ~_beside(bright)
            found.append((frame.flux[fiber] - expected)[good] ** 2 * frame.ivar[fiber][good])
    chi2, (low, high) = float(np.mean(np.concatenate(found))), PULLS
    return Check(f"{name}: χ²/dof of lines", f"{chi2:.3f}", f"{low} to {high}", low <= chi2 <= high)


def _onto(fine: Floats, grid: Floats) -> csr_matrix:
    """Return what puts light at fine wavelengths onto a grid: a band-limited kernel (Lanczos), of the same total.

    Between the points of a grid a narrow line is no sum of its two neighbours, which would be wider.
    """
    step = grid[1] - grid[0]
    place = (fine - grid[0]) / step
    first = np.floor(place).astype(int) - LOBES + 1
    columns = first[:, None] + np.arange(2 * LOBES)
    distance = place[:, None] - columns
    weights = np.sinc(distance) * np.sinc(distance / LOBES)
    inside = (columns >= 0) & (columns < grid.size)
    rows = np.broadcast_to(np.arange(fine.size)[:, None], columns.shape)
    scale = (fine[1] - fine[0]) / step
    return csr_matrix((weights[inside] * scale, (columns[inside], rows[inside])), shape=(grid.size, fine.size))


def _brightest(wave: Floats) -> np.ndarray[Any, Any]:
    """Return where the sky's brightest lines are, and 5 pixels to each side."""
    sky = sky_flux(wave)
    near = np.zeros(wave.size, bool)
    peaks = np.flatnonzero((sky[1:-1] > sky[:-2]) & (sky[1:-1] > sky[2:])) + 1
    for k in peaks[np.argsort(sky[peaks])[-LINES:]]:
        near[max(0, k - 5) : k + 6] = True
    return near


def _beside(bright: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return what is bright, and 5 pixels to each side."""
    return np.convolve(bright, np.ones(11), mode="same") > 0


def _redshifts(path: Path, truth: Truth) -> Iterator[Check]:
    found = fitsio.read(str(path), ext="REDSHIFTS")
    place = {int(targetid): k for k, targetid in enumerate(truth.objects["TARGETID"])}
    rows = [place[int(targetid)] for targetid in found["TARGETID"]]
    assert len(set(rows)) == len(rows), path
    sky, lit = (truth.kind == "SKY")[rows], truth.lit[rows]
    wanted = lit & ~sky
    well = found["ZWARN"] == 0
    wrong_by = np.abs(found["Z"] - truth.objects["Z"][rows])
    wrong = int(np.sum(wanted & well & (wrong_by > Z)))
    name = path.stem.removeprefix("redrock-")
    most = float(wrong_by[wanted & well].max(initial=0))
    yield Check(
        f"{name}: redshifts",
        f"{np.sum(wanted & well)} of {np.sum(wanted)} with ZWARN 0, {wrong} wrong; {most:.1e} off at most",
        f"≤ {Z:.0e}",
        wrong == 0 and bool(np.any(wanted & well)),
    )
    yield Check(f"{name}: sky with ZWARN 0", f"{np.sum(sky & well)} of {np.sum(sky)}", "none", not np.any(sky & well))
