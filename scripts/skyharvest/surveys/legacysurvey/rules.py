"""What the Legacy Surveys' rules ask beside what all surveys' do."""

from typing import Any

from skyharvest.core.csv_file import has_value
from skyharvest.harvest import rules
from skyharvest.harvest.rules import options
from skyharvest.surveys.legacysurvey.about import CONTACT_SHEET
from skyharvest.surveys.legacysurvey.release import Release, load_release


class Harvest(rules.Harvest[Release]):
    """The Legacy Surveys' part of a run."""

    resource = "bricks"
    seconds_per_file = 0.3
    seconds_per_target = 0.03
    load_release = staticmethod(load_release)

    @property
    def known(self) -> str | None:
        """A region's table of bricks."""
        return self.release.bricks(self.release.regions[0])

    @property
    def settings(self) -> str:
        """Options of the program that harvests that change what comes out."""
        return f"{self.cutting} {options(radii=self.section['aperture_radii_arcsec'])} " + options(
            no_contact_sheets=not self.section["contact_sheets"]
        )

    @property
    def cutting(self) -> str:
        """Those of them that the plan depends on as well: which pixels of which images."""
        return self.options("size", "bands", "products")

    @property
    def files_per_brick(self) -> int:
        """Images of a brick that are read."""
        return len(self.section["bands"]) * len(self.section["products"])

    @property
    def cutout_mb(self) -> float:
        """Size of one target's cutouts in memory, 10⁶ bytes."""
        return 4e-6 * float(self.section["size"]) ** 2 * self.files_per_brick

    @property
    def disk_mb(self) -> int:
        """Disk space of a job: a brick and three neighbours, if they are downloaded."""
        return 60 * self.files_per_brick if self.downloads else 0

    def mb(self, wildcards: Any) -> int:
        """Return the memory of a job: the cutouts of its largest brick, up to what is held at once; then up to 64."""
        most = max(self.n_targets(wildcards))
        extracting = max(self.cutout_mb, min(540, most * self.cutout_mb))
        assembling = min(64, max(self.n_targets_of_pixels(wildcards))) * self.cutout_mb
        return 900 + int(3 * max(extracting, assembling))

    @property
    def pixel_files(self) -> set[str]:
        """Names of what stands in the directory of an NSIDE=16 pixel: the contact sheet, too."""
        return super().pixel_files | ({CONTACT_SHEET} if self.section["contact_sheets"] else set())

    @property
    def viewer_options(self) -> str:
        """Options of the program that asks the sky viewer for pictures."""
        viewer = self.section["viewer"]
        return options(
            **{key: value or None for key, value in viewer.items() if key not in ("address", "subimage")},
            viewer=viewer["address"],
            subimage=viewer["subimage"],
        )

    def products(self, _wildcards: object = None) -> list[str]:
        """Return the list of the viewer's pictures, if any are asked for; what went wrong is asked for once more."""
        viewer = self.section["viewer"]
        if not self.enabled or not (viewer["layers"] or viewer["psf_layers"]):
            return []
        path = f"{self.root}/viewer/viewer.csv"
        if has_value(path, "status", "error"):
            self._force([path])
        return [path]
