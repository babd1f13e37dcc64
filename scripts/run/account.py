"""Account for every CSV row of a survey's finished run: ledger.csv, summary.json, and a table on screen."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the library is

from skyharvest.core import cli
from skyharvest.core.errors import MalformedFile
from skyharvest.core.settings import add_options
from skyharvest.harvest.extracted import remove_data
from skyharvest.harvest.ledger import account, show, summarise, write_ledger, write_summary
from skyharvest.harvest.manifest import write_manifest
from skyharvest.harvest.options import add_shared
from skyharvest.surveys import NAMES, SURVEYS
from skyharvest.targets.settings import Targets


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    add_shared(parser, "--targets", "--plan-targets", "--release", "--config-hash")
    parser.add_argument("--survey", choices=NAMES, required=True, help="whose run it is")
    parser.add_argument(
        "--not-selected", type=Path, metavar="NOT_SELECTED.json", help="from the plan of a survey with choices"
    )
    parser.add_argument("--rejected", type=Path, required=True, metavar="REJECTED.csv", help="from prepare_targets.py")
    parser.add_argument("--extracted", type=Path, required=True, help="directory of the extracted files")
    parser.add_argument("--crossmatches", type=Path, required=True, help="directory of the assembled files")
    add_options(parser, Targets, "name")
    parser.add_argument("--ledger", type=Path, required=True, help="ledger.csv to write")
    parser.add_argument("--summary", type=Path, required=True, help="summary.json to write")
    parser.add_argument(
        "--remove-extracted",
        action="store_true",
        help="remove the spectra and images of the extracted files at the end",
    )
    parser.add_argument("--manifest", type=Path, required=True, help="manifest.json to write")
    return parser


def main(options: argparse.Namespace) -> None:
    """Account, write, and show the totals."""
    ledger = account(
        targets=options.targets,
        rejected=options.rejected,
        plan_targets=options.plan_targets,
        extracted=options.extracted,
        crossmatches=options.crossmatches,
        name=options.name,
        survey=SURVEYS[options.survey],
        not_selected=options.not_selected,
        config_hash=options.config_hash,
    )
    summary = summarise(ledger, {"release": options.release})
    write_ledger(ledger, options.ledger)
    write_summary(summary, options.summary)
    write_manifest(ledger.manifest(options.release), options.manifest)
    print(show(summary, ledger.survey))
    if options.remove_extracted:
        for path in sorted(options.extracted.glob("*/*.hdf5")):
            try:
                remove_data(path)
            except MalformedFile as error:  # of an earlier plan: this one's have all been read
                cli.log.warning("%s", error)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
