"""A small shot for reports: an IFU of few fibers with lines and a continuum source that are known.

Run as a program it writes the reports of a shot that `small_shot` has written; it is killed by a test.
"""

import functools
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np

from hetdex_sources import MIDDLE, Line, Star, ifu_fibers
from skyharvest.reduction.hetdex.detectids import first_detectid
from skyharvest.reduction.hetdex.layout import Pairing
from skyharvest.reduction.hetdex.source_settings import Reports
from skyharvest.reduction.hetdex.sources.detection_file import (
    SourceRows,
    new_detection_file,
    rows_of_source,
    write_rows,
)
from skyharvest.reduction.hetdex.sources.ifu_fibers import IfuFibers
from skyharvest.reduction.hetdex.sources.point_spectrum import extract
from skyharvest.reduction.hetdex.spectra import multifits
from skyharvest.report.hetdex_detections.picture import Picture
from skyharvest.report.hetdex_detections.write_reports import Inputs, write_reports

SHOT, SHOTID, IFU, OTHER_IFU = "20190103v017", 20190103017, "020_106_055_0123", "041_063_015_0302"
PER_IFU = 500
"""Lines: more are of the other IFU, which has the fibers of the first."""
LINES = [
    Line(2.0, -3.0, 4321.0, 60.0),
    Line(2.0, -3.0, 5100.0, 40.0),
    Line(-3.0, 1.0, 4700.0, 50.0),
    Line(-2.0, -4.0, 4000.0, 90.0),
    Line(4.0, 4.0, 5300.0, 30.0),
]
"""The first two are of one source."""
STAR = Star(-5.0, 4.0, 2.0)
FIRST = first_detectid(SHOTID, "106")
CONTINUUM = first_detectid(SHOTID, "106", continuum=True)


@functools.cache
def fibers(whole: bool = False):
    """Return few fibers, or nearly those of a whole IFU."""
    rows, columns = (22, 20) if whole else (9, 8)
    return ifu_fibers([*LINES, STAR], rows=rows, columns=columns)


def known_shot(root: Path, failed: str = "", *, whole: bool = False) -> SimpleNamespace:
    """Return what `ShotFibers` would: the fibers, which are in no file, and names of files."""
    made = fibers(whole)
    files = tuple(root / f"{name}.h5" for name in ("shot", "astrometry", "stars"))
    row = {"ra": made.pointing.ra, "dec": made.pointing.dec}
    return SimpleNamespace(
        path=files[0],
        files=files,
        name=SHOT,
        failed=failed,
        ifus=[IFU, OTHER_IFU],
        row=row,
        exposures=made.exposures,
        read=lambda ifu: replace(made, ifu=Pairing.named(ifu)),
    )


def small_shot(root: Path, lines: Sequence[Line] = LINES, *, with_images: bool = True, whole: bool = False) -> Inputs:
    """Write the files of the shot that reports are made of."""
    science = root / f"science/exp01/{IFU}"
    science.mkdir(parents=True)
    if with_images:
        arrays = {name: np.zeros(shape, np.float32) for name, shape in multifits.LAYOUT.items() if name}
        random = np.random.default_rng(3)
        arrays["clean_image"] = random.normal(size=(1032, 1032)).astype(np.float32)
        arrays["clean_image"][100:110, 400:440] = np.nan
        arrays["wavelength"][:] = 3480 + 1.995 * np.arange(1032)
        arrays["trace"][:] = 20 + 9 * np.arange(112)[:, None]
        header = {"NAME0": "", **dict.fromkeys(multifits.COUNTS, 0)}
        for amp in ("LL", "LU"):
            multifits.write(science / f"multi_020_106_055_{amp}.fits", header, arrays)
    failed = "it is dark" if with_images else "the member is cut short"
    (science / "amps.csv").write_text(f"amp,state,reason\nRL,failed,{failed}\nRU,failed,{failed}\n")
    (root / "stars.csv").write_text(stars_text())
    for path in known_shot(root).files:
        with h5py.File(path, "w") as file:
            file["FullSkyModel/exp01"] = np.column_stack([np.arange(3460.0, 5560.0), np.full(2100, 150.0)])
    inputs = inputs_of(root)
    write_detections(inputs, lines, whole=whole)
    return inputs


