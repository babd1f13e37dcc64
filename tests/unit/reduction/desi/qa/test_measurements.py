"""What is measured of arrays of which the truth is known."""

import math
from types import SimpleNamespace

import astropy.units as u
import numpy as np
import pytest
from astropy.table import Table
from desispec.maskbits import ccdmask, fibermask, specmask

from reduction_camera import camera, psf_of
from skyharvest.reduction.desi.qa.extract import dead_fibers, measure_fiberflat, measure_frame
from skyharvest.reduction.desi.qa.fluxcalib import measure_calibration, measure_stars, zero_point
from skyharvest.reduction.desi.qa.part import known_bad
from skyharvest.reduction.desi.qa.preproc import measure_preproc
from skyharvest.reduction.desi.qa.psf import measure_psf, measure_traces
from skyharvest.reduction.desi.qa.s2n import classes_of, measure_s2n
from skyharvest.reduction.desi.qa.skysub import measure_sky

FIBERS = np.arange(25)


def values(part):
    return {name: metric.value for name, metric in part.metrics.items()}


def test_each_amplifier_is_measured_and_a_noisy_one_stands_out():
    rng = np.random.default_rng(1)
    pixels, ivar, mask = rng.normal(0, 3, (200, 100)), np.full((200, 100), 1 / 9), np.zeros((200, 100), np.int32)
    pixels += np.linspace(0, 500, 100)  # light of traces that run along the columns
    pixels[:100, 50:] += rng.normal(0, 3 * np.sqrt(3), (100, 50))  # B: twice the noise
    mask[100:120, :50] = ccdmask.DEAD  # C: a fifth
    mask[100:110, 50:] = ccdmask.COSMIC  # D: a tenth
    mask[110:115, 50:] = ccdmask.BADREADNOISE  # which extraction does not leave out
    header = {}
    for k, amp in enumerate("ABCD"):
        x, y = 1 + 50 * (k % 2), 1 + 100 * (k // 2)
        section = f"[{x}:{x + 49},{y}:{y + 99}]"
        header |= {f"CCDSEC{amp}": section, f"BIASSEC{amp}": section, f"OBSRDN{amp}": 3.0 + k}
        header |= {f"OVERSCN{amp}": 1000.0 + k, f"OSTEP{amp}": 2.0 * k}
    found = measure_preproc(pixels, ivar, mask, header)
    seen = values(found)
    assert [seen[f"PREPROC-READNOISE_{amp}"] for amp in "ABCD"] == [3, 4, 5, 6]
    assert [seen[f"PREPROC-OVERSCAN_{amp}"] for amp in "ABCD"] == [1000, 1001, 1002, 1003]
    assert [seen[f"PREPROC-NOISE_{amp}"] for amp in "ABCD"] == pytest.approx([1, 2, 1, 1], rel=0.05)
    assert [seen[f"PREPROC-MASKED_{amp}"] for amp in "ABCD"] == [0, 0, 0.2, 0]
    assert [seen[f"PREPROC-COSMICS_{amp}"] for amp in "ABCD"] == [0, 0, 0, 0.1]
    assert (seen["PREPROC-OVERSCAN_STEP"], found.metrics["PREPROC-OVERSCAN_STEP"].at) == (6, "amp D")
    known = measure_preproc(pixels, ivar, mask, header, bad_amps="BD")
    assert not [name for name in known.metrics if name.endswith(("_B", "_D"))]
    assert known.metrics["PREPROC-OVERSCAN_STEP"].at == "amp C"


def test_moves_and_widths_of_a_psf():
    own = camera()
    before, moved = psf_of(own), psf_of(own)
    moved.x[:, 0] += 0.7
    moved.y[:, 0] -= 0.3
    moved.x[4, 0] += 0.2
    moved.shape["GHSIGX"][:] *= 1.1
    moved.status[9] = 1
    seen = values(measure_psf(moved, before))
    assert (seen["PSF-DX"], seen["PSF-DY"]) == pytest.approx((0.7, -0.3), abs=1e-4)
    assert (seen["PSF-XSIGMA_CHANGE"], seen["PSF-YSIGMA_CHANGE"]) == pytest.approx((0.1, 0), abs=1e-4)
    assert seen["PSF-NBAD"] == 1
    assert values(measure_psf(moved, before, FIBERS == 9))["PSF-NBAD"] == 0, "it is known as bad"
    assert not [name for name in measure_psf(moved, None).metrics if name.endswith(("CHANGE", "DX", "DY"))]
    traces = measure_traces(moved, before).metrics
    assert traces["TRACESHIFT-DX"].value == pytest.approx(0.7, abs=1e-4)
    assert traces["TRACESHIFT-BEND"].value == pytest.approx(0.2, abs=1e-4)
    assert traces["TRACESHIFT-BEND"].at == "fiber 4, in x"


def frame(light, n_wave=400):
    """Return flux and inverse variances of fibers with this light, and one electron of noise."""
    flux = np.asarray(light, float)[:, None] + np.random.default_rng(2).normal(0, 1, (len(light), n_wave))
    return flux, np.ones_like(flux)


@pytest.mark.parametrize("sky", [None, np.isin(FIBERS, [2, 7, 12])])
def test_a_fiber_that_is_out_is_named_unless_it_is_known(sky):
    light = np.where(FIBERS % 2, 80.0, 60.0) if sky is None else np.where(sky, 20.0, 50.0 + 400.0 * (FIBERS % 3))
    light[[5, 9]] = 1
    light[11] = 30.0
    flux, ivar = frame(light)
    mask, chi2 = np.zeros(flux.shape, np.uint32), np.full(flux.shape, 1.2)
    mask[3, :100], ivar[3, :100] = specmask.ALLBADPIX, 0
    part = measure_frame(np.arange(400.0), flux, ivar, mask, chi2, FIBERS + 500, FIBERS == 5, sky)
    assert (part.metrics["EXTRACT-NDEAD"].value, part.metrics["EXTRACT-NDEAD"].at) == (1, "fiber 509")
    seen = values(part)
    assert seen.get("EXTRACT-NLOW") == (1 if sky is None else None)
    assert seen["EXTRACT-CHI2"] == 1.2
    assert seen["EXTRACT-MASKED"] == pytest.approx(100 / (23 * 400), rel=1e-4)


def test_no_fiber_is_called_dead_where_the_sky_is_too_faint_to_tell():
    flux, ivar = frame(np.full(25, 0.05))
    flux[3] = 0
    assert not dead_fibers(flux, ivar, FIBERS < 5)[1].any()
    flux[:, :], ivar[:, :] = 0, 0
    assert not dead_fibers(flux, ivar, FIBERS < 5)[1].any()


def test_known_bad_fibers_are_those_of_desispec():
    status = [0, fibermask.STUCKPOSITIONER, fibermask.RESTRICTED, fibermask.BROKENFIBER, fibermask.BADFLAT, 1 << 8 | 2]
    assert known_bad(Table({"FIBERSTATUS": status})).tolist() == [False, False, False, True, True, True]


def test_the_worst_fiber_of_a_flat():
    wave = np.linspace(0, 2 * np.pi, 2000, endpoint=False)
    flat = np.ones((25, 2000)) * np.linspace(0.9, 1.1, 25)[:, None]
    flat[7] *= 1 + 0.1 * np.sin(wave)  # σ: 0.1 / √2
    flat[20] *= 1.5
    mask = np.zeros(flat.shape, np.uint32)
    flat[3], mask[3] = 100.0, specmask.BADFIBERFLAT
    flat[0, :200], mask[0, :200] = 50.0, specmask.LOWFLAT
    part = measure_fiberflat(wave, flat, np.ones_like(flat), mask, np.full(2000, 3000.0), FIBERS, FIBERS == 3)
    assert part.metrics["FIBERFLAT-MAX_RMS"].value == pytest.approx(0.1 / math.sqrt(2), rel=1e-4)
    assert part.metrics["FIBERFLAT-MAX_RMS"].at == "fiber 7"
    assert part.metrics["FIBERFLAT-MAX_MEAN_OFF"].value == pytest.approx(1.5 * np.linspace(0.9, 1.1, 25)[20] - 1)
    assert part.metrics["FIBERFLAT-MAX_MEAN_OFF"].at == "fiber 20"
    assert values(part)["FIBERFLAT-MASKED"] == pytest.approx(200 / (24 * 2000), rel=1e-4)


def subtracted(n_sky=8, n_wave=4000, draw=None):
    """Return fibers without their sky, which is the mean of n of them, as desispec subtracts it; and the sky."""
    rng = np.random.default_rng(3)
    on_sky = np.arange(20) < n_sky
    sigma = 2.0
    flux = 100 + sigma * (draw or rng.standard_normal)((20, n_wave))
    sky = flux[on_sky].mean(axis=0)
    ivar = np.full(flux.shape, 1 / (sigma**2 * (1 + 1 / n_sky)))
    model = SimpleNamespace(flux=np.tile(sky, (20, 1)), throughput_corrections=1 + 0.03 * np.resize([1.0, -1.0], 20))
    left = SimpleNamespace(
        wave=np.arange(n_wave) + 5000.0,
        flux=flux - sky,
        ivar=ivar,
        mask=np.zeros(flux.shape, np.uint32),
        fibers=np.arange(20) + 40,
    )
    return left, model, on_sky


def test_a_sky_of_right_errors():
    left, sky, on_sky = subtracted()
    seen = values(measure_sky(left, sky, on_sky))
    assert seen["SKYSUB-NSKY"] == 8
    assert seen["SKYSUB-SKY"] == pytest.approx(100, rel=1e-3)
    assert seen["SKYSUB-MED_RESID"] == pytest.approx(0, abs=0.05)
    assert seen["SKYSUB-CHI2"] == pytest.approx(8 / 9, rel=0.02)
    assert seen["SKYSUB-PULL_WIDTH"] == pytest.approx(1, rel=0.02)
    assert seen["SKYSUB-GAUSS"] < 0.01
    assert seen["SKYSUB-TAILS"] == pytest.approx(0.0027, rel=0.3)
    assert seen["SKYSUB-THRPUT_RMS"] == pytest.approx(1.48 * 0.03, rel=1e-4)


def test_a_wrong_sky_and_a_fiber_that_does_not_look_at_it():
    left, sky, on_sky = subtracted()
    before = values(measure_sky(left, sky, on_sky))
    left.flux = left.flux - 25
    seen = values(measure_sky(left, sky, on_sky))
    assert seen["SKYSUB-MED_RESID"] - before["SKYSUB-MED_RESID"] == pytest.approx(-25, abs=1e-3)
    assert seen["SKYSUB-REL_RESID"] == pytest.approx(-0.25, abs=1e-3)
    assert seen["SKYSUB-CHI2"] > 100
    left, sky, on_sky = subtracted()
    left.flux[3] += 8
    worst = measure_sky(left, sky, on_sky).metrics["SKYSUB-MAX_CHI2"]
    assert worst.at == "fiber 43"
    assert worst.value == pytest.approx(7 / 9 + 64 / (4 * 9 / 8), rel=0.02)
    left.mask[3] = 1
    assert measure_sky(left, sky, on_sky).metrics["SKYSUB-MAX_CHI2"].at != "fiber 43", "it is masked"


def test_gaussianity_is_the_distance_of_the_distributions():
    uniform = np.random.default_rng(4).uniform
    left, sky, on_sky = subtracted(n_sky=19, n_wave=20000, draw=lambda shape: uniform(-1, 1, shape))
    left.flux = uniform(-1, 1, left.flux.shape)  # and not less its mean, which would be nearer to a Gaussian
    # Of ±1, half lies within ±1/2, so σ is taken for 1.4826 / 2.
    x = np.linspace(-1, 1, 10001)
    gauss = np.array([0.5 * (1 + math.erf(one / (1.4826 / 2) / math.sqrt(2))) for one in x])
    expected = np.abs((x + 1) / 2 - gauss).max()
    seen = values(measure_sky(left, sky, on_sky))
    assert seen["SKYSUB-GAUSS"] == pytest.approx(expected, abs=0.005)
    assert seen["SKYSUB-TAILS"] == 0
    left.flux[:, ::10] *= 50
    assert values(measure_sky(left, sky, on_sky))["SKYSUB-TAILS"] == pytest.approx(0.1, abs=0.01)


def test_one_fiber_on_the_sky_is_its_own_sky():
    left, sky, on_sky = subtracted(n_sky=1)
    assert values(measure_sky(left, sky, on_sky)) == {"SKYSUB-NSKY": 1}


def test_a_zero_point_is_the_magnitude_that_gives_an_electron_a_second_and_angstrom():
    wave, exptime = np.array([4000.0, 6500.0]), 900.0
    calib = np.array([18.0, 45.0])  # electron/Å per 1e-17 erg/s/cm²/Å
    flux = 1e-17 / (calib / exptime) * u.erg / u.s / u.cm**2 / u.AA
    expected = [(one).to(u.ABmag, u.spectral_density(at * u.AA)).value for one, at in zip(flux, wave, strict=True)]
    assert zero_point(wave, calib, exptime) == pytest.approx(expected, abs=1e-4)
    assert np.isnan(zero_point(wave, np.array([0.0, -1.0]), exptime)).all()


def test_the_zero_point_is_that_of_the_stars_fibers():
    wave = np.arange(5760.0, 7620.0, 0.8)
    calib, mask = np.full((25, wave.size), 90.0), np.zeros((25, wave.size), np.uint32)
    calib[[2, 4]] = 45.0
    mask[4, 1000:] = 1
    part = measure_calibration("r", wave, calib, np.ones_like(calib), mask, np.array([2, 4]), 900.0)
    assert part.metrics["FLUXCALIB-ZP"].value == pytest.approx(
        zero_point(np.array([6500.0]), 45.0, 900.0)[0], abs=0.005
    )
    assert values(part)["FLUXCALIB-CALIB"] == 90
    assert values(part)["FLUXCALIB-NSTDSTAR"] == 2


def test_the_scatter_of_stars():
    wave, model_wave = np.arange(5760.0, 7620.0, 0.8), np.arange(3600.0, 10000.0, 0.5)
    models = np.outer([3.0, 5.0, 9.0], 1 + 0.2 * np.sin(model_wave / 400))
    scale = np.array([0.9, 1.0, 1.2])
    flux = scale[:, None] * np.outer([3.0, 5.0, 9.0], 1 + 0.2 * np.sin(wave / 400))
    part = measure_stars("r", wave, flux, np.ones_like(flux), model_wave, models)
    off = 2.5 * np.log10(scale)
    assert values(part)["FLUXCALIB-RMS_ZP"] == pytest.approx(np.std(off, ddof=1), rel=1e-3)
    assert values(part)["FLUXCALIB-MAX_ZP_OFF"] == pytest.approx(np.abs(off - off.mean()).max(), rel=1e-3)
    expected = math.sqrt(np.sum((scale - 1) ** 2) / 2)
    assert values(part)["FLUXCALIB-STARRMS"] == pytest.approx(expected, rel=1e-3)
    assert measure_stars("r", wave, flux[:1], np.ones_like(flux[:1]), model_wave, models[:1]).metrics == {}


def targets(n=12):
    """Return a fibermap of as many ELG and QSO, of magnitudes 20 to 23, and one fiber on the sky."""
    magnitudes = np.tile(np.linspace(20, 23, n), 2)
    bits = np.repeat([1 << 1, 1 << 2], n)
    rows = {"OBJTYPE": ["TGT"] * (2 * n) + ["SKY"], "DESI_TARGET": [*bits, 1 << 32]}
    rows |= {name: np.zeros(2 * n + 1, np.int64) for name in ("BGS_TARGET", "MWS_TARGET", "SCND_TARGET")}
    rows |= {f"FLUX_{band}": [*10 ** (-0.4 * (magnitudes - 22.5)), 0] for band in "GRZ"}
    return Table(rows).as_array()


def test_the_signal_to_noise_at_the_fiducial_magnitude_of_each_class():
    table = targets()
    light = {"ELG": 0.05, "QSO": 0.2}
    flux_r = table["FLUX_R"][:-1]
    rate = np.repeat([light["ELG"], light["QSO"]], 12) * flux_r
    signal = rate * 900 / np.sqrt(rate * 900 + 4.0 * 900)  # photons of target and sky
    flux = np.append(signal, 0.0)[:, None] * np.ones(50)
    good = np.ones(25, bool)
    seen = values(measure_s2n("r", flux, np.ones_like(flux), table, good, 900.0))
    for kind, magnitude in (("ELG", 23.0), ("QSO", 22.0)):
        rate = light[kind] * 10 ** (-0.4 * (magnitude - 22.5))
        assert seen[f"S2N-{kind}"] == pytest.approx(rate * 900 / math.sqrt((rate + 4.0) * 900), rel=0.01)
    assert seen["S2N-RESID"] == pytest.approx(0, abs=1e-3)
    assert not {"S2N-LRG", "S2N-BGS", "S2N-STAR"} & seen.keys()
    assert seen["S2N-MEDIAN"] == pytest.approx(np.median(signal), rel=1e-4)
    good[:10] = False
    assert "S2N-ELG" not in values(measure_s2n("r", flux, np.ones_like(flux), table, good, 900.0))


def test_classes_by_the_masks_of_the_phase_of_the_survey():
    table = targets()
    assert {kind: of.sum() for kind, of in classes_of(table).items() if of.any()} == {"ELG": 12, "QSO": 12}
    other = Table(table)
    for name in ("DESI", "BGS", "MWS"):
        other.rename_column(f"{name}_TARGET", f"SV1_{name}_TARGET")
    other.rename_column("SCND_TARGET", "SV1_SCND_TARGET")
    assert classes_of(other.as_array())["QSO"].sum() == 12
    assert classes_of(Table({"FIBER": [1]}).as_array()) == {}
