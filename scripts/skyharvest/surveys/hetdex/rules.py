"""What HETDEX's rules ask beside what all surveys' do."""

from pathlib import Path
from typing import Any

from skyharvest.core.csv_file import has_rows
from skyharvest.core.errors import InputError
from skyharvest.harvest import rules
from skyharvest.harvest.rules import options
from skyharvest.surveys.hetdex.about import FITS_DIRECTORY
from skyharvest.surveys.hetdex.release import Release, load_release
from skyharvest.surveys.hetdex.settings import FROM_CATALOGUE


class Harvest(rules.Harvest[Release]):
    """HETDEX's part of a run."""

    resource = "cubes"
    seconds_per_file = 0.3
    seconds_per_target = 0.01
    whole_files = True
    products_by_row = ("catalogue.hdf5",)
    load_release = staticmethod(load_release)

    @property
    def known(self) -> str | None:
        """The index of cubes."""
        return self.release.index()

    @property
    def connections(self) -> int:
        """Connections that may be open to the archive: no more than it allows."""
        return self.release.connections(super().connections)

    def own_index(self, index: Path, *, made: bool) -> list[str]:
        """Return the index of cubes, of which those that were made again are harvested again; none of a public release.

        Parameters
        ----------
        index
            That of the release which the reduction of this configuration makes.
        made
            Whether it is made in this run.

        Raises
        ------
        InputError
            If the archive is that release, which is not there, and is not made.
        """
        if self.over_network:
            return []
        if Path(self.archive).resolve() != index.parent.resolve():
            return [f"{self.archive}/{self.release.index()}"] if self.release.changes else []
        if not made and not index.exists():
            raise InputError(
                f"hetdex.archive: {self.archive} has no {index.name}; hetdex_reduction makes it, with enabled: true, "
                "and cubes: {enabled: true}; set both, or name another archive"
            )
        return [str(index)]

    @property
    def line_options(self) -> str:
        """Options of the plan program that say which line the maps show."""
        maps = self.section["maps"]
        return options(**{key: maps[key] for key in ("wavelength", "redshift", "line")}) if maps["enabled"] else ""

    @property
    def settings(self) -> str:
        """Options of the program that harvests that change what comes out."""
        section, maps = self.section, self.section["maps"]
        return options(
            radius=section["aperture_radius_arcsec"],
            **{
                key: section[key]
                for key in ("min_coverage", "exclude_bits", "keep_bits", "include_only_bits", "optimal")
            },
            map_size=maps["size_arcsec"] if maps["enabled"] else None,
            map_half_width=maps["half_width"] if maps["enabled"] else None,
            map_fits=self.has_fits_maps,
        )

    def mb(self, wildcards: Any) -> int:
        """Return the memory of a job: for its largest pixel, spectra of 20 kB, and eight maps of 0.5″ in 32 bits."""
        maps = self.section["maps"]
        source = 0.02 + (32e-6 * (2 * maps["size_arcsec"]) ** 2 if maps["enabled"] else 0)
        return 900 + max(self.n_targets(wildcards)) + int(4 * source * max(self.n_targets_of_pixels(wildcards)))

    @property
    def has_fits_maps(self) -> bool:
        """Whether the maps are written as FITS images, too."""
        return bool(self.section["maps"]["enabled"] and self.section["maps"]["fits"])

    @property
    def pixel_files(self) -> set[str]:
        """Names of what stands in the directory of an NSIDE=16 pixel: the maps, too."""
        return super().pixel_files | ({FITS_DIRECTORY} if self.has_fits_maps else set())

    @property
    def detectids(self) -> str:
        """The file with the detections to fetch."""
        detectids = self.section["detections"]["detectids"]
        return (
            f"{self.root}/catalogue.hdf5" if detectids == FROM_CATALOGUE else detectids or f"{self.root}/detectids.csv"
        )

    def products(self, _wildcards: object = None) -> list[str]:
        """Return what is asked for of HETDEX's own products; pictures that were missing are asked for once more."""
        detections = self.section["detections"]
        if not self.enabled:
            return []
        addresses = f"{self.root}/elixer/elixer_addresses.csv"
        if detections["pictures"] == "files" and has_rows(f"{self.root}/elixer/elixer_missing.csv"):
            self._force([addresses])
        return [
            *([f"{self.root}/catalogue.hdf5"] if self.section["catalogue"]["enabled"] else []),
            *([f"{self.root}/detections.hdf5"] if detections["detectids"] else []),
            *([addresses] if detections["pictures"] else []),
        ]
