"""Spectra of stars from magnitudes: stars of the library that the fit does not know, and speclite's magnitudes."""

import numpy as np
import pytest

from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.reduction.hetdex.stars.stellar_templates import (
    Photometry,
    TemplateFit,
    can_be_fitted,
    interpolated,
    read_directory,
    read_library,
    read_text,
    shipped,
)

GRID = 3470.0 + 2 * np.arange(1036)
USED = (GRID >= 3500) & (GRID < 5500)
ERRORS = np.array([[0.03, 0.02, 0.02, 0.02, 0.02]])


def binned(flux: np.ndarray) -> np.ndarray:
    return flux[USED].reshape(-1, 20).mean(axis=1)


def test_magnitudes_are_speclites():
    import speclite.filters

    library = read_library()
    flux = np.exp(library.log_flux[[10, 18, 30]]) * 1e-15
    ours = Photometry(library.wave)(flux)
    # u begins 40 Å before the library, z ends 130 Å after it: hardly anything passes there
    wave = np.arange(2930.0, 11400.0, 5.0)
    for k, band in enumerate("ugriz"):
        curve = speclite.filters.load_filter(f"sdss2010-{band}")
        theirs = [curve.get_ab_magnitude(np.interp(wave, library.wave, one), wave) for one in flux]
        np.testing.assert_allclose(ours[:, k], theirs, atol=2e-3)


def test_stars_that_the_library_lacks_are_found_from_their_magnitudes():
    library, random = read_library(), np.random.default_rng(3)
    photometry = Photometry(library.wave)
    levels, shapes = [], []
    for name in ("A7V", "F2V", "F5V", "F8V", "G0V", "G2V", "G5V", "G8V", "K0V", "K2V", "F8IV", "G2IV", "G8IV", "K0IV"):
        true = np.exp(library.log_flux[library.names.index(name)]) * 3e-16
        fit = TemplateFit(interpolated(library, frozenset([name])))
        for _ in range(3):
            magnitudes = photometry(true)[None] + random.normal(0, 1, (1, 5)) * ERRORS
            fits = fit.fit(magnitudes, ERRORS, GRID)
            ratio = binned(fits.flux[0]) / binned(np.interp(GRID, library.wave, true))
            levels.append(ratio.mean() - 1)
            shapes.append(ratio.std() / ratio.mean())
            assert fits.chi2[0] < 3
    assert np.median(np.abs(levels)) < 0.02 and np.max(np.abs(levels)) < 0.06
    assert np.median(shapes) < 0.03 and np.percentile(shapes, 90) < 0.05


def test_what_no_template_has_is_a_smooth_correction():
    library = read_library()
    photometry = Photometry(library.wave)
    odd = 0.15 * np.exp(-0.5 * ((library.wave - 3600) / 500) ** 2)  # metals that are missing
    true = np.exp(library.log_flux[library.names.index("F8V")] + odd) * 1e-15
    magnitudes = photometry(true)[None]
    fits = TemplateFit(shipped(), mismatch=0.1).fit(magnitudes, np.full((1, 5), 0.005), GRID)
    np.testing.assert_allclose(fits.magnitudes, magnitudes, atol=0.015)
    ratio = binned(fits.flux[0]) / binned(np.interp(GRID, library.wave, true))
    assert ratio.std() < 0.035 and ratio.mean() == pytest.approx(1, abs=0.01)


def test_a_star_is_a_giant_only_if_its_magnitudes_say_so():
    library = read_library()
    photometry = Photometry(library.wave)
    kinds = {}
    for first, then in (("K2V", "K3V"), ("K1III", "K2III")):
        pair = [library.log_flux[library.names.index(name)] for name in (first, then)]
        true = np.exp(sum(pair) / 2 + 0.02 * (library.wave - 5500) / 2500) * 1e-15
        for errors in (ERRORS / 4, ERRORS * 4):
            fits = TemplateFit(shipped(), mismatch=0.01).fit(photometry(true)[None], errors, GRID)
            kinds[first, float(errors[0, 1])] = "III" if "III" in fits.name[0] else "V"
    assert kinds == {("K2V", 0.005): "V", ("K2V", 0.08): "V", ("K1III", 0.005): "III", ("K1III", 0.08): "V"}


def test_dust_and_a_missing_band():
    from desiutil.dust import ext_ccm

    library = read_library()
    true = np.exp(library.log_flux[library.names.index("F8V")] - 0.921 * 3.1 * 0.1 * ext_ccm(library.wave)) * 1e-15
    magnitudes = Photometry(library.wave)(true)[None]
    magnitudes[0, 4] = np.nan  # z
    fits = TemplateFit(shipped(), ebv=0.1).fit(magnitudes, ERRORS, GRID)
    ratio = binned(fits.flux[0]) / binned(np.interp(GRID, library.wave, true))
    np.testing.assert_allclose(ratio, 1, atol=0.04)
    nothing = np.array([[np.nan, 18, np.nan, np.nan, np.nan], [18, np.nan, 18, 18, 18.0]])
    assert not can_be_fitted(nothing).any() and can_be_fitted(magnitudes).all()
    fits = TemplateFit(shipped()).fit(nothing, np.tile(ERRORS, (2, 1)), GRID)
    assert np.isnan(fits.flux).all() and np.isnan(fits.chi2).all()
    with pytest.raises(InputError, match="2000"):
        TemplateFit(shipped()).fit(magnitudes, ERRORS, np.array([2000.0, 5000.0]))


def test_templates_of_a_user(tmp_path):
    library = read_library()
    for name in ("G2V", "A0V", "K3V"):
        flux = 7 * np.exp(library.log_flux[library.names.index(name)])
        rows = "".join(f"{wave:.1f}, {value:.6e}\n" for wave, value in zip(library.wave, flux, strict=True))
        (tmp_path / f"star_{name}x.txt").write_text(f"wave, flux\n# a comment\n{rows}")
    read = read_directory(sorted(tmp_path.iterdir()))
    assert read.names == ("star_A0Vx", "star_G2Vx", "star_K3Vx")  # by colour
    np.testing.assert_allclose(read.log_flux[1], library.log_flux[library.names.index("G2V")], atol=1e-5)
    assert len(interpolated(read).names) == 17
    short = tmp_path / "star_short.txt"
    short.write_text("4000 1\n5000 1\n")
    with pytest.raises(MalformedFile, match=r"star_short\.txt: found 4000–5000 Å"):
        read_directory([short])
    for text, said in (("4000 1\n3999 1\n", "increase"), ("4000 1\n4001 x\n", "line 2"), ("", "0 rows")):
        short.write_text(text)
        with pytest.raises(MalformedFile, match=said):
            read_text(short)
