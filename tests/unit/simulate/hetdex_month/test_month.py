"""A simulated month of HETDEX: tarfile and astropy read its files, and what is in them is what the truth says."""

import io
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from skyharvest.simulate.hetdex_month.month import simulate
from skyharvest.simulate.hetdex_month.optics import SCATTERED, Fibers
from skyharvest.simulate.hetdex_month.plan import IFUS, Damage, Night, Plan, Shot
from skyharvest.simulate.hetdex_month.seeing import KNOTS, fractions, refraction
from skyharvest.simulate.hetdex_month.truth import Truth

SHOT = Shot(17, fwhm=(1.8,), norm=(1.0,), sky=(1.0,), shift=(0.05,), cosmics=80)
FIBERS = Fibers(gaps=(34, 75), dead=(60,), missing=(20,))
PLAN = Plan((Night(ifus=IFUS[:1], biases=1, twilights=1, shots=(SHOT,)),), {("317", "LL"): FIBERS}, amps=("LL", "LU"))
IFU = "317_015_038_0211"


@pytest.fixture(scope="module")
def month(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("month")
    simulate(root, PLAN)
    return root


def tar_of(root: Path, obs: int, date: int = 20190103) -> Path:
    return root / f"raw/{date}/virus/virus{obs:07d}.tar"


def frame(root: Path, obs: int, amp: str) -> tuple[fits.Header, np.ndarray]:
    """Return header and image as the field turns it: electrons over the overscan."""
    with tarfile.open(tar_of(root, obs)) as tar:
        (name,) = [name for name in tar.getnames() if f"015{amp}_" in name]
        with fits.open(io.BytesIO(tar.extractfile(name).read())) as file:
            file.verify("exception")
            header, counts = file[0].header, file[0].data
    assert counts.dtype == np.uint16 and counts.shape == (1032, 1064)
    image = counts[:, :1032] - np.median(counts[:, 1034:], axis=1).astype(float).mean()
    image = image[::-1, ::-1] if header["CCDPOS"] + header["CCDHALF"] in ("LU", "RL") else image
    return header, image * header["GAIN"]


def test_names_and_headers_are_those_of_the_telescope(month: Path):
    with tarfile.open(tar_of(month, 17)) as tar:
        assert tar.getnames()[0] == "virus0000017/exp01/virus/20190103T054545.4_015LL_sci.fits"
    header, _ = frame(month, 17, "LU")
    expected = {"SPECID": "317", "IFUSLOT": "015", "IFUID": "038", "CONTID": "S/N 0211", "AMPNAME": "LU"}
    assert {name: header[name] for name in expected} == expected
    assert header["BZERO"] == 32768 and "PEXPTIME" not in header and header["EXPTIME"] == 360
    with Truth(month / "truth.h5") as truth:
        told = [truth.shot_value("20190103v017", f"header_{name}") for name in ("ra", "dec", "pa")]
        true = [truth.shot_value("20190103v017", name) for name in ("ra", "dec", "pa")]
    assert [header["TRAJCRA"] * 15, header["TRAJCDEC"], header["PARANGLE"]] == pytest.approx(told, abs=1e-5)
    off = np.subtract(true, told)
    assert [off[0] * 3600 * np.cos(np.deg2rad(true[1])), off[1] * 3600, off[2]] == pytest.approx(SHOT.off, abs=1e-3)


@pytest.mark.parametrize("amp", ["LL", "LU"])
def test_the_trap_of_a_bias_is_where_the_truth_says(month: Path, amp: str):
    _, image = frame(month, 1, amp)
    with Truth(month / "truth.h5") as truth:
        ((column, row),) = truth.amp_value(f"{IFU}_{amp}", "traps")
        bias = truth.amp(f"{IFU}_{amp}", "bias")
    excess = image - np.median(image, axis=1, keepdims=True)
    assert excess[:, column][row:].mean() > 40 > 5 > abs(excess[:, column][:row].mean())
    assert np.std(image - bias) == pytest.approx(3, abs=0.4)


def test_light_is_on_the_traces_and_as_much_as_the_truth_says(month: Path):
    with Truth(month / "truth.h5") as truth:
        name = f"{IFU}_LL"
        trace, alive, wavelength = (truth.amp(name, key) for key in ("trace", "alive", "wavelength"))
        response = truth.amp(name, "fiber_to_fiber") * truth.amp(name, "amp_to_amp") * truth.amp(name, "dispersion")
        sky, light = truth.sky("20190103v017", 1, name), truth.source_light("20190103v017", 1, name)
        bias, flat, hit = (truth.amp(name, "bias"), truth.amp(name, "flat"), truth.cosmics("20190103v017", 1, name))
    assert (
        alive.sum() == 110 and not alive[[20, 60]].any() and np.isnan(trace[20]).all() and np.isfinite(trace[60]).all()
    )
    assert np.diff(trace[[19, 21], 500]) == pytest.approx(8.74, abs=0.6)  # no room where the fiber is missing
    assert np.diff(trace[[33, 34], 500]) == pytest.approx(17.5, abs=0.6)
    assert wavelength.min() < 3475 and wavelength.max() > 5525

    image = (frame(month, 2, "LL")[1] - bias) / flat
    y = np.arange(1032.0)
    for fiber in np.flatnonzero(alive)[::9]:
        middle = trace[fiber, 480:520].mean()
        near = np.abs(y - middle) < 4
        rows = image[near, 480:520].mean(1) - image[near, 480:520].mean(1).min()
        assert np.sum(rows * y[near]) / rows.sum() == pytest.approx(middle, abs=0.25)

    image = np.where(hit, np.nan, (frame(month, 17, "LL")[1] - bias) / flat)
    image[:, 480:520] = np.where(np.isnan(image), np.nanmean(image[:, 480:520], 1, keepdims=True), image)[:, 480:520]
    expected = ((sky + light) / 2 * response)[:, 480:520]
    assert image[:, 480:520].sum(0).mean() == pytest.approx(expected.sum(0).mean() * (1 + SCATTERED), rel=0.03)
    quiet = np.flatnonzero(alive & (light.max(1) == 0))[:20]
    for fiber in quiet:  # rows to half-way between neighbours hold most of a fiber's light
        rows = slice(*(round(trace[fiber, 500] + d) for d in (-4, 5)))
        assert image[rows, 480:520].sum(0).mean() == pytest.approx(expected[fiber].mean(), rel=0.2)


def test_cosmic_rays_are_where_the_truth_says_and_change_nothing_else(month: Path, tmp_path: Path):
    _, image = frame(month, 17, "LU")
    simulate(tmp_path, replace(PLAN, nights=(replace(PLAN.nights[0], shots=(replace(SHOT, cosmics=0),)),)))
    _, quiet = frame(tmp_path, 17, "LU")
    with Truth(month / "truth.h5") as truth:
        hit = truth.cosmics("20190103v017", 1, f"{IFU}_LU")
    assert 80 < hit.sum() < 80 * 14
    assert ((image - quiet) > 100)[hit].all() and np.array_equal(image[~hit], quiet[~hit])
    assert tar_of(month, 1).read_bytes() == tar_of(tmp_path, 1).read_bytes()


def test_stars_are_in_the_fibers_that_see_their_place(month: Path):
    """By the field's rule with astropy's own projection: CROTA and CDELT of HETDEX's tangent plane."""
    with Truth(month / "truth.h5") as truth:
        stars, flux = truth.sources("20190103v017", "star")
        light = {amp: truth.source_light("20190103v017", 1, f"{IFU}_{amp}") for amp in ("LL", "LU")}
        ra, dec, pa = (float(truth.shot_value("20190103v017", key)) for key in ("ra", "dec", "pa"))
    plane = WCS(naxis=2)
    plane.wcs.crpix, plane.wcs.crval, plane.wcs.ctype = (0, 0), (ra, dec), ["RA---TAN", "DEC--TAN"]
    plane.wcs.cdelt, plane.wcs.crota = (-1 / 3600, 1 / 3600), (360 - (pa + 90),) * 2
    table = np.loadtxt(month / "ifucen/IFUcen_HETDEX.txt", usecols=(1, 2), skiprows=30)
    places = {"LU": table[:112][::-1], "LL": table[112:224][::-1]}
    slots = {line.split()[0]: line.split() for line in (month / "fplane/fplane20190103").read_text().splitlines()}
    x, y = (float(slots["015"][k]) for k in (1, 2))
    assert len(stars) == len(flux) and (stars["ifuslot"] == b"015").sum() == 7
    seen = 0
    for amp, spectra in light.items():
        bright = spectra[:, 400:600].mean(1)  # about 4500 Å
        brightest = int(bright.argmax())
        at = plane.wcs_pix2world([[places[amp][brightest, 0] + y, places[amp][brightest, 1] + x]], 0)[0]
        off = np.hypot((stars["ra"] - at[0]) * np.cos(np.deg2rad(dec)), stars["dec"] - at[1]) * 3600
        assert off.min() < 1.7 or bright[brightest] < 100
        seen += off.min() < 1.7
    assert seen


def test_what_a_fiber_gets_of_a_star():
    fwhm, beta = 1.7, 3.9
    knot = int(np.searchsorted(KNOTS, 4500))
    shape = 4 * (2 ** (1 / beta) - 1) / fwhm**2
    n = 1500
    g = (np.arange(n) + 0.5) / n * 1.5 - 0.75
    gx, gy = np.meshgrid(g, g)
    face = gx**2 + gy**2 < 0.75**2
    for x, y in ((0.0, 0.0), (0.9, -0.4), (3.0, 1.0)):
        density = shape * (beta - 1) / np.pi * (1 + shape * ((x + gx) ** 2 + (y + gy) ** 2)) ** -beta
        brute = density[face].sum() * (1.5 / n) ** 2
        assert fractions([x], [y], fwhm)[0, knot] == pytest.approx(brute, rel=3e-4)
    part = fractions([-0.74 + 0.0], [0.0], fwhm)[0]  # a fiber where the blue light of 3500 Å goes
    assert (
        part[1] == pytest.approx(fractions([refraction(np.array([3500.0]))[0]], [0.0], fwhm)[0, 1])
        and part[1] > part[-1]
    )


def test_damages_of_tar_files(tmp_path: Path):
    plan = replace(
        PLAN,
        nights=(
            Night(ifus=IFUS[:1], biases=4, twilights=0, shots=(), repeated=True),
            Night(20190104, IFUS[:1], 3, 0, ()),
        ),
        damages=(
            Damage(20190103, 1, 2, "015LL", "header"),
            Damage(20190103, 1, 3, "015LL", "short"),
            Damage(20190103, 1, 4, "015LU", "tar"),
            Damage(20190104, 1, 3, "015LU", "cut"),
        ),
        amps=("LL", "LU"),
    )
    simulate(tmp_path, plan)
    data = tar_of(tmp_path, 1).read_bytes()
    names = [f"exp{n:02d}/virus/20190103T00{29 + n}00.0_015{amp}_zro.fits" for n in range(1, 5) for amp in ("LL", "LU")]
    found = [name for name in names if name.encode() in data]
    assert set(names) - set(found) == {names[7]}  # its tar header is noise
    assert b"exp05/virus/20190103T003300.0_015LL_zro.fits" in data  # the last again, after it
    with tarfile.open(tar_of(tmp_path, 1)) as tar:
        members = [member for member in tar if member.name.endswith(tuple(names[:7]))]
        assert [member.size for member in members] == [2200320 if k != 4 else 1100160 for k in range(7)]
        with pytest.raises(OSError, match="SIMPLE"):
            fits.open(io.BytesIO(tar.extractfile(members[2]).read()))
        again = data[data.index(b"virus0000001/exp05") + 512 :][:2200320]
        assert tar.extractfile(members[6]).read() == again
    with tarfile.open(tar_of(tmp_path, 1, 20190104)) as tar, pytest.raises(tarfile.ReadError, match="unexpected end"):
        tar.extractall(tmp_path / "out", filter="data")
    with pytest.raises(ValueError, match="no member"):
        simulate(tmp_path / "more", replace(plan, damages=(Damage(20190103, 1, 9, "015LL", "cut"),)))


def test_variants_of_nights_and_shots(tmp_path: Path):
    empty = replace(SHOT, obs=18, stars=0, lines=0, parallel=True)
    swapped = replace(IFUS[1], specid="412", contid="0140")
    nights = (
        Night(20170103, (IFUS[1],), 0, 0, (replace(SHOT, edge=True), empty), old=True),
        Night(20170104, (swapped,), 1, 1, ()),
    )
    simulate(tmp_path, Plan(nights, {("412", "LU"): Fibers(dark=True)}, amps=("LU",)))
    with tarfile.open(tar_of(tmp_path, 18, 20170103)) as tar:
        (name,) = tar.getnames()
        with fits.open(io.BytesIO(tar.extractfile(name).read())) as file:
            header, counts = file[0].header, file[0].data.astype(float)
    assert header["AMPNAME"] == "UL" and header["PEXPTIME"] - 8 == 360 and header["EXPTIME"] < 20
    with Truth(tmp_path / "truth.h5") as truth:
        assert truth.amps == ["020_106_055_0123_LU", "412_106_055_0140_LU"] and len(truth.shots) == 2
        ((column, row),) = truth.amp_value(truth.amps[0], "traps")
        assert not truth.amp(truth.amps[1], "alive").any()
        assert truth.source_light("20170103v018", 1, truth.amps[0]).max() == 0
        stars, _ = truth.sources("20170103v017", "star")
        assert (stars["ifuslot"] == b"106").sum() == 8 and len(truth.sources("20170103v018", "star")[0]) == 0
    image = counts[::-1, :1032]  # both axes, and the columns once more
    excess = image[:, column] - np.median(image[:, column - 5 : column + 6], axis=1)
    assert np.median(excess[row:]) > 30 and abs(np.median(excess[:row])) < 5
    with tarfile.open(tar_of(tmp_path, 2, 20170104)) as tar, fits.open(tar.extractfile(tar.getnames()[0])) as file:
        assert np.std(file[0].data[:, :1032].astype(float)) < 30  # no twilight reaches it
    assert not (tmp_path / "raw/20170103/virus/virus0000001.tar").exists()
