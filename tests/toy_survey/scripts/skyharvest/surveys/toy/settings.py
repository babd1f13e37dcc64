"""The toy survey's settings. All surveys have these four."""

from skyharvest.core.settings import Switch, section, setting
from skyharvest.harvest.settings import Again


@section
class Settings:
    """The toy survey's spectra."""

    enabled: Switch = setting(False, "Whether to harvest the toy survey.")
    release: str = setting("toy1", "A key of config/releases.yaml, of a release of the toy survey.")
    archive: str = setting(
        "local",
        "Where the release is read from: https or local (the roots in config/releases.yaml), or a path or URL.",
        min_length=1,
        outcome=False,
    )
    read_again: Again = setting(
        ["unreadable"],
        "Tables that every run tries once more, by what an earlier one found: unreadable, absent.",
        outcome=False,
    )
