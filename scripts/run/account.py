"""Account for every CSV row of a survey's finished run: ledger.csv, summary.json, and a table on screen."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the library is

from skyharvest.core import cli
from skyharvest.harvest.ledger import account, show, summarise, write_ledger, write_summary
from skyharvest.surveys import NAMES, SURVEYS


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    made = cli.parser(__doc__ or "")
    made.add_argument("--survey", choices=NAMES, required=True, help="whose run it is")
    made.add_argument("--targets", type=Path, required=True, metavar="TARGETS.parquet", help="from prepare_targets.py")
    made.add_argument("--rejected", type=Path, required=True, metavar="REJECTED.csv", help="from prepare_targets.py")
    made.add_argument("--plan-targets", type=Path, required=True, metavar="PLAN_TARGETS.npy", help="from the plan")
    made.add_argument("--extracted", type=Path, required=True, help="directory of the extracted files")
    made.add_argument("--crossmatches", type=Path, required=True, help="directory of the assembled files")
    made.add_argument("--name", default="chandra", help="HDF5 group that holds the CSV's own columns")
    made.add_argument("--release", required=True, help="a key of config/releases.yaml (recorded)")
    made.add_argument("--ledger", type=Path, required=True, help="ledger.csv to write")
    made.add_argument("--summary", type=Path, required=True, help="summary.json to write")
    return made


def main(options: argparse.Namespace) -> None:
    """Account, write, and show the totals."""
    made = account(
        targets=options.targets,
        rejected=options.rejected,
        plan_targets=options.plan_targets,
        extracted=options.extracted,
        crossmatches=options.crossmatches,
        name=options.name,
        survey=SURVEYS[options.survey],
    )
    summary = summarise(made, {"release": options.release})
    write_ledger(made, options.ledger)
    write_summary(summary, options.summary)
    print(show(summary, made.survey))


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
