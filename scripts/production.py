"""Control a production of DESI spectra: how its tasks stand, and what is done with some of them, without Snakemake."""

import argparse
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from skyharvest.config.load import validate
from skyharvest.core import cli
from skyharvest.core.errors import InputError
from skyharvest.core.words import counted
from skyharvest.reduction.desi.control import tables
from skyharvest.reduction.desi.control.choice import Choice, add_choice, choice_of
from skyharvest.reduction.desi.control.clean import Change, cleanup, sync
from skyharvest.reduction.desi.control.commands import command_lines, environment_lines
from skyharvest.reduction.desi.control.run import read_list, run_tasks, share_of
from skyharvest.reduction.desi.control.scripts import Limits, new_directory, submit, write_scripts
from skyharvest.reduction.desi.control.standing import Standings, stand
from skyharvest.reduction.desi.graph import Task
from skyharvest.reduction.desi.production import OPTIONS, Production, check_frozen, directory_of
from skyharvest.reduction.desi.records import FAILED
from skyharvest.reduction.desi.settings import frozen
from skyharvest.run.in_queue import jobs_in_queue
from skyharvest.run.last import find

CONFIGS = [Path(__file__).resolve().parents[1] / "config" / name for name in ("demo-reduction.yaml", "config.yaml")]
CLEAR = "\x1b[H\x1b[2J"


class Given:
    """The production that a program was told of."""

    def __init__(self, options: argparse.Namespace, *, begun: bool = True) -> None:
        self.options = options
        self.config, given, results = find([options.configfile] if options.configfile else CONFIGS)
        config = validate(given)
        settings = config["desi_reduction"]
        if not settings["enabled"]:
            raise InputError(f"{self.config}: desi_reduction.enabled is false: name another file with --configfile")
        if "again" in options:  # of what is to be run
            settings["again"] |= options.again
        self.results = results
        self.production = Production(directory_of(Path(config["results"]), settings["specprod"]), settings)
        check_frozen(self.production.directory, settings)
        if begun and not (self.production.directory / OPTIONS).exists():
            raise InputError(f"{self.production.directory} has not been begun: production.py create, or make run")

    @property
    def to_run(self) -> Production:
        """The production as chosen tasks are run: those that were chosen because they failed are tried again."""
        again = self.production.settings["again"] or FAILED in (self.options.states or ())
        return Production(self.production.directory, self.production.settings | {"again": again})

    def stand(self) -> Standings:
        """Return how it stands."""
        return stand(self.production, jobs_in_queue(self.results, self.production))


def main(options: argparse.Namespace) -> None:
    """Do what was asked for."""
    options.do(options)


def create(options: argparse.Namespace) -> None:
    """Begin the production, or add what is new of the raw data: freeze the options, make the exposure tables."""
    from skyharvest.reduction.desi.control.begin import begin  # noqa: PLC0415 (only here, and heavy: desispec)

    given = Given(options, begun=options.name == "update")
    production, settings = given.production, given.production.settings
    if settings["raw_archive"]:
        raise InputError("raw data of an archive are fetched by the workflow: make run")
    nights = options.nights or settings["nights"]
    own = settings["exposure_tables"]
    out = production.directory / "exposure_tables" / "tables.csv"
    whole = options.nights is None and options.expids is None
    begin(
        production.directory,
        settings["raw"] and Path(settings["raw"]),
        nights,
        options.expids,
        frozen=frozen(settings),
        given=own and Path(own),
        out=out if whole else None,
    )
    standings = Given(options).stand()
    print(tables.top(standings, standings.tasks, time.time()))


def to_do(options: argparse.Namespace, standings: Standings, choice: Choice | None = None) -> list[Task]:
    """Return the tasks that were chosen: without a word on their states, those that a run would do."""
    chosen = (choice or choice_of(options)).of(standings)
    return chosen if options.states else standings.to_do(chosen)


def top(options: argparse.Namespace) -> None:
    """Show steps × states, again and again."""
    given, choice = Given(options), choice_of(options)
    again = not options.once
    while True:
        began = time.monotonic()
        standings = given.stand()
        text = tables.top(standings, choice.of(standings), time.time(), by_night=options.by_night)
        print(f"{CLEAR if again and sys.stdout.isatty() else ''}{text}", flush=True)
        if not again:
            return
        time.sleep(max(options.every - (time.monotonic() - began), 0))


def list_tasks(options: argparse.Namespace) -> None:
    """List tasks: their state, what they took, why they failed or wait."""
    standings = Given(options).stand()
    lines = tables.lines_of(standings, choice_of(options).of(standings))
    print(tables.as_csv(lines) if options.csv else tables.as_text(lines))


def check(options: argparse.Namespace) -> None:
    """Say how tasks stand, and which have failed; the exit status is 1 if one has."""
    standings = Given(options).stand()
    chosen = choice_of(options).of(standings)
    print(tables.top(standings, chosen, time.time()))
    standings.check_well(chosen)


def commands(options: argparse.Namespace) -> None:
    """Print the commands of tasks, ready to be pasted into a shell, and run none."""
    standings = Given(options).stand()
    tasks = to_do(options, standings)
    if not tasks:
        print("# of the tasks that were chosen, none is to be run: --states done shows their commands all the same")
    print("\n".join([*environment_lines(standings.production), *command_lines(standings, tasks)]))


def env(options: argparse.Namespace) -> None:
    """Print what commands need of the environment, for a shell: eval "$(production.py env)"."""
    print("\n".join(environment_lines(Given(options).production)))


