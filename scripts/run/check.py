"""Ask the configured archives, before a run, what it would otherwise find out on the way; writes check.json."""

import argparse
import json
import logging
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the library is

from skyharvest.check.ask import check
from skyharvest.check.table import conclusion, show
from skyharvest.config.load import validate
from skyharvest.core import cli
from skyharvest.core.errors import ArchiveUnavailable, HarvestError, InputError
from skyharvest.core.yaml_file import read_yaml
from skyharvest.harvest.check import FAILS, NAME, NO_ANSWER, write_checked


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--configfile", type=Path, metavar="YAML", help="the run's configuration")
    which.add_argument("--config", metavar="JSON", help="the same, as the workflow gives it")
    return parser


def main(options: argparse.Namespace) -> None:
    """Ask, print the table, write it, and raise what a run of this configuration would fail of."""
    if not options.verbose:
        logging.getLogger("skyharvest").setLevel(logging.ERROR)  # what is odd stands in the table
    config = validate(read_yaml(options.configfile) if options.configfile else _parsed(options.config))
    checked = check(config)
    path = Path(config["results"]) / NAME
    write_checked(checked, path)
    print(show(checked))
    print(f"{path} has this as well.\n")
    verdicts = {finding.verdict for finding in checked.findings}
    if FAILS in verdicts:
        raise HarvestError(conclusion(checked.findings))
    if NO_ANSWER in verdicts:
        raise ArchiveUnavailable(conclusion(checked.findings))
    print(conclusion(checked.findings))


def _parsed(text: str) -> dict[str, Any]:
    try:
        config = json.loads(text)
    except ValueError as error:
        raise InputError(f"--config is not JSON ({error})") from None
    if not isinstance(config, dict):
        raise InputError(f"--config: expected keys and values, found {type(config).__name__}")
    return config


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser(), job=False))
