"""Preprocess a raw image: desispec's desi_preproc, which without the package specter fails where an amplifier is bad.

Takes desi_preproc's options: desi_preproc --help.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from desispec.scripts import preproc

from skyharvest.reduction.desi.without_specter import stand_in


def main() -> int:
    """Run it; return its status."""
    stand_in()
    return int(preproc.main(preproc.parse()) or 0)


if __name__ == "__main__":
    sys.exit(main())