def stars_text() -> str:
    """Return a catalogue with the star, and one that is 3″ east of the first line."""
    pointing = fibers().pointing
    x, y = (np.array([getattr(one, axis) for one in (STAR, LINES[0])]) for axis in "xy")
    ra, dec = pointing.to_sky(x + MIDDLE[0], y + MIDDLE[1])
    ra[1] += 3 / 3600 / np.cos(np.radians(dec[1]))
    rows = [f"star{k},{a:.7f},{d:.7f},20,19,18.5,18.3,18.2" for k, (a, d) in enumerate(zip(ra, dec, strict=True))]
    return "\n".join(["id,ra,dec,u,g,r,i,z", *rows]) + "\n"


def write_detections(inputs: Inputs, lines: Sequence[Line], *, whole: bool = False) -> None:
    """Write the files of lines, and of the continuum source."""
    _write_lines(inputs.lines[0], fibers(whole), lines[:PER_IFU])
    other = replace(fibers(whole), ifu=Pairing.named(OTHER_IFU))
    _write_lines(inputs.lines[0].with_name(OTHER_IFU), other, lines[PER_IFU:])
    _write_continuum(inputs.continuum, fibers(whole))


def _write_lines(directory: Path, made: IfuFibers, lines: Sequence[Line]) -> None:
    first = first_detectid(SHOTID, made.ifu.ifuslot)
    rows = []
    for k, line in enumerate(lines):
        spectrum = extract(made, line.x + MIDDLE[0], line.y + MIDDLE[1], aperture=3.5)
        values = {"wave": line.wave, "linewidth": line.width, "flux": line.flux, "flux_err": 3.0, "sn": line.flux / 3}
        values |= {"continuum": 0.01, "continuum_err": 0.02, "chi2": 1.0}
        rows.append(rows_of_source(first + k, made, spectrum, line.wave, values))
    with new_detection_file(directory / "detections.h5", "", SHOT, ifu=str(made.ifu)) as file:
        write_rows(file, SourceRows.joined(rows))


def _write_continuum(path: Path, made: IfuFibers) -> None:
    spectrum = extract(made, STAR.x + MIDDLE[0], STAR.y + MIDDLE[1], aperture=3.5)
    source = rows_of_source(CONTINUUM, made, spectrum, 4500.0, {})
    with new_detection_file(path, "", SHOT) as file:
        write_rows(file, source)


def many(n: int) -> list[Line]:
    """Return n lines, here and there."""
    random = np.random.default_rng(5)
    return [Line(*random.uniform(-6, 6, 2), random.uniform(3800, 5300), 50.0) for _ in range(n)]


def main(root: Path, lines: int, seconds: float, *, whole: bool = False) -> None:
    """Write reports, each of which takes some seconds more; the shot's files first, if they are not there."""
    shot = known_shot(root, whole=whole)

    def draw(picture: Picture, content) -> bytes:
        time.sleep(seconds)
        return picture.draw(content)

    inputs = inputs_of(root)
    if not shot.path.exists():
        small_shot(root, many(lines), with_images=whole, whole=whole)
    print("begin", flush=True)
    write_reports(shot, inputs, root / f"reports/{SHOT}.csv", Reports(), draw)


def inputs_of(root: Path) -> Inputs:
    """Return the files of a shot that has been written."""
    return Inputs(
        [root / f"science/exp01/{IFU}"],
        [root / f"detections/{ifu}" for ifu in (IFU, OTHER_IFU)],
        root / "continuum.h5",
        root / "stars.csv",
        root / "harvest",
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), whole="whole" in sys.argv[4:])
