"""The positions of the demo's CSV, which the simulated cubes and bricks are laid around."""

import csv
from pathlib import Path

from skyharvest.core.errors import InputError


def read_positions(path: Path) -> tuple[dict[str, int], dict[int, tuple[float, float]]]:
    """Return the rows by name, and RA (0 to 360) and Dec of those that have both, by row."""
    names: dict[str, int] = {}
    positions: dict[int, tuple[float, float]] = {}
    with path.open(encoding="utf-8", newline="") as stream:
        for row, line in enumerate(csv.DictReader(stream)):
            try:
                names[line["name"]] = row
                ra, dec = float(line["RA_DESI"]), float(line["DEC_DESI"])
            except KeyError as error:
                raise InputError(
                    f"{path} has no column {error}: it must be the CSV that simulate_release.py writes"
                ) from error
            except (TypeError, ValueError):  # a short row, an odd cell
                continue
            if -180 <= ra <= 360 and -90 <= dec <= 90:
                positions[row] = (ra % 360, dec)
    return names, positions
