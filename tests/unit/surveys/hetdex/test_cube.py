"""HETDEX's cubes: what is read, against astropy."""

import math

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales

from skyharvest.core.errors import Absent, MalformedFile
from skyharvest.formats.byte_source import LocalFile
from skyharvest.formats.fits_file import FitsFile
from skyharvest.surveys.hetdex.cube import (
    IMAGES,
    N_WAVE,
    SHAPE,
    WAVE_AIR,
    air_to_vacuum,
    read_cube,
    wavelength_unit,
)
from small_cubes import (
    NAME,
    PLANES,
    ROWS,
    SPAXEL,
    by_astropy,
    header_of,
    sky_of,
    write,
    write_quickly,
)

pytestmark = pytest.mark.usefixtures("no_warnings")


def sky_by_astropy(header, ra, dec):
    return WCS(header).celestial.world_to_pixel(SkyCoord(ra * u.deg, dec * u.deg))


@pytest.mark.parametrize("how", ["plain", "CD", "no LONPOLE", "LONPOLE", "CROTA2", "SIN", "PV", "pole"])
def test_every_celestial_wcs_is_astropys(tmp_path, how):
    made = headers()
    header = made["DATA"]
    turned = {f"PC{i}_{j}": header[f"PC{i}_{j}"] for i in (1, 2) for j in (1, 2)}
    if how in ("CD", "CROTA2"):
        for key in turned:
            del header[key]
    if how == "CD":
        header.update({key.replace("PC", "CD"): value * header[f"CDELT{key[2]}"] for key, value in turned.items()})
        del header["CDELT1"], header["CDELT2"]
    elif how == "no LONPOLE":
        del header["LONPOLE"]
    elif how == "pole":
        del header["LONPOLE"], header["LATPOLE"]
        header["CRVAL2"] = 90.0
    cards = {"CROTA2": {"CROTA2": 30.0}, "LONPOLE": {"LONPOLE": 150.0}, "PV": {"PV1_3": 170.0}}
    cards["SIN"] = {"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN"}
    header.update(cards.get(how, {}))
    cube = read_cube(write_zeros(tmp_path / NAME, made))
    rng = np.random.default_rng(1)
    ra, dec = sky_of(*rng.uniform(-20, 120, (2, 100)), dec=header["CRVAL2"])
    found = cube.sky.pixels(ra, dec)
    np.testing.assert_allclose(found, sky_by_astropy(header, ra, dec), atol=1e-8)
    assert cube.sky.pixel_arcsec == pytest.approx(proj_plane_pixel_scales(WCS(header).celestial)[0] * 3600, rel=1e-12)
    np.testing.assert_allclose(cube.wcs.wcs_world2pix(ra, dec, 0), found, atol=1e-8)
    back = SkyCoord(*cube.sky.positions(*found), unit="deg")
    assert back.separation(SkyCoord(ra, dec, unit="deg")).arcsec.max() < 1e-6
    assert cube.sky.positions(*np.reshape(found, (2, 10, 10)))[0].shape == (10, 10)
    assert cube.wcs.array_shape == (104, 104)


# --- Files -----------------------------------------------------------------------------------------------------------


STEP = 97  # planes that are compared where astropy takes long


@pytest.mark.parametrize("how", ["planes", "rows", "plain"])
def test_what_is_read_is_what_astropy_reads(voxels, compressed, images, tmp_path, how):
    flux, error, mask = voxels
    path = tmp_path / NAME
    if how == "planes":
        path, theirs = compressed, images
    elif how == "rows":
        write_quickly(path, flux, np.ones(SHAPE, np.float32), mask.astype(np.uint16), ROWS)
        with fits.open(path) as hdus:
            theirs = None, *(np.array([hdus[name].section[i] for i in range(0, N_WAVE, STEP)]) for name in IMAGES)
    else:
        write(path, flux.astype(np.float64), error, mask.astype(np.int32), header_of(CUNIT3="Angstrom"))
        theirs = by_astropy(path)
    cube = read_cube(path, "http://archive/" + NAME)
    for ours, other, kind in zip((cube.flux, cube.error, cube.mask), theirs[1:], IMAGES.values(), strict=True):
        assert ours.shape == SHAPE
        assert ours.dtype == (np.float32 if kind == "f" else other.dtype.newbyteorder("="))
        same = ours[:: STEP if how == "rows" else 1], other.astype(ours.dtype)
        assert np.array_equal(*same, equal_nan=kind == "f")
    assert np.isnan(cube.flux[:, 0, 0]).all()
    assert np.isfinite(cube.flux[:, 50, 50]).all()
    assert cube.mask.max() > 8192
    assert (cube.shotid, cube.ifuslot, cube.bin_width) == (20190405020, "034", 2.0)
    assert cube.name == "http://archive/" + NAME
    assert cube.sky.pixel_arcsec == pytest.approx(SPAXEL, abs=1e-9)


