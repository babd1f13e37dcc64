"""Whether two extracted files have the same cutouts, and those of the whole images: ``cutouts.py ONE OTHER FOLDER N``.

FOLDER has the brick's files. cfitsio decodes each of them whole, and N cutouts are cropped out of that.
"""

import sys
from pathlib import Path

import fitsio
import h5py
import numpy as np

COLUMNS = ("row", "ra", "dec", "x", "y", "x0", "y0", "n_bricks", "coverage", "band", "image", "invvar", "maskbits")


def main(one: str, other: str, folder: Path, n: int) -> None:
    """Fail unless they are the same, bit by bit."""
    with h5py.File(one) as mine, h5py.File(other) as theirs:
        for name in COLUMNS:
            assert mine[name].dtype == theirs[name].dtype
            assert mine[name][:].tobytes() == theirs[name][:].tobytes(), f"{name} differs"
        assert len(mine["row"]) == n
        assert (mine["coverage"][:] == 1).all()
        x0, y0, size = mine["x0"][:], mine["y0"][:], mine["image"].shape[-1]
        bands = [band.decode() for band in mine["band"][:]]
        layers = [(product, band) for product in ("image", "invvar") for band in bands] + [("maskbits", None)]
        for product, band in layers:
            (path,) = folder.glob(f"*-{product}-{band}.fits.fz" if band else f"*-{product}.fits.fz")
            with fitsio.FITS(str(path)) as file:
                whole = file[1].read()
            cropped = np.array([whole[y : y + size, x : x + size] for x, y in zip(x0, y0, strict=True)])
            extracted = mine[product][:, bands.index(band)] if band else mine[product][:]
            assert np.ptp(extracted) > 0, f"{path}: nothing to compare"
            np.testing.assert_array_equal(extracted, cropped, err_msg=str(path))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
