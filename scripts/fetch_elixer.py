"""Say where ELiXer's pictures of HETDEX detections are, and fetch them into SQLite files."""

import argparse
import sys
from pathlib import Path

from skyharvest.archive.archive import Archive
from skyharvest.core import cli
from skyharvest.surveys.hetdex.detections import read_detectids
from skyharvest.surveys.hetdex.elixer import MISSING, fetch_pictures, write_addresses
from skyharvest.surveys.hetdex.release import load_release


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    made = cli.parser(__doc__ or "")
    made.add_argument("--archive", required=True, metavar="ROOT", help="directory or URL that holds ifu-index.fits")
    made.add_argument(
        "--detectids",
        type=Path,
        required=True,
        metavar="FILE",
        help="a CSV with a column of them, a text file with one a line, catalogue.hdf5 or detections.hdf5",
    )
    made.add_argument("--column", default="detectid", help="of the CSV, or dataset of the HDF5 file")
    made.add_argument("--release", default="pdr1", help="a key of config/releases.yaml, of HETDEX")
    made.add_argument(
        "--pictures", action="store_true", help="fetch them: some 150 kB each; else only say where they are"
    )
    made.add_argument("--connections", type=int, default=1, help="open connections to the archive, at most")
    made.add_argument("--server-notes", type=Path, help="a file to remember in what the archive's server can do")
    made.add_argument("--out-dir", type=Path, required=True, help="where elixer_addresses.csv and elixer_*.db go")
    return made


def main(options: argparse.Namespace) -> None:
    """List, and fetch what is not there yet."""
    release = load_release(options.release)
    detectids = read_detectids(options.detectids, options.column)
    with Archive(options.archive, connections=max(1, options.connections), notes=options.server_notes) as archive:
        path = write_addresses(options.out_dir, archive, release, detectids)
        cli.log.info("%s: the addresses of %d pictures", path, len(detectids))
        if not options.pictures:
            return
        fetched = fetch_pictures(archive, release, detectids, options.out_dir)
    cli.log.info("%d pictures were there, %d are new", fetched.n_there, fetched.n_new)
    if fetched.missing:
        path = options.out_dir / MISSING
        cli.log.warning("%d pictures are missing, listed in %s; the next run asks again", len(fetched.missing), path)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
