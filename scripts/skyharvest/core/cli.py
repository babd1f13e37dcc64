"""What the programs of ``scripts/`` share: an argument parser, a log on stderr, an exit status."""

import argparse
import gc
import logging
import shlex
import sys
from collections.abc import Callable, Sequence

from skyharvest import __version__
from skyharvest.core.errors import ArchiveUnavailable, HarvestError, InputError

log = logging.getLogger("skyharvest")

COMMAND, DONE = "command: ", "done"

EXIT_FAILED = 1  # this file or pixel failed; the message says why
EXIT_USAGE = 2  # the user's input is wrong (argparse uses 2 as well)
EXIT_TRY_AGAIN = 75  # EX_TEMPFAIL of sysexits.h: the archive is down for now; the next run tries again


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Shows a default where there is one to show."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, False, ""):
            return action.help
        return super()._get_help_string(action)


def parser(description: str) -> argparse.ArgumentParser:
    """Return a parser with the options that every program has: ``--help``, ``--version``, ``--verbose``."""
    options = argparse.ArgumentParser(description=description, formatter_class=_Help)
    options.add_argument("--version", action="version", version=f"skyharvest {__version__}")
    options.add_argument("-v", "--verbose", action="store_true", help="log every request and decision")
    return options


def run(
    main: Callable[[argparse.Namespace], None],
    options_parser: argparse.ArgumentParser,
    arguments: Sequence[str] | None = None,
    *,
    job: bool = True,
) -> int:
    """Parse the arguments, call ``main``, and turn expected errors into one line on stderr and an exit status.

    Parameters
    ----------
    main
        The program, given its options.
    options_parser
        From `parser`.
    arguments
        The command line's, unless given.
    job
        Whether its stderr, if that is no terminal, is a log: then it begins with the command that repeats the job, and
        ends with `DONE` if all went well.

    Returns
    -------
    int
        0, or 1 (failed), 2 (wrong input), 75 (the archive is unavailable for now). Unexpected exceptions keep their
        traceback: they are bugs.
    """
    options = options_parser.parse_args(arguments)
    gc.freeze()  # what was imported stays: to look for cycles in it again and again takes a job some per cent
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.DEBUG if options.verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
    )
    logging.getLogger("urllib3").setLevel(logging.INFO)
    logged = job and not sys.stderr.isatty()
    if logged:
        log.info("%s%s", COMMAND, shlex.join(sys.orig_argv if arguments is None else [options_parser.prog, *arguments]))
    try:
        main(options)
    except HarvestError as error:
        print(f"error: {error}", file=sys.stderr)
        if isinstance(error, InputError):
            return EXIT_USAGE
        return EXIT_TRY_AGAIN if isinstance(error, ArchiveUnavailable) else EXIT_FAILED
    except OSError as error:  # a file that is not there, a full disk: the system's message names it
        log.debug("", exc_info=True)
        print(f"error: {error}", file=sys.stderr)
        return EXIT_FAILED
    if logged:
        log.info(DONE)
    return 0
