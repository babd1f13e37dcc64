"""Show what a finished run found, and where its files are."""

import argparse
import json
import sys
from pathlib import Path

from skyharvest import cli
from skyharvest.errors import InputError
from skyharvest.ledger import show


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    made = cli.parser(__doc__ or "")
    made.add_argument("results", type=Path, help="the run's results directory")
    return made


def main(options: argparse.Namespace) -> None:
    """Print the summary table and the places of the files."""
    path: Path = options.results / "desi" / "summary.json"
    if not path.is_file():
        raise InputError(f"{path} does not exist: the run has not finished, or its results are elsewhere")
    print(show(json.loads(path.read_text(encoding="utf-8"))))
    print(f"\n{'every CSV row':<18}{options.results / 'desi' / 'ledger.csv'}")
    print(f"{'rejected rows':<18}{options.results / 'targets' / 'rejected.csv'}")
    print(f"{'spectra':<18}{options.results / 'desi_crossmatches'}/healpix=*/crossmatch_desi.hdf5")


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser(), job=False))
