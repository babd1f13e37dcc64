"""Check the templates that redrock is to fit, and write down which they are."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.reduction.desi.redshift_templates import check_templates, write_templates


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--templates", type=Path, required=True, metavar="DIR", help="what RR_TEMPLATE_DIR is to be")
    parser.add_argument("--out", type=Path, required=True, help="JSON to write: their names, versions and SHA-256")
    parser.add_argument("--any-version", action="store_true", help="take others than redrock-templates' current ones")
    return parser


def main(options: argparse.Namespace) -> None:
    """Check, and write."""
    write_templates(options.out, check_templates(options.templates, any_version=options.any_version))


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
