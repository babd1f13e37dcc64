"""Extract the aperture spectra of a plan's targets from one HETDEX cube: all of its sources at once."""

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the library is

from skyharvest.archive.archive import Archive, Cost
from skyharvest.core import cli
from skyharvest.core.errors import InputError
from skyharvest.harvest.extracted import listed, write_list
from skyharvest.harvest.journal import FAILED, Journal, Line
from skyharvest.harvest.plan import CUBE, read_cubes
from skyharvest.harvest.progress import Progress
from skyharvest.surveys.desi.extract import absence_check
from skyharvest.surveys.hetdex.cube import Masking
from skyharvest.surveys.hetdex.extract import WantedSpectra, extract_cube
from skyharvest.surveys.hetdex.maps import MapRequest
from skyharvest.surveys.hetdex.plan import cube_of_plan, targets_of_cube
from skyharvest.surveys.hetdex.release import load_release


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    made = cli.parser(__doc__ or "")
    made.add_argument("--archive", required=True, metavar="ROOT", help="directory or URL that holds datacubes/")
    made.add_argument("--release", required=True, help="a key of config/releases.yaml, such as pdr1")
    made.add_argument("--cube", required=True, metavar="SHOTID_IFUSLOT", help="such as 20190102009_034")
    made.add_argument("--targets", type=Path, required=True, metavar="PLAN_TARGETS.npy", help="from plan_hetdex.py")
    made.add_argument("--cubes", type=Path, required=True, metavar="PLAN_CUBES.npy", help="from plan_hetdex.py")
    made.add_argument("--radius", type=float, default=3.5, help="of the aperture, arcsec")
    made.add_argument(
        "--min-coverage", type=float, default=0.2, help="share of the aperture that must have good voxels"
    )
    made.add_argument("--exclude-bits", nargs="*", default=["any"], help="mask bits of bad voxels, by name or number")
    made.add_argument("--keep-bits", nargs="*", default=[], help="voxels with one of these are good all the same")
    made.add_argument("--include-only-bits", nargs="*", default=[], help="only voxels with one of these are good")
    made.add_argument("--optimal", choices=["gaussian", "moffat"], help="a spectrum weighted with this PSF as well")
    made.add_argument("--map-size", type=float, metavar="ARCSEC", help="make maps of this size around each source")
    made.add_argument("--map-half-width", type=float, default=10.0, help="of the maps' narrow band, Å")
    made.add_argument("--out", type=Path, required=True, metavar="OUT.hdf5", help="the file to write")
    made.add_argument("--list", type=Path, metavar="CSV", help="what became of the cube, for the next run")
    made.add_argument("--download", type=Path, required=True, metavar="DIR", help="where the cube is while it is read")
    made.add_argument("--connections", type=int, default=1, help="open connections to the archive, at most")
    made.add_argument("--server-notes", type=Path, help="a file to remember in what the archive's server can do")
    made.add_argument("--journal", type=Path, metavar="CSV", help="append a line to it")
    made.add_argument("--plan", type=Path, metavar="PLAN.csv", help="say now and then how far the journal has come")
    made.add_argument(
        "--known",
        metavar="PATH",
        help="a file that the archive has for certain: where that is absent, too, nothing is recorded as absent",
    )
    return made


def main(options: argparse.Namespace) -> None:
    """Extract, and note what it took."""
    release = load_release(options.release)
    shotid, _, ifuslot = options.cube.partition("_")
    if not (shotid.isdecimal() and ifuslot.isdecimal()):
        raise InputError(f"--cube {options.cube}: expected SHOTID_IFUSLOT, such as 20190102009_034")
    targets = targets_of_cube(options.targets, int(shotid), ifuslot)
    wanted = WantedSpectra(
        radius_arcsec=options.radius,
        min_coverage=options.min_coverage,
        masking=Masking(options.exclude_bits, options.keep_bits, options.include_only_bits),
        optimal=options.optimal,
        maps=None if options.map_size is None else MapRequest(options.map_size, half_width=options.map_half_width),
        fwhm_arcsec=float(cube_of_plan(options.cubes, int(shotid), ifuslot)["fwhm_virus"]),
    )
    journal = Journal(options.journal)
    with Archive(options.archive, connections=max(1, options.connections), notes=options.server_notes) as archive:
        if options.known:
            wanted = replace(wanted, check_absence=absence_check(archive, options.known))
        path = release.cube(int(shotid), ifuslot)
        cost = Cost()
        try:
            with archive.metered(cost):
                made = extract_cube(archive, path, targets, options.out, wanted=wanted, scratch=options.download)
        except Exception as error:
            spent = (cost.seconds, cost.requests, cost.bytes)
            why = str(error) or repr(error)
            journal.add([Line(time.time(), options.cube, "", "", FAILED, 0, 0, *spent, message=why)])
            raise
    line = Line(time.time(), options.cube, *CUBE, made.status, len(targets), len(made.rows), rows=made.rows)
    journal.add([replace(line, seconds=cost.seconds, requests=cost.requests, bytes=cost.bytes)])
    Progress(options.journal, options.plan, read_cubes).unit_done()
    if options.list:
        write_list(options.list, [listed(options.cube, options.out)])
    cli.log.info("%s: %s, %d spectra of %d targets", path, made.status, len(made.rows), len(targets))


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
