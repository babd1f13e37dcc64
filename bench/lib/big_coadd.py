"""Make a coadd as large as a real one, its redrock file, and a list of a few of its targets.

Run as a program: it needs some GB of memory for a moment, which must not become the measuring process's.
"""

import csv
import json
import os
import sys
from pathlib import Path

import numpy as np

import lib  # noqa: F401 (finds skyharvest)
from lib.targets import write_targets
from skyharvest.archive.archive import Archive
from skyharvest.formats.fits_file import FitsFile
from skyharvest.simulate.desi.coadd import observe, write_coadd, write_redrock
from skyharvest.simulate.desi.sources import draw_sources
from skyharvest.surveys.desi.plan import NO_TARGETID, TARGET_DTYPE
from skyharvest.surveys.desi.release import CoaddFile, load_release

PIX64 = 27258
COADD = load_release("dr1").coadd("main", "dark", PIX64)
REDROCK = CoaddFile.of_path(COADD).redrock
N_TARGETS, N_WANTED = 1500, 20
SEED = 20240613


def make(folder: Path) -> None:
    """Write the files into ``folder``.

    Beside the two FITS files: ``targets.csv`` (positions up to 0.5 arcsec off the fibers), ``targets.parquet`` and
    ``plan-dark/``, ``plan-backup/`` (the same, as the workflow's jobs get them), ``targetids.txt``, and ``made.json``
    with sizes in bytes: of the files, of the wanted rows, and of what cannot be avoided (those, and the tables that say
    which rows and what they are).
    """
    rng = np.random.default_rng(SEED)
    # One source per cell of a grid with steps of 1 arcmin: no position is near two fibers.
    cell = rng.permutation(45 * 45)[:N_TARGETS]
    ra, dec = 210.0 + (cell % 45) / 60, 5.0 + (cell // 45) / 60
    coadd = observe(draw_sources(ra, dec, rng), "main", "dark", PIX64, rng)
    (folder / COADD).parent.mkdir(parents=True, exist_ok=True)
    write_coadd(folder / COADD, coadd)
    write_redrock(folder / REDROCK, coadd)
    wanted = rng.choice(N_TARGETS, N_WANTED, replace=False)
    positions = np.empty(N_WANTED, TARGET_DTYPE)
    positions["pix64"], positions["row"], positions["targetid"] = PIX64, np.arange(N_WANTED), NO_TARGETID
    positions["ra"] = ra[wanted] + rng.uniform(-0.3, 0.3, N_WANTED) / 3600
    positions["dec"] = dec[wanted] + rng.uniform(-0.3, 0.3, N_WANTED) / 3600
    write_targets(folder / "targets.parquet", positions["ra"], positions["dec"], PIX64 >> 4)
    for program in ("dark", "backup"):
        plan = folder / f"plan-{program}"
        plan.mkdir()
        np.save(plan / "plan_targets.npy", positions)
        line = f"main,{program},{PIX64},{PIX64 >> 4},{N_WANTED}"
        (plan / "plan.csv").write_text(f"survey,program,pix64,pix16,n_targets\n{line}\n")
        (plan / "plan_pixels.csv").write_text(f"pix16,pix64,digest\n{PIX64 >> 4},{PIX64},d\n")
    with (folder / "targets.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["RA_DESI", "DEC_DESI"])
        writer.writerows(zip(positions["ra"].tolist(), positions["dec"].tolist(), strict=True))
    targetids = coadd.fibermap["TARGETID"][wanted].tolist()
    (folder / "targetids.txt").write_text("".join(f"{targetid}\n" for targetid in targetids))
    (folder / "made.json").write_text(json.dumps(_sizes(folder)))
    os.sync()  # writing it out must not go on while others are timed


def _sizes(folder: Path) -> dict[str, int]:
    with Archive(str(folder)) as archive, archive.open(COADD) as coadd, archive.open(REDROCK) as redrock:
        fits, of_redrock = FitsFile(coadd), FitsFile(redrock)
        row = sum(fits[f"{arm}_{kind}"].row_bytes for arm in "BRZ" for kind in ("FLUX", "IVAR", "MASK"))
        tables = fits["FIBERMAP"], of_redrock["REDSHIFTS"]
        ideal = N_WANTED * row + sum(hdu.n_rows * hdu.row_bytes for hdu in tables)
        return {"coadd": coadd.size(), "redrock": redrock.size(), "rows": N_WANTED * row, "ideal": ideal}


if __name__ == "__main__":
    make(Path(sys.argv[1]))
