"""Tell how the demo night's reduction went: tasks and seconds of each step, and how near it is to the truth."""

import argparse
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the library is

from skyharvest.core import cli
from skyharvest.core.errors import HarvestError


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--root", type=Path, required=True, help="where the night was simulated")
    parser.add_argument("--production", type=Path, required=True, help="its reduction, …/spectro/redux/<specprod>")
    return parser


def main(options: argparse.Namespace) -> None:
    """Print both tables; fail if something is not well."""
    os.environ.setdefault("DESI_LOGLEVEL", "ERROR")  # what desispec reads is of no interest here
    from skyharvest.reduction.desi.ledger import table  # noqa: PLC0415 (--help need not wait for it)
    from skyharvest.simulate.desi_night.truth import check_night  # noqa: PLC0415

    summary = json.loads((options.production / "summary.json").read_text(encoding="utf-8"))
    print(table(summary["steps"], summary["seconds"]))
    print()
    checks = list(check_night(options.root, options.production))
    for check in checks:
        print(f"{'ok  ' if check.well else 'BAD '}{check.what:<46}{check.seen:<58}{check.goal}")
    if bad := [check.what for check in checks if not check.well]:
        raise HarvestError(f"{len(bad)} of {len(checks)} comparisons with the truth are not well: {', '.join(bad)}")


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser(), job=False))
