"""Bits of the masks of HETDEX's cubes, by name. 0 is good; a voxel may have several. Light.

Source: HETDEX Public Data Release 1, the table of mask bits.
"""

_NAMES = (
    *("MAIN", "FTF", "CHI2FIB", "BADPIX", "BADAMP", "LARGEGAL", "METEOR"),
    *("BADSHOT", "THROUGHPUT", "BADFIB", "SAT", "BADCAL", "PIXMASK", "BADDET"),
)
MASK_BITS = {name: 1 << number for number, name in enumerate(_NAMES)}
