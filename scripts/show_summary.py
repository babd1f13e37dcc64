"""Show what a finished run found, and where its files are."""

import argparse
import json
import sys
from pathlib import Path

from skyharvest.core import cli
from skyharvest.core.errors import InputError
from skyharvest.harvest.ledger import show
from skyharvest.surveys import SURVEYS


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("results", type=Path, help="the run's results directory")
    return parser


def main(options: argparse.Namespace) -> None:
    """Print each survey's summary table and the places of the files."""
    results: Path = options.results
    finished = [survey for survey in SURVEYS if (results / survey / "summary.json").is_file()]
    if not finished:
        raise InputError(
            f"there is no {results}/*/summary.json: the run has not finished, or its results are elsewhere"
        )
    for survey in finished:
        path = results / survey / "summary.json"
        summary = json.loads(path.read_text(encoding="utf-8"))
        print(show(summary, SURVEYS[survey]) + "\n")
    print(f"{'every CSV row':<21}{results}/{{{','.join(finished)}}}/ledger.csv")
    print(f"{'rejected rows':<21}{results / 'targets' / 'rejected.csv'}")
    for survey in finished:
        files = f"{survey} {SURVEYS[survey].product}"
        print(f"{files:<21}{results}/{survey}_crossmatches/healpix=*/crossmatch_{survey}.hdf5")


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser(), job=False))
