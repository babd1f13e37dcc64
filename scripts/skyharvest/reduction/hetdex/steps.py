"""The steps of the reduction, by the names of their products, and the states of what they make. Light."""

import argparse
from typing import NamedTuple

DONE, FAILED, WAITING, LEFT_OUT = STATES = ("done", "failed", "waiting", "left_out")
FRAMES = "frames"
CALIBRATIONS = ("bias", "trace", "flat", "wavelength")
"""Steps of a pairing in a month, each of which needs those before."""
OF_SHOT = ("astrometry", "stars", "seds", "throughput", "shots")
"""Steps of a shot, likewise."""
INDEXED = "shot_fibers"
"""The step that indexes the fibers of a shot's file, whatever else is made of it."""
SWITCHED = ("detections", "continuum", "cubes", "cutouts", "reports")
"""Steps that need a shot's file, and that settings switch on or off."""
NEED_LINES = ("cutouts", "reports")
"""Those of them that are not made without emission lines."""
BY_IFU = ("detections", "cubes")
"""Those of them that tell how each pairing stands; the others do of the shot."""
BY_SHOTID = ("cubes", "cutouts")
"""Those of them whose jobs are named after the number of the shot, as the files of a release are."""
MERGED = {
    "detections_of_month": ("detections",),
    "detect": ("detections",),
    "cont": ("continuum",),
    "detect_index": ("detections", "continuum"),
    "survey": ("shots",),
    "fiber_index": (INDEXED,),
    "cube_index": ("cubes",),
    "all_cutouts": ("cutouts",),
    "report_pages": ("reports",),
}
"""Steps that merge what others make, and whose: a file is made if one of them is."""
STEPS = (FRAMES, *CALIBRATIONS, "amp_to_amp", "science", "full_sky", *OF_SHOT, "residuals", INDEXED, *SWITCHED, *MERGED)
RULES = {"wavelength": "hetdex_twilight", "shots": "hetdex_shot"}
"""Names of rules that are not ``hetdex_`` and the step; their logs are named after them."""


class Chosen(NamedTuple):
    """What of a reduction is asked for.

    Attributes
    ----------
    switched
        Those of `SWITCHED` that are on.
    release
        What files of the release are called.
    """

    switched: tuple[str, ...] = SWITCHED
    release: str = "own"

    @property
    def made(self) -> tuple[str, ...]:
        """Steps that need a shot's file, as far as they are on."""
        return (INDEXED, *self.switched)

    def merges(self, step: str) -> bool:
        """Tell whether one of `MERGED` has anything to merge."""
        return any(of not in SWITCHED or of in self.switched for of in MERGED[step])


def add_chosen(parser: argparse.ArgumentParser) -> None:
    """Add what is asked for as options of a program."""
    parser.add_argument(
        "--switched", nargs="*", choices=SWITCHED, default=SWITCHED, help="steps that are switched on (default: all)"
    )
    parser.add_argument("--release", default=Chosen().release, help="what its files are called (default: %(default)s)")


def chosen_by(options: argparse.Namespace) -> Chosen:
    """Return what the options of `add_chosen` say."""
    return Chosen(tuple(options.switched), options.release)


def rule_of(step: str) -> str:
    """Return the name of a step's rule."""
    return RULES.get(step, f"hetdex_{step}")
