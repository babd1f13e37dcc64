"""Write the whole release: coadds, redrock and tilepix files, their checksums, the CSV of positions, the truth."""

import csv
import logging
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from skyharvest.simulate.desi import columns
from skyharvest.simulate.desi.coadd import (
    EFFECTIVE_SECONDS,
    SPECPROD,
    SimulatedCoadd,
    observe,
    write_coadd,
    write_redrock,
)
from skyharvest.simulate.desi.sky import (
    ABSENT,
    BRIGHT,
    COADDS,
    DARK,
    OTHER_SURVEY,
    CsvRow,
    Object,
    degrees,
    lay_out,
    pixel,
)
from skyharvest.simulate.desi.sources import Sources, draw_sources
from skyharvest.simulate.desi.tables import SMALL_DELTA_CHI2, tile_id
from skyharvest.simulate.desi.truth import true_spectra, write_truth
from skyharvest.simulate.fits_write import write_primary, write_table
from skyharvest.simulate.sha256sum import write_sha256sum

log = logging.getLogger(__name__)

# Coadds that are unlike the others, as (program, pixel).
NO_EXP_FIBERMAP = (DARK, 27258)
OTHER_ORDER = (BRIGHT, 19457)
EXTRA_COLUMN = (DARK, 12259)


def simulate(out: Path, seed: int = 1) -> None:
    """Write the release, the CSV of positions and the truth under a directory; same seed, same bytes.

    Everything is written beside ``out`` first and renamed when it is complete, ``tilepix.fits`` last: if that is
    there, the release is complete. Files of an earlier run are replaced.

    Parameters
    ----------
    out
        Gets ``spectro/redux/demo/healpix/``, laid out as the public archive, with checksum files; ``targets.csv``;
        and ``truth.hdf5``, which has the groups

        - ``rows``, per CSV row: ``row``, ``status``, ``n_spectra`` (coadd rows within 1.0 arcsec), ``nearest_arcsec``
          (NaN beyond 3), ``n_within_report_radius`` (3 arcsec), ``pix64`` (-1 if rejected), ``missing_coadds``. Only
          fibers in the coadds of pixels that the row's 1.0 arcsec circle touches count;
        - ``spectra``, per coadd row of the release: ``targetid``, ``survey``, ``program``, ``pix64``, ``ra``, ``dec``,
          ``z`` (true), ``spectype``, ``subtype``, ``zwarn``, ``tsnr2_lrg``, ``flux`` (7781: noise-free, as blurred by
          the arms; in overlaps weighted by their ivar), ``lsf_sigma_b``, ``_r``, ``_z`` (native pixels, in pixels);
        - ``matches``, per pair within 1.0 arcsec: ``row``, ``spectrum`` (index into ``spectra``),
          ``separation_arcsec``.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".tmp", dir=out.parent))
    try:
        new = work / "new"
        healpix = new / "spectro" / "redux" / SPECPROD / "healpix"
        healpix.mkdir(parents=True)
        objects, rows = lay_out(np.random.default_rng(seed))
        positions = np.array([degrees(each.at) for each in objects])
        sources = draw_sources(positions[:, 0], positions[:, 1], np.random.default_rng([seed, 1]))
        observed = []
        for coadd in _coadds(objects, sources, seed):
            _write_pixel(healpix, coadd)
            observed.append(true_spectra(coadd))
        listed = [("main", program, pix64) for pix64, programs in COADDS.items() for program in programs]
        write_tilepix(healpix / "tilepix.fits", sorted([*listed, *ABSENT, *OTHER_SURVEY]))
        write_sha256sum(healpix / f"redux_{SPECPROD}_healpix.sha256sum", [healpix / "tilepix.fits"])
        _write_csv(new / "targets.csv", rows, np.random.default_rng([seed, 2]))
        write_truth(new / "truth.hdf5", rows, observed)
        _replace(new, out, work / "old")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    log.info("%s: %d coadds, %d CSV rows", out, len(observed), len(rows))


def _coadds(objects: Sequence[Object], sources: Sources, seed: int) -> Iterator[SimulatedCoadd]:
    """Observe the objects, one coadd after another."""
    pixels = np.array([pixel(each.at) for each in objects])
    for number, (pix64, programs) in enumerate(COADDS.items()):
        for program in programs:
            rng = np.random.default_rng([seed, number, list(EFFECTIVE_SECONDS).index(program)])
            chosen = np.array([i for i in np.flatnonzero(pixels == pix64).tolist() if program in objects[i].programs])
            chosen = rng.permutation(chosen)
            if (np.diff(sources.targetid[chosen]) > 0).all():
                chosen = chosen[::-1]  # redrock's order must be another
            tiles = rng.integers(1, 5, len(chosen))
            zwarn = np.where(rng.random(len(chosen)) < 0.05, SMALL_DELTA_CHI2, 0)
            for i, k in enumerate(chosen.tolist()):
                fixed_tiles, fixed_zwarn = objects[k].programs[program]
                tiles[i] = tiles[i] if fixed_tiles is None else fixed_tiles
                zwarn[i] = zwarn[i] if fixed_zwarn is None else fixed_zwarn
            yield observe(sources.take(chosen), "main", program, pix64, rng, tiles=tiles, zwarn=zwarn)


def _write_pixel(healpix: Path, coadd: SimulatedCoadd) -> None:
    """Write a coadd's directory."""
    survey, program, pix64 = coadd.survey, coadd.program, coadd.pix64
    folder = healpix / survey / program / str(pix64 // 100) / str(pix64)
    folder.mkdir(parents=True)
    files = [folder / f"{kind}-{survey}-{program}-{pix64}.fits" for kind in ("coadd", "redrock")]
    exp_fibermap = (program, pix64) != NO_EXP_FIBERMAP
    hdus = None
    if (program, pix64) == OTHER_ORDER:
        kinds = ("RESOLUTION", "MASK", "FLUX", "WAVELENGTH", "IVAR")
        hdus = ["SCORES", *(f"{arm}_{kind}" for kind in kinds for arm in "ZBR"), "FIBERMAP", "EXP_FIBERMAP"]
    extra = None
    if (program, pix64) == EXTRA_COLUMN:
        extra = {"NOT_YET_INVENTED": np.arange(len(coadd.fibermap), dtype=np.int16)}
    write_coadd(
        files[0],
        coadd,
        mask_dtype=np.uint32 if program == DARK else np.int32,
        hdus=hdus,
        exp_fibermap=exp_fibermap,
        extra_columns=extra,
    )
    write_redrock(files[1], coadd, exp_fibermap=exp_fibermap)
    write_sha256sum(folder / f"redux_{SPECPROD}_healpix_{survey}_{program}_{pix64 // 100}_{pix64}.sha256sum", files)


def _write_csv(path: Path, rows: Sequence[CsvRow], rng: np.random.Generator) -> None:
    """Write the CSV of positions, with the columns that an X-ray catalogue may have beside them."""
    notes = ["", "extended, soft", 'the "blue" one, see log', "off-axis > 10', low counts"]
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(
            ["name", "RA_DESI", "DEC_DESI", "healpix", "flux_aper_b", "significance", "obsid", "region_id", "note"]
        )
        for i, row in enumerate(rows):
            flux = "" if i % 7 == 3 else f"{rng.lognormal(np.log(3e-15), 1):.3e}"
            significance, obsid, region = f"{rng.uniform(2, 40):.2f}", int(rng.integers(300, 28000)), f"{i + 34:04d}"
            writer.writerow(
                [row.name, row.ra, row.dec, row.healpix, flux, significance, obsid, region, notes[i % len(notes)]]
            )


def write_tilepix(path: Path, listed: Iterable[tuple[str, str, int]]) -> None:
    """Write ``tilepix.fits``: two tiles, two petals each, for every (survey, program, NSIDE=64 NESTED pixel)."""
    rows = [
        (tile_id(program, pix64, number), survey, program, (pix64 + petal) % 10, pix64)
        for survey, program, pix64 in listed
        for number in (0, 1)
        for petal in (0, 1)
    ]
    table = np.array(rows, dtype=columns.TILEPIX)
    with path.open("wb") as stream:
        write_primary(stream)
        write_table(stream, "TILEPIX", table, [("HPXNSIDE", 64), ("HPXNEST", True)], checksum=False)


def _replace(new: Path, out: Path, old: Path) -> None:
    """Put the finished pieces in place of an earlier run's, ``tilepix.fits`` last."""
    healpix = Path("spectro") / "redux" / SPECPROD / "healpix"
    tilepix = healpix / "tilepix.fits"
    checksums = healpix / f"redux_{SPECPROD}_healpix.sha256sum"
    (out / healpix).mkdir(parents=True, exist_ok=True)
    old.mkdir()
    (out / tilepix).unlink(missing_ok=True)
    for piece in (healpix / "main", checksums, Path("targets.csv"), Path("truth.hdf5")):
        if (out / piece).exists():
            (out / piece).rename(old / piece.name)
        (new / piece).rename(out / piece)
    (new / tilepix).rename(out / tilepix)
