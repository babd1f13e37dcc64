"""What differs between the surveys in what they share: names of statuses and columns, and where files stand."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skyharvest.harvest.plan import (
    Plan,
    batch_list,
    brick_path,
    cube_list,
    cube_path,
    extracted_path,
    read_bricks,
    read_cubes,
    read_plan,
)

if TYPE_CHECKING:
    import numpy.typing as npt


@dataclass(frozen=True)
class Survey:
    """A survey.

    Attributes
    ----------
    name
        Of its directories, rules and HDF5 group.
    file
        What its files are called: ``coadd``.
    nothing
        Status of a CSV row for which files were searched and nothing was found.
    count
        Column of the ledger that counts what is near a position.
    made
        What is harvested: ``spectra``.
    read_plan
        Reads ``plan.csv``.
    path, listed
        Where, below its directory ``extracted``, the file of a unit and the list of a job stand.
    index, index_rule
        Name of the release's list of its files, and the rule that fetches it.
    more_plan
        Files of its plan beside ``plan.csv``, ``plan_pixels.csv`` and ``plan_targets.npy``.
    simulated
        The rule that writes the demo's release, and its outputs; the list of files is the last one.
    """

    name: str
    file: str
    nothing: str
    count: str
    made: str
    read_plan: Callable[[str], Plan]
    path: Callable[[Path, Any], Path]
    listed: Callable[[Path, str], Path]
    index: str
    index_rule: str
    more_plan: tuple[str, ...]
    simulated: tuple[str, tuple[str, ...]]

    @property
    def statuses(self) -> tuple[str, ...]:
        """What can become of a CSV row, in the ledger's order."""
        return ("matched", self.nothing, f"{self.file}_unreadable", f"{self.file}_absent", "not_covered", "rejected")

    @property
    def counted(self) -> str:
        """What the ledger counts as read or missing: a brick has many files."""
        return "files" if self.made == "images" else f"{self.file}s"

    @property
    def columns(self) -> tuple[str, ...]:
        """The ledger's columns."""
        return ("row", "status", f"n_{self.made}", "nearest_arcsec", self.count, "pix64", f"missing_{self.counted}")

    def crossmatch(self, directory: Path, pix16: int) -> Path:
        """Return where the assembled file of an NSIDE=16 pixel stands, below ``{name}_crossmatches``."""
        return directory / f"healpix={pix16}" / f"crossmatch_{self.name}.hdf5"

    def units(self, plan: "npt.NDArray[Any]") -> "npt.NDArray[Any]":
        """Return the unit of each row of ``plan_targets.npy``, (n,) int64 or str."""
        if "pix64" in (plan.dtype.names or ()):
            return plan["pix64"]
        import numpy as np  # noqa: PLC0415 (parse time does without)

        first, last = ("region", "brickname") if "region" in (plan.dtype.names or ()) else ("shotid", "ifuslot")
        return np.char.add(np.char.add(plan[first].astype(str), "_"), plan[last].astype(str))


DEMO = "resources/demo"
"""Where the demo's releases are written, below the working directory."""
DEMO_CSV = f"{DEMO}/targets.csv"

DESI = Survey(
    name="desi",
    file="coadd",
    nothing="no_fiber",
    count="n_within_report_radius",
    made="spectra",
    read_plan=read_plan,
    path=extracted_path,
    listed=batch_list,
    index="tilepix.fits",
    index_rule="fetch_tilepix",
    more_plan=(),
    simulated=(
        "simulate_release",
        (DEMO_CSV, f"{DEMO}/truth.hdf5", f"{DEMO}/spectro/redux/demo/healpix/tilepix.fits"),
    ),
)
HETDEX = Survey(
    name="hetdex",
    file="cube",
    nothing="no_spectrum",
    count="n_cubes",
    made="spectra",
    read_plan=read_cubes,
    path=cube_path,
    listed=cube_list,
    index="ifu-index.fits",
    index_rule="fetch_hetdex_index",
    more_plan=("plan_cubes.npy", "urls.txt"),
    simulated=("simulate_hetdex", (f"{DEMO}/hetdex/truth.hdf5", f"{DEMO}/hetdex/ifu-index.fits")),
)
LEGACYSURVEY = Survey(
    name="legacysurvey",
    file="brick",
    nothing="no_image",
    count="n_bands",
    made="images",
    read_plan=read_bricks,
    path=brick_path,
    listed=batch_list,
    index="bricks.npy",
    index_rule="fetch_legacysurvey_bricks",
    more_plan=("plan_bricks.npy", "urls.txt"),
    simulated=(
        "simulate_legacysurvey",
        (
            f"{DEMO}/legacysurvey/truth.hdf5",
            f"{DEMO}/legacysurvey/north/survey-bricks-demo-north.fits.gz",
            f"{DEMO}/legacysurvey/south/survey-bricks-demo-south.fits.gz",
        ),
    ),
)
SURVEYS = {survey.name: survey for survey in (DESI, HETDEX, LEGACYSURVEY)}


def releases(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the release of each survey that a configuration asks for."""
    return {name: config[name]["release"] for name in SURVEYS if config[name]["enabled"]}
