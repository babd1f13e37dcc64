"""The checksums that FITS headers carry: DATASUM of the data, CHECKSUM of header and data.

Source: FITS Standard 4.0 (2018), §4.4.2.7 and appendix J.
"""

import numpy as np

from skyharvest.formats.fits_hdu import HDU

ONES = 0xFFFFFFFF


def ones_complement_sum(data: bytes) -> int:
    """Return the 32-bit ones' complement sum of big-endian words; the last is filled up with zeros."""
    words = np.frombuffer(data + bytes(-len(data) % 4), ">u4")
    total = int(words.sum(dtype=np.uint64))
    while total > ONES:
        total = (total & ONES) + (total >> 32)
    return total


def checksum_problem(hdu: HDU, header: bytes, data: bytes) -> str | None:
    """Return what disagrees with the cards of an HDU: None if nothing does, "" if it has no such cards.

    Parameters
    ----------
    header, data
        Its bytes up to `HDU.data_start`, and from there to `HDU.stop`.
    """
    said, summed = str(hdu.header.get("DATASUM") or "").strip(), ones_complement_sum(data)
    if said and said != str(summed):
        return f"DATASUM is {said}, the data give {summed}"
    if not hdu.header.get("CHECKSUM"):
        return None if said else ""
    whole = ones_complement_sum(header + data)
    return None if whole in (0, ONES) else f"CHECKSUM: header and data sum up to {whole}, not to {ONES}"
