"""Write the report on a finished run: one self-contained page, index.html, and its figures as files."""

import argparse
import json
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the library is

from skyharvest import __version__
from skyharvest.config.load import digest
from skyharvest.core import cli
from skyharvest.core.errors import InputError
from skyharvest.core.provenance import git_commit
from skyharvest.harvest.origin import Origin
from skyharvest.report.page import Page, write
from skyharvest.report.sections import sections
from skyharvest.surveys import SURVEYS

PACKAGES = ("snakemake", "numpy", "h5py", "hpgeom", "matplotlib", "jinja2")


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--config", required=True, metavar="JSON", help="the run's configuration, with every key")
    parser.add_argument("--out", type=Path, required=True, metavar="INDEX.html", help="page to write")
    parser.add_argument("--figures", type=Path, required=True, metavar="DIR", help="directory for the figures")
    return parser


def main(options: argparse.Namespace) -> None:
    """Gather, draw, and write."""
    try:
        config = json.loads(options.config)
        surveys = [name for name in SURVEYS if config[name]["enabled"]]
    except (ValueError, LookupError, TypeError) as error:
        raise InputError(
            f"--config is not a whole configuration as JSON ({error!r}); expected what `snakemake -n -p report` prints"
        ) from None
    if not surveys:
        raise InputError("the configuration enables no survey: there is nothing to report on")
    results = Path(config["results"])
    as_yaml = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    hashes = {name: digest(config, name) for name in surveys}
    parts, harvests = sections(results, config, surveys, versions(), (as_yaml, hashes))
    facts = [("CSV rows", f"{harvests[0].summary['rows']:,}")]
    for one in harvests:
        facts.append((f"matched in {one.title}", f"{one.summary['status']['matched']:,}"))
    origin = Origin(harvests[0].manifest.csv_sha256, hashes)
    page = Page("What was harvested", about(config, surveys), facts, parts, origin)
    write(page, options.out, options.figures)


def about(config: dict[str, Any], surveys: list[str]) -> str:
    """Return in a line what the page is about."""
    of = " and ".join(f"{SURVEYS[name].title} {config[name]['release']}" for name in surveys)
    return f"{Path(config['targets']['csv']).name} × {of}; results in {config['results']}"


def versions() -> dict[str, str]:
    """Return what made the report."""
    known = {"skyharvest": __version__, "git commit": git_commit(), "python": python_version()}
    for name in PACKAGES:
        try:
            known[name] = version(name)
        except PackageNotFoundError:
            continue
    return known


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
