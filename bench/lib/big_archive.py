"""An archive and a CSV of the real scale, from counts of CSV rows per pixel: sparse files of full-size coadds.

The CSV has as many rows in each NSIDE=64 pixel as the real cross-match has; the archive covers the pixels that DESI
DR1's main survey covers, with a dark and a bright coadd of 300 fibers in each. Rows that do not match are holes.
"""

import argparse
import csv
import mmap
import os
import re
import shutil
import signal
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import healpy as hp
import numpy as np

from lib import ROOT
from lib.progress import say
from skyharvest.formats.byte_source import LocalFile
from skyharvest.formats.fits_file import FitsFile
from skyharvest.formats.fits_hdu import HDU
from skyharvest.simulate.desi import columns
from skyharvest.simulate.desi.coadd import observe, write_coadd, write_redrock
from skyharvest.simulate.desi.release import write_tilepix
from skyharvest.simulate.desi.sources import draw_sources
from skyharvest.surveys.desi.release import load_release

REAL = ROOT.parent / "shared" / "real"
COUNTS, COVERED = REAL / "dr1_chandra_pix64_counts.csv", REAL / "dr1_chandra_pix64_covered.txt"
RELEASE = load_release("dr1")
SEED = 3
N_FIBERS = 300
SHARES = {"dark": 0.6, "bright": 0.2}  # of a pixel's CSV rows that have a spectrum
N_PIXELS = 12 * RELEASE.nside**2
FINE = 64  # a pixel's positions stand on a grid of 64 x 64, 0.9 arcmin apart
MARGIN = 4  # of its points are left free at each edge: no match circle touches another pixel
OFFSET_ARCSEC = 0.3  # between a CSV position and its fiber
RESULTS_BYTES = 2.5e5  # of a spectrum: what is extracted of it, and the combined spectrum
SPECTRA = ("_FLUX", "_IVAR", "_MASK", "_RESOLUTION")


@dataclass(frozen=True)
class Pixel:
    """An NSIDE=64 NESTED pixel with its number of CSV rows."""

    pix64: int
    count: int
    covered: bool


@dataclass(frozen=True)
class Sample:
    """What is simulated: pixels, and what a coadd is like; ``whole``: without holes, for those who read all of it."""

    pixels: Sequence[Pixel]
    shares: dict[str, float]
    n_fibers: int = N_FIBERS
    lsf: bool = True
    whole: bool = False

    def spectra(self) -> int:
        """Return the number of spectra that match, about."""
        return sum(
            min(int(share * pixel.count), self.n_fibers)
            for pixel in self.pixels
            if pixel.covered
            for share in self.shares.values()
        )

    @property
    def n_covered(self) -> int:
        """How many pixels have coadds."""
        return sum(pixel.covered for pixel in self.pixels)

    @property
    def n_coadds(self) -> int:
        """How many coadds there are."""
        return len(self.shares) * self.n_covered

    def needed_gb(self) -> float:
        """Return how much disk the archive and the results take."""
        row = 445e3 if self.lsf else 95e3
        n_written = self.n_coadds * self.n_fibers if self.whole else self.spectra()
        return (n_written * row + self.spectra() * RESULTS_BYTES + self.n_coadds * self._tables()) / 1e9

    def _tables(self) -> float:
        return 1.5e5 + 2600.0 * self.n_fibers


def read_pixels(counts: Path, covered: Path) -> list[Pixel]:
    """Return the real list, by falling count."""
    inside = set(covered.read_text().split())
    with counts.open(newline="") as stream:
        return [
            Pixel(int(line["pix64"]), int(line["count"]), line["pix64"] in inside) for line in csv.DictReader(stream)
        ]


