"""Download one whole coadd and its redrock file, verified against the archive's checksums."""

import argparse
import sys
from pathlib import Path

from skyharvest import cli
from skyharvest.archive import Archive
from skyharvest.download import download
from skyharvest.releases import load_release


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    made = cli.parser(__doc__ or "")
    made.add_argument("--release", required=True, help="a key of config/releases.yaml, such as dr1")
    made.add_argument("--archive", default="https", help="https, s3, local, or a path or URL of what holds spectro/")
    made.add_argument("--survey", required=True)
    made.add_argument("--program", required=True)
    made.add_argument("--pix64", type=int, required=True)
    made.add_argument("--coadd", type=Path, required=True, help="the coadd file to write")
    made.add_argument("--redrock", type=Path, help="the redrock file to write")
    return made


def main(options: argparse.Namespace) -> None:
    """Download and verify; a file that the archive does not have leaves a mark that says so."""
    release = load_release(options.release)
    place = (options.survey, options.program, options.pix64)
    wanted = {release.coadd(*place): options.coadd}
    if options.redrock:
        wanted[release.redrock(*place)] = options.redrock
    with Archive(release.root(options.archive)) as archive:
        download(archive, wanted, release.checksums(*place))


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
