"""Tell how near the reduction of a simulated month of HETDEX is to the truth."""

import argparse
import sys
from itertools import chain
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the library is

from skyharvest.core import cli
from skyharvest.core.errors import HarvestError


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--root", type=Path, required=True, help="where the month was simulated")
    parser.add_argument("--reduction", type=Path, required=True, help="its reduction, …/reduction/hetdex")
    return parser


def main(options: argparse.Namespace) -> None:
    """Print the comparisons; fail if something is not well."""
    from skyharvest.simulate.hetdex_month.compare import check_month  # noqa: PLC0415 (--help need not wait for it)
    from skyharvest.simulate.hetdex_month.compare_sources import check_sources  # noqa: PLC0415

    checks = []
    for check in chain(*(compare(options.root, options.reduction) for compare in (check_month, check_sources))):
        checks.append(check)
        print(f"{'ok  ' if check.well else 'BAD '}{check.what:<46}{check.seen:<57} {check.goal}", flush=True)
    if bad := [check.what for check in checks if not check.well]:
        raise HarvestError(f"{len(bad)} of {len(checks)} comparisons with the truth are not well: {', '.join(bad)}")


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser(), job=False))
