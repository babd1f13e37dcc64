"""The configuration of a reduction of a simulated night."""

from pathlib import Path
from typing import Any

import yaml


def write_config(path: Path, simulated: Path, specprod: str, options: dict[str, Any], **own: Any) -> None:
    """Write a configuration.

    Parameters
    ----------
    simulated
        Directory of the night.
    options
        Of steps, beside those that simulated stars and a still Earth need.
    own
        More settings of the reduction.
    """
    needed = {"extract": {"barycentric": False}, "starfit": {"delta_color": 0.3}, "fluxcalib": {"delta_color_cut": 0.3}}
    reduction = {
        "enabled": True,
        "raw": str(simulated / "data"),
        "calibration": str(simulated / "calibration"),
        "desimodel": str(simulated / "desimodel"),
        "star_templates": str(simulated / "templates/standard_stars.fits"),
        "redshift_templates": str(simulated / "templates/redrock"),
        "specprod": specprod,
        "options": needed | options,
    }
    path.write_text(yaml.safe_dump({"desi_reduction": reduction | own, "desi": {"enabled": False}}))