def headers():
    """Return the headers of an uncompressed cube."""
    made = {}
    for name, bitpix in (("PRIMARY", 8), ("DATA", -32), ("ERROR", -32), ("MASK", 16)):
        first = ("SIMPLE", True) if name == "PRIMARY" else ("XTENSION", "IMAGE")
        axes = () if name == "PRIMARY" else SHAPE[::-1]
        made[name] = fits.Header([first, ("BITPIX", bitpix), ("NAXIS", len(axes))])
        made[name].update({f"NAXIS{k + 1}": length for k, length in enumerate(axes)})
        if axes:
            made[name].update({"PCOUNT": 0, "GCOUNT": 1, "EXTNAME": name} | dict(header_of()))
    return made


def write_zeros(path, made):
    """Write headers, each with as many zeros behind it as it says."""
    with path.open("wb") as file:
        for header in made.values():
            file.write(header.tostring().encode())
            axes = [header[f"NAXIS{k + 1}"] for k in range(header["NAXIS"])]
            size = math.prod(axes) * abs(header["BITPIX"]) // 8 if axes else 0
            file.truncate(file.seek(-(-size // 2880) * 2880, 1))
    return path


def card(name, **cards):
    return lambda made: made[name].update(cards)


def no_card(name, key):
    return lambda made: made[name].remove(key)


def without(name):
    return lambda made: made.pop(name)


def flat(name):
    def edit(made):
        made[name]["NAXIS"] = 2
        del made[name]["NAXIS3"]

    return edit


def as_table(name):
    def edit(made):
        made[name] = fits.BinTableHDU.from_columns([fits.Column("X", "E", array=np.zeros(3))], name=name).header

    return edit


SKY = r"\[DATA\]: no celestial axes: "
WAVE = r"\[DATA\]: the wavelengths are not 3470 \+ 2 i Å; found "
BROKEN = {
    "no DATA": (without("DATA"), r"HDU DATA is missing; found PRIMARY, ERROR, MASK"),
    "no ERROR": (without("ERROR"), r"HDU ERROR is missing; found PRIMARY, DATA, MASK"),
    "no MASK": (without("MASK"), r"HDU MASK is missing"),
    "a table": (as_table("ERROR"), r"\[ERROR\]: expected an image of shape \(1036, 104, 104\), found a binary table"),
    "wavelengths": (card("DATA", NAXIS3=1035), r"\[DATA\]: has shape \(1035, 104, 104\), expected \(1036, 104"),
    "spaxels": (card("MASK", NAXIS1=103), r"\[MASK\]: has shape \(1036, 104, 103\), expected"),
    "turned": (card("ERROR", NAXIS1=1036, NAXIS3=104), r"\[ERROR\]: has shape \(104, 104, 1036\)"),
    "axes": (flat("DATA"), r"\[DATA\]: has 2 axes, expected 3"),
    "whole fluxes": (card("DATA", BITPIX=16), r"\[DATA\]: holds int16, expected floating-point"),
    "whole errors": (card("ERROR", BITPIX=32), r"\[ERROR\]: holds int32, expected floating-point"),
    "mask of floats": (card("MASK", BITPIX=-32), r"\[MASK\]: holds float32, expected bits in"),
    "scaled mask": (card("MASK", BSCALE=0.5), r"\[MASK\]: holds float\d\d, expected bits in"),
    "another start": (card("DATA", CRVAL3=3600.0), WAVE + r"CRVAL3 3600"),
    "another step": (card("DATA", CDELT3=0.8), WAVE + r".*CDELT3 0.8"),
    "another pixel": (card("DATA", CRPIX3=0.0), WAVE),
    "feet": (card("DATA", CRVAL3=1.138e-6, CDELT3=6.56e-10), WAVE),
    "no wavelengths": (no_card("DATA", "CRVAL3"), WAVE + "CRVAL3 None"),
    "text": (card("DATA", CDELT3="two"), WAVE + r".*CDELT3 'two'"),
    "galactic": (card("DATA", CTYPE1="GLON-TAN", CTYPE2="GLAT-TAN"), SKY + "CTYPE1 and CTYPE2 are 'GLON-TAN'"),
    "no sky": (no_card("DATA", "CTYPE1"), SKY + "CTYPE1 and CTYPE2 are None and 'DEC--TAN'"),
    "no such projection": (card("DATA", CTYPE1="RA---XYZ", CTYPE2="DEC--XYZ"), SKY),
    "singular": (card("DATA", PC1_1=0.0, PC1_2=0.0), SKY),
    "no number": (card("DATA", CRVAL1="215"), SKY + "CRVAL1 is '215', expected a number"),
    "no reference": (no_card("DATA", "CRPIX2"), SKY + "CRPIX2 is None, expected a number"),
    "no matrix": (card("DATA", CDELT1="half"), SKY + "its CDELTi"),
    "bin width": (card("DATA", SPECBW=0.0), r"\[DATA\]: SPECBW is 0.0, expected"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_cube_that_is_not_one_is_named_with_its_hdu(tmp_path, case):
    edit, message = BROKEN[case]
    made = headers()
    edit(made)
    path = write_zeros(tmp_path / NAME, made)
    with pytest.raises(MalformedFile, match=message) as raised:
        read_cube(path)
    assert str(path) in str(raised.value)
    with pytest.raises(MalformedFile, match="http://archive/cube"):
        read_cube(path, "http://archive/cube")


@pytest.mark.parametrize(("unit", "length"), [("Å", 1), ("nm", 10), ("µm", 1e4), ("m", 1e10)])
def test_wavelengths_are_known_by_their_numbers_whatever_unit_the_header_names(tmp_path, unit, length):
    made = headers()
    made["DATA"].update({"CRVAL3": 3470 / length, "CDELT3": 2 / length, "CUNIT3": "furlong"})
    path = write_zeros(tmp_path / NAME, made)
    with LocalFile(path) as source:
        assert wavelength_unit(FitsFile(source)["DATA"]) == unit
    assert read_cube(path, near=(np.zeros(0), np.zeros(0))).bin_width == 2.0


def test_a_compressed_cube_of_another_shape_is_named(tmp_path):
    few = np.zeros((4, 104, 104), np.float32)
    path = write(tmp_path / NAME, few, few, few.astype(np.int16), tiles=PLANES)
    with pytest.raises(MalformedFile, match=r"\[DATA\]: has shape \(4, 104, 104\), expected \(1036, 104, 104\)"):
        read_cube(path)


@pytest.mark.parametrize("kept", [0, 1, 2880, 20_000, 0.3, 0.6, 0.9, 0.999, -1])
def test_a_truncated_cube_is_called_that(compressed, tmp_path, kept):
    whole = compressed.read_bytes()
    length = int(kept * len(whole)) if isinstance(kept, float) else kept if kept >= 0 else len(whole) + kept
    path = tmp_path / NAME
    path.write_bytes(whole[:length])
    with pytest.raises(MalformedFile, match=r"truncated|is missing|expected FITS|expected a FITS header"):
        read_cube(path)


def test_tiles_that_are_no_tiles_are_an_error_of_the_file(compressed, tmp_path):
    whole = bytearray(compressed.read_bytes())
    with fits.open(compressed, disable_image_compression=True) as hdus:
        info = hdus["DATA"].fileinfo()
        heap = info["datLoc"] + hdus["DATA"].header["NAXIS1"] * hdus["DATA"].header["NAXIS2"]
        end = info["datLoc"] + info["datSpan"]
    whole[heap:end] = b"\xff" * (end - heap)
    path = tmp_path / NAME
    path.write_bytes(whole)
    with pytest.raises(MalformedFile, match=r"\[DATA\]: cfitsio cannot read it"):
        read_cube(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html><head><title>404 Not Found</title></head></html>", "HTML page"),
        (b"shotid,ifuslot\n20190405020,034\n" * 200, "expected a FITS header"),
        (b"\x1f\x8b\x08" + bytes(5000), "gzip"),
        (bytes(5760), "nothing but zeros"),
    ],
)
def test_a_file_that_is_no_fits_is_called_what_it_is(tmp_path, content, message):
    path = tmp_path / NAME
    path.write_bytes(content)
    with pytest.raises(MalformedFile, match=message):
        read_cube(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(Absent, match=NAME):
        read_cube(tmp_path / NAME)


def test_who_it_is_is_taken_from_the_name_where_the_header_does_not_say(tmp_path):
    made = headers()
    del made["DATA"]["SHOTID"]
    path = write_zeros(tmp_path / "download[1] (a).tmp", made)
    assert read_cube(path, str(path)).name == str(path)
    assert read_cube(path, f"http://archive/20190405020/{NAME}").ifuslot == "034"
    assert read_cube(path, f"http://archive/20190405020/{NAME}").shotid == 20190405020
    unknown = read_cube(path)
    assert (unknown.shotid, unknown.ifuslot) == (None, None)


# --- Wavelengths -----------------------------------------------------------------------------------------------------


def test_the_grid_is_the_surveys():
    assert WAVE_AIR.shape == (N_WAVE,)
    assert (WAVE_AIR[0], WAVE_AIR[1], WAVE_AIR[-1]) == (3470.0, 3472.0, 5540.0)


def test_air_wavelengths_become_vacuum_wavelengths():
    vacuum = air_to_vacuum(WAVE_AIR)
    assert vacuum.dtype == np.float64
    # Back by Morton (2000), as the IAU has it, and by Ciddor (1996, Applied Optics 35, 1566), whose n is another.
    s2 = (1e4 / vacuum) ** 2
    morton = 1 + 0.0000834254 + 0.02406147 / (130 - s2) + 0.00015998 / (38.9 - s2)
    ciddor = 1 + 0.05792105 / (238.0185 - s2) + 0.00167917 / (57.362 - s2)
    np.testing.assert_allclose(vacuum / morton, WAVE_AIR, rtol=1e-12)
    np.testing.assert_allclose(vacuum / ciddor, WAVE_AIR, rtol=3e-8)
    # Lines whose wavelengths are tabulated in both: [O II], Hβ, [O III].
    in_air, in_vacuum = [3726.03, 3728.82, 4861.33, 4958.91, 5006.84], [3727.09, 3729.88, 4862.68, 4960.30, 5008.24]
    np.testing.assert_allclose(air_to_vacuum(in_air), in_vacuum, atol=0.011)