def choose_pixels(real: Sequence[Pixel], n: int | None) -> list[Pixel]:
    """Return n of the pixels, evenly over the list (the fullest is among them), or more than there are."""
    if n is None or n == len(real):
        return list(real)
    if n < len(real):
        return [real[i * len(real) // n] for i in range(n)]
    if n > N_PIXELS:
        raise SystemExit(f"--pixels {n}: there are {N_PIXELS:,} pixels on the sky")
    known = {pixel.pix64 for pixel in real}
    free = [pix64 for pix64 in range(N_PIXELS) if pix64 not in known][: n - len(real)]
    return [*real, *(Pixel(pix64, real[i % len(real)].count, True) for i, pix64 in enumerate(free))]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose a sample."""
    parser.add_argument("--counts", type=Path, default=COUNTS, metavar="CSV", help="CSV rows per pixel: pix64,count")
    parser.add_argument("--covered", type=Path, default=COVERED, metavar="TXT", help="the pixels that have coadds")
    parser.add_argument(
        "--pixels",
        type=int,
        metavar="N",
        help="for a quick look, which is not kept: so many pixels, evenly from the list by falling count",
    )
    parser.add_argument("--cores", type=int, default=2, help="for Snakemake (default: %(default)s)")
    parser.add_argument(
        "--work", type=Path, metavar="DIR", help="where to work (default: the system's temporary directory)"
    )


def chosen(options: argparse.Namespace) -> Sample | None:
    """Return the sample that the options choose; None, and say why, where the real list is not there."""
    for path in (options.counts, options.covered):
        if not path.is_file():
            print(f"skipped: no {path}")
            return None
    return Sample(choose_pixels(read_pixels(options.counts, options.covered), options.pixels), SHARES)


def layout(sample: Sample, pixel: Pixel) -> tuple[Any, dict[str, Any], np.random.Generator]:
    """Return the pixel's grid points in random order (CSV rows come first), and which of the rows have a spectrum."""
    rng = np.random.default_rng([SEED, pixel.pix64])
    x, y = np.divmod(rng.permutation((FINE - 2 * MARGIN) ** 2), FINE - 2 * MARGIN)
    within = np.zeros(len(x), np.int64)
    for bit in range(FINE.bit_length() - 1):  # NESTED numbers interleave the bits of x and y
        within |= ((x + MARGIN) >> bit & 1) << 2 * bit | ((y + MARGIN) >> bit & 1) << (2 * bit + 1)
    matched = {}
    for program, share in sample.shares.items():
        n = min(int(share * pixel.count + rng.random()), sample.n_fibers) if pixel.covered else 0
        matched[program] = np.sort(rng.permutation(pixel.count)[:n])
    return pixel.pix64 * FINE**2 + within, matched, rng


def degrees(points: Any) -> tuple[Any, Any]:
    """Return RA and Dec of grid points."""
    ra, dec = hp.pix2ang(RELEASE.nside * FINE, points, nest=True, lonlat=True)
    return ra, dec


class Template:
    """A file from which others are made: of the same structure, with other targets, and spectra in some rows only.

    CHECKSUM and DATASUM stay those of the template.
    """

    def __init__(self, path: Path) -> None:
        with LocalFile(path) as source:
            hdus = FitsFile(source).hdus
            self.size = source.size()
        with path.open("rb") as stream:
            self.bytes = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
        self.spectra = [hdu for hdu in hdus if hdu.name.endswith(SPECTRA)]
        self.regions: list[tuple[int, bytearray]] = []
        start = 0
        for hdu in self.spectra:
            self.regions.append((start, bytearray(self.bytes[start : hdu.data_start])))
            start = hdu.stop
        self.regions.append((start, bytearray(self.bytes[start:])))
        self.tables = {hdu.name: self._view(hdu) for hdu in hdus if hdu.is_table}
        self.targetid = {name: table["TARGETID"].astype(np.int64) for name, table in self.tables.items()}
        self.cards = [
            (region, found.start(), found[1])
            for _, region in self.regions
            for found in re.finditer(rb"(SPGRPVAL|HPXPIXEL|INFIL000)= ", bytes(region))
        ]

    def _view(self, hdu: HDU) -> Any:
        start, region = next(here for here in self.regions if here[0] <= hdu.data_start < here[0] + len(here[1]))
        dtype = getattr(columns, hdu.name).newbyteorder(">")
        assert dtype.itemsize == hdu.row_bytes
        return np.ndarray(hdu.n_rows, dtype, region, hdu.data_start - start)

    def write(self, path: Path, program: str, pix64: int, ra: Any, dec: Any, rows: Any) -> None:
        """Write the file of a pixel: positions are in the order of rising TARGETID, as ``rows`` are of the spectra."""
        for region, at, keyword in self.cards:
            if keyword == b"INFIL000":
                region[at + 10 : at + 80] = f"'spectra-main-{program}-{pix64}.fits.gz'".ljust(70).encode()
            else:
                region[at + 10 : at + 30] = b"%20d" % pix64
        rank = np.argsort(np.argsort(self.targetid["FIBERMAP"]))
        fibermap = self.tables["FIBERMAP"]
        for kind in ("TARGET", "MEAN_FIBER", "PLATE"):
            fibermap[f"{kind}_RA"], fibermap[f"{kind}_DEC"] = ra[rank], dec[rank]
        for name, table in self.tables.items():
            table["TARGETID"] = self.targetid[name] + (pix64 << 22)  # another BRICKID: the order stays
        with path.open("wb") as out:
            os.ftruncate(out.fileno(), self.size)
            for start, region in self.regions:
                os.pwrite(out.fileno(), region, start)
            of_target = np.argsort(rank)
            for hdu in self.spectra:
                for start, stop in hdu.rows(np.sort(of_target[rows])):
                    os.pwrite(out.fileno(), self.bytes[start:stop], start)


def write_templates(folder: Path, sample: Sample) -> None:
    """Write a coadd and its redrock file for each program, with simulated spectra in every row."""
    n = sample.n_fibers
    for program in sample.shares:
        rng = np.random.default_rng([SEED, len(program)])
        sources = draw_sources(rng.uniform(0, 1, n), rng.uniform(0, 1, n), rng)
        coadd = observe(sources, "main", program, 0, rng, tiles=np.ones(n, np.int64))
        write_coadd(folder / f"coadd-{program}", coadd)
        write_redrock(folder / f"redrock-{program}", coadd)


_templates: dict[str, Template] = {}
_samples: list[Sample] = []  # of one; not an argument of each pixel's, since it holds all of them


def _load(folder: Path, sample: Sample) -> None:
    _samples.append(sample)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers
    _templates.update({path.name: Template(path) for path in folder.iterdir()})


def write_pixel(archive: Path, pixel: Pixel) -> None:
    """Write a covered pixel's coadds and redrock files."""
    sample = _samples[0]
    points, matched, rng = layout(sample, pixel)
    for program, rows in matched.items():
        chosen = np.concatenate([rows, pixel.count + np.arange(sample.n_fibers - len(rows))])
        ra, dec = degrees(points[chosen])
        dec = dec + OFFSET_ARCSEC / 3600
        shuffle = rng.permutation(sample.n_fibers)
        has_spectrum = np.flatnonzero(shuffle < (sample.n_fibers if sample.whole else len(rows)))
        for kind, path_of in (("coadd", RELEASE.coadd), ("redrock", RELEASE.redrock)):
            path = archive / path_of("main", program, pixel.pix64)
            path.parent.mkdir(parents=True, exist_ok=True)
            template = _templates[f"{kind}-{program}"]
            template.write(path, program, pixel.pix64, ra[shuffle], dec[shuffle], has_spectrum)


def simulate(work: Path, sample: Sample, cores: int) -> dict[str, Any]:
    """Write ``archive/`` and ``targets.csv`` into ``work``.

    Returns
    -------
    The columns that the ledger must have, in the CSV's order.
    """
    needed, free = sample.needed_gb(), shutil.disk_usage(work).free / 1e9
    if needed > free - 2:
        raise SystemExit(
            f"{work} has {free:.0f} GB free, archive and results need {needed:.0f}: give another --work or fewer pixels"
        )
    templates, archive = work / "templates", work / "archive"
    templates.mkdir()
    write_templates(templates, sample)
    covered = [pixel for pixel in sample.pixels if pixel.covered]
    pool = ProcessPoolExecutor(cores, initializer=_load, initargs=(templates, sample))
    try:
        said = time.monotonic()
        for i, made in enumerate([pool.submit(write_pixel, archive, pixel) for pixel in covered], 1):
            made.result()
            if time.monotonic() - said > 10:
                said = time.monotonic()
                say(f"  archive: {i:,} of {len(covered):,} pixels")
    finally:
        pool.shutdown(cancel_futures=True)
    listed = [("main", program, pixel.pix64) for pixel in covered for program in sample.shares]
    tilepix = archive / RELEASE.tilepix()
    tilepix.parent.mkdir(parents=True, exist_ok=True)
    write_tilepix(tilepix, sorted(listed))
    truth = write_csv(work / "targets.csv", sample)
    return truth


def write_csv(path: Path, sample: Sample) -> dict[str, Any]:
    """Write the CSV, pixels mixed; return each row's status, number of spectra and pixel."""
    points, spectra, pix64, status = [], [], [], []
    for pixel in sample.pixels:
        grid, matched, _ = layout(sample, pixel)
        points.append(grid[: pixel.count])
        found = sum(np.isin(np.arange(pixel.count), rows).astype(int) for rows in matched.values())
        spectra.append(found)
        pix64.append(np.full(pixel.count, pixel.pix64))
        status.append(np.where(found > 0, "matched", "no_fiber" if pixel.covered else "not_covered"))
    rng = np.random.default_rng(SEED)
    order = rng.permutation(sum(pixel.count for pixel in sample.pixels))
    ra, dec = degrees(np.concatenate(points)[order])
    truth = {
        "status": np.concatenate(status)[order],
        "n_spectra": np.concatenate(spectra)[order],
        "pix64": np.concatenate(pix64)[order],
    }
    flux, significance = rng.lognormal(-33.4, 1, len(order)), rng.uniform(2, 40, len(order))
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["name", "RA_DESI", "DEC_DESI", "healpix", "flux_aper_b", "significance", "obsid"])
        for i, (a, d, pix) in enumerate(zip(ra.tolist(), dec.tolist(), truth["pix64"].tolist(), strict=True)):
            more = [f"{flux[i]:.3e}", f"{significance[i]:.2f}", 300 + i % 27000]
            writer.writerow([f"2CXO J{i:06d}", a, d, pix >> 4, *more])
    return truth