def script(options: argparse.Namespace) -> None:
    """Write scripts of tasks, for a shell or SLURM, and submit them if told to."""
    given = Given(options)
    standings = given.stand()
    workers = options.workers or given.production.settings["cores_per_job"]
    made = write_scripts(
        given.to_run,
        to_do(options, standings),
        Limits(options.minutes, options.nodes, workers),
        given.config,
        options.out or new_directory(given.production),
        chain=options.chain,
        slurm=options.slurm or options.submit,
        options=[word for words in options.sbatch for word in shlex.split(words)],
    )
    numbers = submit(given.production, made) if options.submit else [""] * len(made)
    for one, number in zip(made, numbers, strict=True):
        print(f"{one.path}  {counted(len(one.keys), 'task')}, {one.minutes} minutes{number and f', job {number}'}")


def run(options: argparse.Namespace) -> None:
    """Run tasks here, without Snakemake: files and records are the same."""
    given = Given(options)
    choice = choice_of(options, options.tasks and read_list(options.tasks))
    workers = options.workers or given.production.settings["cores_per_job"]
    keys = choice.listed()
    if keys is None:
        keys = [task.key for task in to_do(options, given.stand(), choice)]
    if options.share:
        keys = share_of(keys, os.environ)
    run_tasks(given.to_run, keys, workers, options.script)


def clean_up(options: argparse.Namespace) -> None:
    """Remove files and records of tasks, so that they, and what is made of them, are to be run again."""
    choice = choice_of(options)
    if choice.is_all:
        raise InputError("cleanup of all tasks: choose some, by --steps, --nights, --expids, --cameras or --states")
    standings = Given(options).stand()
    changes = cleanup(standings, choice.of(standings), options.steps or (), dry=options.dry_run)
    say(changes, standings.production, dry=options.dry_run)


def synchronize(options: argparse.Namespace) -> None:
    """Make records of the files that there are: of those that somebody has put there, too."""
    production = Given(options).production
    say(sync(production, dry=options.dry_run), production, dry=options.dry_run)


def say(changes: Iterable[Change], production: Production, *, dry: bool) -> None:
    """Make changes, and print them."""
    number = 0
    for number, change in enumerate(changes, 1):  # noqa: B007 (the last one counts them)
        print(f"{'would be: ' if dry else ''}{change}")
    if number and not dry:
        production.note_by_hand()
    print(f"{counted(number, 'change')}{', none made' if dry and number else ''}")


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""

    def positive(text: str) -> int:
        number = int(text)
        if number < 1:
            raise argparse.ArgumentTypeError(f"{text}: expected 1 or more")
        return number

    parser = cli.parser(__doc__ or "")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True, dest="name")

    def add(name: str, do: Callable[[argparse.Namespace], None], *, choose: bool = True) -> argparse.ArgumentParser:
        said = (do.__doc__ or "").rstrip(".")
        own = subparsers.add_parser(name, help=said[0].lower() + said[1:], description=do.__doc__)
        own.set_defaults(do=do)
        which = "the configuration (default: config/config.yaml or the demo's reduction, whichever ran last)"
        own.add_argument("--configfile", type=Path, metavar="YAML", help=which)
        if choose:
            add_choice(own)
        return own

    for name, said in (("create", "begin a production"), ("update", "add new raw data to a production")):
        own = add(name, create, choose=False)
        own.description = f"{said}: make its exposure tables, or add new exposures to them"
        own.add_argument("--nights", nargs="+", type=int, metavar="NIGHT", help="only these")
        own.add_argument("--expids", nargs="+", type=int, metavar="EXPID", help="only these exposures are added")
    own = add("top", top)
    own.add_argument("--once", action="store_true", help="show it once")
    own.add_argument("--every", type=float, default=10.0, metavar="SECONDS", help="between two looks")
    own.add_argument("--by-night", action="store_true", help="nights × states instead of steps × states")
    own = add("tasks", list_tasks)
    own.add_argument("--csv", action="store_true", help="as CSV, with all columns")
    add("check", check)
    add("env", env, choose=False)
    add("commands", commands)
    own = add("script", script)
    own.add_argument("--minutes", type=positive, default=120, help="at most, of a job")
    own.add_argument("--nodes", type=positive, default=1, help="at most, of a job of SLURM")
    own.add_argument("--workers", type=positive, help="tasks that run at once on a node (default: cores_per_job)")
    own.add_argument("--chain", action="store_true", help="a script has all chosen steps of its nights, or pixels")
    own.add_argument("--slurm", action="store_true", help="for sbatch")
    own.add_argument(
        "--sbatch",
        action="append",
        default=[],
        metavar="OPTIONS",
        help="more of sbatch: --sbatch=--account=m0000",
    )
    own.add_argument("--submit", action="store_true", help="submit them to SLURM, each step after the one before")
    own.add_argument(
        "--out", type=Path, metavar="DIR", help="where they go (default: run/scripts/TIME in the production)"
    )
    own = add("run", run)
    own.add_argument("--tasks", type=Path, metavar="FILE", help="a list of tasks, as script writes it")
    own.add_argument("--workers", type=positive, help="tasks that run at once (default: cores_per_job)")
    own.add_argument("--script", metavar="NAME", help="script that this is a part of")
    own.add_argument("--share", action="store_true", help="only the share of this process, of those of srun")
    for name in ("commands", "script", "run"):
        again = "also what has failed, though nothing has changed"
        subparsers.choices[name].add_argument("--again", action="store_true", help=again)
    for name, do in (("cleanup", clean_up), ("sync", synchronize)):
        own = add(name, do, choose=name == "cleanup")
        own.add_argument("--dry-run", action="store_true", help="say what would be done")
    return parser


if __name__ == "__main__":
    try:
        sys.exit(cli.run(main, build_parser(), job=False))
    except KeyboardInterrupt:  # how one leaves top
        sys.exit(130)
