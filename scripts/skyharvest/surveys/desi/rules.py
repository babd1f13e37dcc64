"""What DESI's rules ask beside what all surveys' do."""

from collections import defaultdict
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from skyharvest.harvest import rules
from skyharvest.harvest.demo import DEMO
from skyharvest.harvest.plan import Plan
from skyharvest.harvest.rules import options
from skyharvest.surveys.desi.release import GLOBUS, Release, load_release


@lru_cache(maxsize=1)
def by_fibers(plan: Plan) -> dict[int, list[int]]:
    """Return pix16 of fibers → pix16 of targets whose match circles reach into it, in the order of DESI's plan."""
    targets_of: dict[int, list[int]] = defaultdict(list)
    for pix16, pixels in plan.searched.items():
        for of_fibers in {int(pix64) >> 4 for pix64 in pixels}:
            targets_of[of_fibers].append(pix16)
    return dict(targets_of)


class Harvest(rules.Harvest[Release]):
    """DESI's part of a run.

    Attributes
    ----------
    copied
        The list of what Globus has copied, if it copies.
    """

    resource = "archive"
    seconds_per_file = 0.03
    seconds_per_target = 0.003
    load_release = staticmethod(load_release)

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        if self.section["archive"] == GLOBUS:  # what it copies is planned before it is there
            self.copied = [f"{self.root}/globus_transfer.csv"]
            self.list_archive = self.release.list_root(self.archive)

    @classmethod
    def release_of(cls, section: Mapping[str, Any]) -> Release:
        """Return the release, which may be a production in the directory that is the archive."""
        return load_release(section["release"], archive=section["archive"])

    def _archive(self) -> str:
        copies = self.section["archive"] == GLOBUS
        return str(self.section["globus"]["local"]) if copies else self.release.root(self.section["archive"])

    @property
    def produced(self) -> list[str]:
        """The list of a production in a directory, which changes with each coadd that it names. Releases do not."""
        return [f"{self.list_archive}/{self.release.tilepix()}"] if self.release.is_production else []

    @property
    def is_simulated(self) -> bool:
        """Whether the release's list is the demo's, which a rule writes first."""
        return self.list_archive == DEMO

    @property
    def known(self) -> str | None:
        """``tilepix.fits``, unless Globus copies, which leaves that behind."""
        return None if self.copied else self.release.tilepix()

    @property
    def listed(self) -> str:
        """``tilepix.fits``, in every case."""
        return self.release.tilepix()

    @property
    def settings(self) -> str:
        """Options of the program that harvests that change what comes out."""
        spectra = self.section["spectra"]
        return f"{self.reading} {options(no_combine=not spectra['combine'], arms=spectra['arms'])}"

    @property
    def reading(self) -> str:
        """Those of them that every program has which reads coadds."""
        spectra, match = self.section["spectra"], self.config["match"]
        return options(
            radius=match["radius_arcsec"],
            report_radius=match["report_radius_arcsec"],
            no_lsf=not spectra["lsf"],
            no_redshifts=not spectra["redshifts"],
            targetid_radius=self.targetid_radius,
            sky_fibers=self.section["sky_fibers"],
        )

    @property
    def targetid_radius(self) -> float | None:
        """How far from a position its TARGETID is looked for, arcsec; None where targets are matched by position."""
        by_targetid = self.config["targets"]["targetid"] is not None
        return float(self.section["targetid_radius_arcsec"]) if by_targetid else None

    def near(self, pix16: int | str) -> list[int]:
        """Return the NSIDE=16 pixels of targets whose match circles reach into a pixel of fibers."""
        return by_fibers(self.plan).get(int(pix16), [])

    def pixels_of_fibers(self) -> list[int]:
        """Return the NSIDE=16 pixels whose fibers are searched."""
        return sorted(by_fibers(self.plan))

    def disk_mb(self, wildcards: Any) -> int:
        """Return the disk space of a job: the coadds of one pixel, if they are downloaded."""
        return 1100 * max(len(self.plan.files[unit]) for unit in self.units(wildcards)) if self.downloads else 0
