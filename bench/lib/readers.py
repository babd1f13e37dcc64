"""The same rows, read in the ways that people read them: a program per way, each importing only what it needs.

``python readers.py WAY WHERE TARGETIDS`` prints a digest of what it read, so that all can be seen to read the same.
"""

import hashlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Rows = Sequence[tuple[int, Sequence[Any]]]
KINDS = ("FLUX", "IVAR", "MASK")


def digest(rows: Rows) -> str:
    """Return a digest of (TARGETID, arrays) pairs, whatever their order."""
    digest = hashlib.sha256()
    for targetid, arrays in sorted(rows, key=lambda row: row[0]):
        digest.update(targetid.to_bytes(8))
        for array in arrays:
            digest.update(array.tobytes())
    return digest.hexdigest()


def astropy_sections(where: str, targetids: list[int], *, in_file_order: bool = False, **fsspec_kwargs: Any) -> str:
    """Read native rows over HTTP with astropy's ``.section``, array by array, and the redshifts beside them.

    As in "Obtaining subsets from remote FITS files" of astropy's manual. The rows are read in the order in which they
    are wanted, or in the file's.
    """
    import numpy as np
    from astropy.io import fits

    kwargs = {"fsspec_kwargs": fsspec_kwargs} if fsspec_kwargs else {}
    with fits.open(where, use_fsspec=True, **kwargs) as hdus:
        row_of = {targetid: row for row, targetid in enumerate(hdus["FIBERMAP"].data["TARGETID"].tolist())}
        if in_file_order:
            targetids = sorted(targetids, key=lambda targetid: row_of[targetid])
        images = [hdus[f"{arm}_{kind}"] for arm in "BRZ" for kind in KINDS]
        arrays = [[_native(hdu.section[row_of[targetid]]) for targetid in targetids] for hdu in images]
    with fits.open(where.replace("coadd-", "redrock-"), use_fsspec=True, **kwargs) as hdus:
        assert np.isin(targetids, hdus["REDSHIFTS"].data["TARGETID"]).all()
    return digest([(targetid, [array[i] for array in arrays]) for i, targetid in enumerate(targetids)])


def whole_files(where: str, targetids: list[int]) -> str:
    """Fetch the coadd and the redrock file, and do nothing with them."""
    import urllib.request

    for url in (where, where.replace("coadd-", "redrock-")):
        with urllib.request.urlopen(url) as response:
            while response.read(1 << 20):
                pass
    return "fetched"


def astropy_file_order(where: str, targetids: list[int]) -> str:
    """Do the same with the rows sorted, which suits a reader that reads ahead."""
    return astropy_sections(where, targetids, in_file_order=True)


def astropy_small_blocks(where: str, targetids: list[int]) -> str:
    """Do the same with the block that suits these rows: for those who know."""
    return astropy_sections(where, targetids, in_file_order=True, block_size=16 * 1024, cache_type="bytes")


def desispec_targetids(where: str, targetids: list[int]) -> str:
    """Read rows by TARGETID and combine their cameras."""
    from desispec.coaddition import coadd_cameras
    from desispec.io import read_spectra

    return _of_desispec(coadd_cameras(read_spectra(where, targetids=targetids)))


def desispec_select(where: str, targetids: list[int]) -> str:
    """Read everything, select, combine: as the Multimodal Universe's build script for DESI does."""
    from desispec.coaddition import coadd_cameras
    from desispec.io import read_spectra

    return _of_desispec(coadd_cameras(read_spectra(where).select(targets=targetids)))


def ours_combined(where: str, targetids: list[int]) -> str:
    """Read rows by TARGETID, combine their cameras, and take the width of their line-spread function."""
    import numpy as np

    import lib  # noqa: F401 (finds skyharvest)
    from skyharvest.archive.archive import Archive
    from skyharvest.sky.matching import equal_ids
    from skyharvest.surveys.desi.coadd import Coadd
    from skyharvest.surveys.desi.spectra import combine_cameras, lsf_sigma

    with Archive(str(Path(where).parent)) as archive, archive.open(Path(where).name) as source:
        coadd = Coadd(source)
        fibermap, _, wavelength = coadd.small_tables()
        _, rows = equal_ids(np.array(targetids), fibermap["TARGETID"])
        arms = coadd.read_arms(rows, wavelength)
        _, flux, ivar, mask = combine_cameras(arms)
        assert lsf_sigma(arms).shape == flux.shape
    return _of_combined(fibermap["TARGETID"][rows].tolist(), flux, ivar, mask)


def extracted(where: str, targetids: list[int]) -> str:
    """Digest what our program wrote to an HDF5 file: the native rows that `astropy_sections` reads."""
    import h5py

    with h5py.File(where) as file:
        found = file["targetid"][:].tolist()
        arrays = [_native(file[f"{arm}/{kind}".lower()][:]) for arm in "BRZ" for kind in KINDS]
        assert sorted(found) == sorted(targetids)
        assert (file["redshifts/TARGETID"][:] == file["targetid"][:]).all()
    return digest([(targetid, [array[i] for array in arrays]) for i, targetid in enumerate(found)])


def _native(array: Any) -> Any:
    return array.astype(array.dtype.newbyteorder("="))


def _of_desispec(spectra: Any) -> str:
    assert spectra.resolution_data["brz"].shape[0] == len(spectra.fibermap)
    arrays = (spectra.flux["brz"], spectra.ivar["brz"], spectra.mask["brz"])
    return _of_combined(spectra.fibermap["TARGETID"].tolist(), *arrays)


def _of_combined(targetids: list[int], flux: Any, ivar: Any, mask: Any) -> str:
    columns = flux.astype("f4"), ivar.astype("f4"), mask.astype("i4")
    return digest([(targetid, [column[i] for column in columns]) for i, targetid in enumerate(targetids)])


WAYS: dict[str, Callable[[str, list[int]], str]] = {
    way.__name__: way
    for way in (
        whole_files,
        astropy_sections,
        astropy_file_order,
        astropy_small_blocks,
        desispec_targetids,
        desispec_select,
        ours_combined,
        extracted,
    )
}

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    print(WAYS[sys.argv[1]](sys.argv[2], list(map(int, Path(sys.argv[3]).read_text().split()))))
