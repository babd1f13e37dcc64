"""The sky of a field, against the sky that was put into its amplifiers, and the files that say so."""

import itertools
import re

import fitsio
import numpy as np
import pytest
from fit_full_sky import build_parser, main

from hetdex_amplifier import Amplifier, sky
from skyharvest.core.errors import MalformedFile
from skyharvest.reduction.hetdex.amp_file import AmpResult
from skyharvest.reduction.hetdex.qa.limits import read_limits
from skyharvest.reduction.hetdex.settings import Sky
from skyharvest.reduction.hetdex.spectra import amp_dat, amps_csv, multifits
from skyharvest.reduction.hetdex.spectra.amp_dat import AmpSky
from skyharvest.reduction.hetdex.spectra.full_sky import fit_full_sky
from skyharvest.reduction.limits import BAD, OK

AMPS = ("LL", "LU", "RL", "RU")
GALAXY = 9.0
FACTOR = dict(zip(itertools.product("AB", AMPS), (1.0, 0.97, 1.05, 1.01, 1.0, GALAXY, 0.98, 1.0), strict=True))
"""Of amplifiers of two IFUs; one is full of a galaxy instead."""
SHIFT = dict(zip(FACTOR, (0, 0.3, -0.25, 0, 0.05, 0, 0, -0.07), strict=True))
STRETCH = 4e-5
IFUS = {"A": "008_093_054_0123", "B": "317_015_038_0211"}


def write_multifits(path, own, true, rng, source):
    electrons = (true + source) * own.norm
    noisy = electrons + rng.normal(0, 1, true.shape) * np.sqrt(electrons + 70)
    noisy[~own.alive] = np.nan
    places = np.stack([np.arange(112.0), 2 * np.arange(112.0)], axis=1)
    arrays = {name: np.full(shape, np.nan) for name, shape in multifits.LAYOUT.items() if name}
    arrays |= {
        "spectrum": noisy,
        "wavelength": own.wave,
        "fiber_to_fiber": np.where(own.alive[:, None], own.fiber_to_fiber, np.nan),
        "error1d": np.where(np.isfinite(noisy), np.sqrt(electrons + 70) / own.norm, np.nan),
        "ifupos": places,
    }
    multifits.write(path, {"NAME0": "x", **dict.fromkeys(multifits.COUNTS, 0)}, arrays)


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    """The directories of two IFUs, and that of their full sky, of which B's RU has failed."""
    root = tmp_path_factory.mktemp("field")
    for which, ifu in IFUS.items():
        directory = root / ifu
        directory.mkdir()
        for amp in AMPS:
            if (which, amp) == ("B", "RU"):
                continue
            own = Amplifier(seed=ord(which) + AMPS.index(amp))
            rng = np.random.default_rng(AMPS.index(amp) + 10 * (which == "B"))
            seen = own.wave + SHIFT[which, amp] + (STRETCH * (4500 - own.wave) if amp == "LU" else 0)
            source = np.zeros((112, 1))
            if amp == "LL":
                source[[5, 6]] = [[300], [40]]
            factor = FACTOR[which, amp]
            light = sky(seen) + 80 * (own.wave / 4500) ** 2 if factor == GALAXY else factor * sky(seen)
            write_multifits(directory / multifits.name_of(ifu, amp), own, light, rng, source)
        failed = {"RU": AmpResult(failed="torn")} if which == "B" else {}
        amps_csv.write(directory, {amp: AmpResult() for amp in AMPS} | failed)
    words = ["--multifits", *(str(root / ifu) for ifu in IFUS.values()), "--out", str(root / "exp01")]
    main(build_parser().parse_args(words))
    return root / "exp01"


def test_the_fields_sky_is_the_sky_whatever_one_amplifier_sees(field):
    table = fitsio.read(str(field / "full_sky.fits"), ext=1)
    wave, counts = table["wavelength"], table["counts"]
    assert np.isfinite(counts).all()
    inner = (wave > 3520) & (wave < 5490)
    level = np.median(counts[inner] / sky(wave[inner]))
    assert level == pytest.approx(1.0, abs=0.01)
    left = counts[inner] / level - sky(wave[inner])
    assert np.std(left) < 1.1
    assert np.abs(left[np.abs(wave[inner] - 5460.7) < 4]).max() < 4
    assert np.diff(wave) == pytest.approx(0.25)


def test_amplifiers_have_their_factors_wavelengths_and_fibers(field):
    rows, limits = amp_dat.read(field / "amp.dat"), read_limits()
    assert list(rows) == [f"{ifu.rsplit('_', 1)[0]}_{amp}" for ifu in IFUS.values() for amp in AMPS][:-1]
    for (which, amp), factor in FACTOR.items():
        name = f"{IFUS[which].rsplit('_', 1)[0]}_{amp}"
        if name not in rows:
            continue
        row = rows[name]
        if factor == GALAXY:
            assert row.factor == 1
            assert row.background > 60
            assert limits.judge("full_sky.background", row.background) == BAD, (
                "its local sky is none, and no factor says so"
            )
            continue
        assert limits.judge("full_sky.background", row.background) == OK
        assert row.factor == pytest.approx(factor, abs=0.006)
        assert row.background == pytest.approx(0, abs=0.4)
        assert row.rms == pytest.approx(14.5, abs=1.5)
        assert 0 <= row.n_continuum - 2 * (amp == "LL") <= 2
        assert row.n_low == 0
        assert row.shift == pytest.approx(SHIFT[which, amp], abs=0.1)
        assert row.stretch == pytest.approx(STRETCH * (amp == "LU"), abs=6e-5)


def test_excluded_fibers_are_regions(field):
    lines = (field / "exclude.reg").read_text().splitlines()
    assert lines[0] == "# Region file format: DS9 version 4.1"
    assert "circle(5.000,10.000,0.75) # text={008_093_054_LL_006}" in lines
    assert "circle(6.000,12.000,0.75) # text={317_015_038_LL_007}" in lines


def test_an_exposure_without_a_sky_says_so(tmp_path):
    directory = tmp_path / IFUS["A"]
    directory.mkdir()
    amps_csv.write(directory, {amp: AmpResult(failed="torn") for amp in AMPS})
    fit_full_sky([directory], tmp_path / "out", Sky())
    table, header = fitsio.read(str(tmp_path / "out/full_sky.fits"), ext=1, header=True)
    assert len(table) == 0
    assert "found no amplifier with a sky" in header["FAILED"]
    assert amp_dat.read(tmp_path / "out/amp.dat") == {}


def test_amp_dat_is_the_fields_format_and_comes_back(tmp_path):
    rows = [
        AmpSky("008_093_054_LL", 0.987, 12, -0.35, 19.87, -0.12, 4e-5, 3),
        AmpSky("317_015_038_RU", 1.0, 0, 1234.5, 0.01, 0.0, -0.125, 0),
    ]
    path = tmp_path / "amp.dat"
    amp_dat.write(path, rows)
    first, one, other = path.read_text().splitlines()
    assert first == "Spc_slt_iid_am Factor N_c Avg Scale W0 W1 Nlo"
    assert one == "008_093_054_LL  0.987  12   -0.35   19.87   -0.12    0.04    3"
    assert re.fullmatch(r".{14} .{6} .{3}( .{7}){4} .{4}", other)
    back = amp_dat.read(path)
    assert back == {row.name: row for row in rows}
    path.write_text(f"{first}\n008_093_054_LL  0.987  12   -0.35   19.87   -0.12    0.04\n")
    with pytest.raises(MalformedFile, match=r"amp\.dat: line 2"):
        amp_dat.read(path)
