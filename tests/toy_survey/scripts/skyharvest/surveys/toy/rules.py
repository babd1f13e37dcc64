"""What the toy survey's rules ask beside what all surveys' do."""

from skyharvest.harvest import rules
from skyharvest.harvest.rules import options
from skyharvest.surveys.toy.release import Release, load_release


class Harvest(rules.Harvest[Release]):
    """The toy survey's part of a run."""

    resource = "tables"
    load_release = staticmethod(load_release)

    @property
    def known(self) -> str | None:
        """The list of tables."""
        return self.release.list()

    @property
    def settings(self) -> str:
        """Options of the extract program that change what is extracted."""
        match = self.config["match"]
        return options(radius=match["radius_arcsec"], report_radius=match["report_radius_arcsec"])
