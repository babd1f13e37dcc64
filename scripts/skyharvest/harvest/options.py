"""Options that programs share, each written once. Those that are settings: `skyharvest.core.settings.add_options`."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skyharvest.archive.archive import Archive

_FILE: dict[str, Any] = {"type": Path, "required": True}
_SHARED: dict[str, dict[str, Any]] = {
    "--targets": _FILE | {"metavar": "TARGETS.parquet", "help": "from prepare_targets.py"},
    "--plan-targets": _FILE | {"metavar": "PLAN_TARGETS.npy", "help": "from the plan"},
    "--batch": {
        "required": True,
        "metavar": "ORDER-PIXEL",
        "help": "HEALPix cell (NESTED) whose pixels to harvest; or all",
    },
    "--pix16": {"type": int, "required": True, "help": "NSIDE=16 NESTED pixel of the CSV's positions"},
    "--extracted": _FILE | {"nargs": "+", "metavar": "EXTRACTED.hdf5", "help": "from the extract program"},
    "--release": {"required": True, "help": "a key of config/releases.yaml, of this survey"},
    "--archive": {"required": True, "metavar": "ROOT", "help": "directory or URL of the release, or of a mirror"},
    "--connections": {"type": int, "default": 1, "help": "open connections to the archive, at most"},
    "--server-notes": {"type": Path, "help": "a file to remember in what the archive's server can do"},
    "--download": {"type": Path, "metavar": "DIR", "help": "download whole files to here, verify and remove them"},
    "--list": {"type": Path, "metavar": "CSV", "help": "what became of the units; written when all are there"},
    "--digest": {"default": "", "metavar": "HEX", "help": "of what the batch is done for; written beside the list"},
    "--journal": {"type": Path, "metavar": "CSV", "help": "append a line to it for every file"},
    "--plan": {"type": Path, "metavar": "PLAN.csv", "help": "say now and then how far the journal has come with it"},
    "--again": {
        "nargs": "*",
        "choices": ["unreadable", "absent"],
        "default": ["unreadable"],
        "help": "extract a unit again although it is there, if a file of it was recorded as this",
    },
    "--known": {
        "metavar": "PATH",
        "help": "a file that the archive has for certain: where that is absent, too, nothing is recorded as absent",
    },
    "--forbidden-is-absent": {
        "action": "store_true",
        "help": "record a file as absent that the archive refuses (HTTP 403), as long as it gives the known one",
    },
    "--config-hash": {"default": "", "help": "of the settings that the results depend on (recorded)"},
    "--seed": {"type": int, "default": 1, "help": "of the random numbers; the same seed gives the same bytes"},
    "--out": _FILE | {"help": "the file to write"},
    "--out-dir": _FILE | {"metavar": "DIR", "help": "where the files go"},
}


def add_shared(parser: argparse.ArgumentParser, *names: str, **changes: Any) -> None:
    """Give a program options that others have as well.

    Parameters
    ----------
    changes
        What differs in this program, as `argparse.ArgumentParser.add_argument` takes it.
    """
    for name in names:
        parser.add_argument(name, **(_SHARED[name] | changes))


def open_archive(options: argparse.Namespace, connections: int | None = None) -> "Archive":
    """Return the archive that a program's options are about; it is to be closed. ``connections``: if not theirs."""
    from skyharvest.archive.archive import Archive  # noqa: PLC0415 (exports have these options, and no network)

    return Archive(
        options.archive,
        connections=max(1, options.connections if connections is None else connections),
        notes=options.server_notes,
        forbidden_is_absent=getattr(options, "forbidden_is_absent", False),
    )
