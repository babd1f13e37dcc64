"""What the surveys tell about themselves, so that what they share need not know any of them.

Each survey's description is in its module ``about``; `skyharvest.surveys.SURVEYS` has them all.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skyharvest.harvest import not_selected
from skyharvest.harvest.plan import Kind, Plan, Unit, read_plan
from skyharvest.harvest.shown import BrowserDescription, ReaderDescription, ReportDescription

if TYPE_CHECKING:
    import numpy.typing as npt

Addresses = tuple[str, Callable[[Unit, Kind], str]]
"""Directory or URL of an archive ("" if it has none), and the path below it of a unit's file of a kind."""


@dataclass(frozen=True, kw_only=True, eq=False)  # each is only equal to itself
class Survey:
    """A survey.

    Attributes
    ----------
    name
        Of its directories, rules, HDF5 group and section of the configuration.
    unit, file, files
        What a unit is called, and its files: ``pixel``, ``coadd``; and what the ledger counts: ``coadds``.
    product
        What is harvested: ``spectra`` or ``images``.
    unmatched
        Status of a CSV row for which files were searched and nothing was found.
    empty
        Status of a CSV row for which something was found, but nothing with data; extracted files then have
        ``targets/n_empty``. Empty where that is not told from finding nothing.
    near
        Column of the ledger, and of extracted files' ``targets``, that counts what is near a position.
    more_columns
        Columns of the ledger beside those that all surveys have: counts, which extracted files' ``targets`` have, too.
    unit_columns
        Columns of ``plan.csv`` and ``plan_targets.npy`` that name a unit: one whole number, or texts that are joined
        by ``_``.
    kind_columns
        Columns of ``plan.csv`` that tell a file's kind, its survey and program; empty if a unit has one kind of file.
    group
        Name of the directory that the file of a unit stands in, below ``extracted``.
    index, index_rule
        Name of the release's list of its files, and the rule that fetches it; empty if no rule does.
    fetch_index
        ``module:function``, in the survey's package, of what that rule calls, with an archive, the release and the path
        to write; empty if it calls a program of the survey's own.
    choices
        Keys of its section that select among the release's files; empty if all are searched. With any, the plan writes
        `skyharvest.harvest.not_selected.NAME`, and there is the status ``not_selected``.
    more_plan
        Files of its plan beside ``plan.csv``, ``plan_pixels.csv``, ``plan_targets.npy`` and that one.
    copy
        The rule that may copy the archive's files first, and its list of them; empty if there is none.
    simulated
        The rule that writes the demo's release, and its outputs; the list of files is the last one. Empty if the demo
        has none.
    by_radius
        Whether its files hold what lies within the radii of the section ``match``.
    addresses
        Tells from its section of the configuration where its files are.
    report, browser, reader
        What is shown of it: `skyharvest.harvest.shown`. A survey without ``browser`` is not in the pages of spectra.
    """

    name: str
    title: str
    unit: str
    file: str
    files: str
    product: str
    unmatched: str
    near: str
    unit_columns: tuple[str, ...]
    group: Callable[[Unit], str]
    addresses: Callable[[Mapping[str, Any]], Addresses]
    empty: str = ""
    more_columns: tuple[str, ...] = ()
    index: str = ""
    index_rule: str = ""
    fetch_index: str = ""
    choices: tuple[str, ...] = ()
    by_radius: bool = False
    more_plan: tuple[str, ...] = ()
    simulated: tuple[str, tuple[str, ...]] | tuple[()] = ()
    kind_columns: tuple[str, str] | tuple[()] = ()
    copy: tuple[str, str] | tuple[()] = ()
    report: ReportDescription = field(default_factory=ReportDescription)
    browser: BrowserDescription | None = None
    reader: ReaderDescription = field(default_factory=ReaderDescription)

    @property
    def statuses(self) -> tuple[str, ...]:
        """What can become of a CSV row; what comes first counts. An unreadable file may hold what others lack."""
        found = ("matched", self.empty) if self.empty else ("matched",)
        searched = (*found, f"{self.file}_unreadable", self.unmatched, f"{self.file}_absent")
        return (*searched, *(("not_selected",) if self.choices else ()), "not_covered", "rejected")

    @property
    def plan_files(self) -> tuple[str, ...]:
        """Names of all files of its plan."""
        left_out = (not_selected.NAME,) if self.choices else ()
        return ("plan.csv", "plan_pixels.csv", "plan_targets.npy", *left_out, *self.more_plan)

    @property
    def columns(self) -> tuple[str, ...]:
        """The ledger's columns."""
        counted = (f"missing_{self.files}", *self.more_columns)
        return ("row", "status", f"n_{self.product}", "nearest_arcsec", self.near, "pix64", *counted)

    @property
    def kind(self) -> Kind:
        """The kind of a unit's files, where there is but one."""
        return self.name, self.file

    def read_plan(self, path: str | Path) -> Plan:
        """Return the plan that stands in ``plan.csv``; it is read again only when the file has changed."""
        return read_plan(self, path)

    def unit_of(self, line: Mapping[str, str]) -> Unit:
        """Return the unit that a line of ``plan.csv`` or ``plan_pixels.csv`` is about."""
        words = [line[name] for name in self.unit_columns]
        return int(words[0]) if len(words) == 1 else "_".join(words)

    def kind_of(self, line: Mapping[str, str]) -> Kind:
        """Return the kind of file that a line of ``plan.csv`` is about."""
        if not self.kind_columns:
            return self.kind
        survey, program = self.kind_columns
        return line[survey], line[program]

    def path(self, extracted: Path, unit: Unit) -> Path:
        """Return where the extracted file of a unit stands, below ``{name}/extracted``."""
        return extracted / self.group(unit) / f"{unit}.hdf5"

    def listed(self, extracted: Path, batch: str) -> Path:
        """Return where the list of a batch stands, below ``{name}/extracted``."""
        return extracted / "batches" / f"{batch}.csv"

    def crossmatch(self, directory: Path, pix16: int) -> Path:
        """Return where the assembled file of an NSIDE=16 pixel stands, below ``{name}_crossmatches``."""
        return directory / f"healpix={pix16}" / f"crossmatch_{self.name}.hdf5"

    def units(self, plan: "npt.NDArray[Any]") -> "npt.NDArray[Any]":
        """Return the unit of each row of ``plan_targets.npy``, (n,) int64 or str."""
        import numpy as np  # noqa: PLC0415 (parse time does without)

        units = plan[self.unit_columns[0]]
        if len(self.unit_columns) == 1:
            return units
        for name in self.unit_columns[1:]:
            units = np.char.add(np.char.add(units.astype(str), "_"), plan[name].astype(str))
        return units
