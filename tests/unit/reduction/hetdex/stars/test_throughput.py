"""The throughput of a shot against a curve that was chosen here, from stars that the templates do not know."""

import dataclasses

import fit_seds as seds_program
import h5py
import measure_throughput as throughput_program
import numpy as np
import pytest

from skyharvest.core import cli
from skyharvest.core.errors import MalformedFile
from skyharvest.reduction.hetdex.settings import Seds, Throughput
from skyharvest.reduction.hetdex.stars import sed, star_spectra, throughput
from skyharvest.reduction.hetdex.stars.star_spectra import StarSpectra
from skyharvest.reduction.hetdex.stars.stellar_templates import Photometry, read_library
from skyharvest.reduction.hetdex.stars.throughput_curve import bin_centres, combine_exposures, reference_curve

GRID = 3470.0 + 2.0 * np.arange(1036)
KNOTS = [3470, 3700, 4000, 4500, 5000, 5300, 5540], [0.016, 0.041, 0.077, 0.118, 0.132, 0.126, 0.109]
TRUE = np.interp(GRID, *KNOTS)  # electrons a photon, of 360 s and 5e5 cm²
NORM = np.array([1.05, 0.97, 0.98])
KINDS = ("F5V", "F8V", "G0V", "G2V", "G8V", "K0V", "F2V", "G5V", "F6V")


def electrons(flux: np.ndarray) -> np.ndarray:
    """Electrons in 2 Å: erg/s/cm²/Å over erg a photon."""
    return flux * 2 * 360 * 5e5 / (6.626e-27 * 2.998e18 / GRID) * TRUE


def star_fluxes(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Fluxes on the grid and magnitudes, of stars half-way between two of the library, and tilted."""
    library = read_library()
    photometry = Photometry(library.wave)
    fluxes, magnitudes = [], []
    for kind in KINDS:
        k = library.names.index(kind)
        tilt = random.normal(0, 0.02) * (library.wave - 5500) / 2500
        flux = np.exp(0.5 * (library.log_flux[k] + library.log_flux[k + 1]) + tilt)
        flux *= 10 ** (-0.4 * (random.uniform(15.5, 19.5) - photometry(flux)[1]))
        fluxes.append(np.interp(GRID, library.wave, flux))
        magnitudes.append(photometry(flux))
    return np.array(fluxes), np.array(magnitudes)


@pytest.fixture(scope="module")
def measured() -> StarSpectra:
    """Stars with noise and bad pixels; the last are a blend, one of another shape, and one without light."""
    random = np.random.default_rng(11)
    flux, magnitudes = star_fluxes(random)
    counts = electrons(flux)[:, None, :] * NORM[:, None]
    counts[-3] *= 1.5
    counts[-2] *= 1 + 0.8 * np.sin(GRID / 90)
    counts[-1] *= 0.001
    variance = (counts + 900) / 0.9
    counts = counts + random.normal(size=counts.shape) * np.sqrt(variance)
    counts[random.random(counts.shape) < 0.01] = np.nan
    counts[0, 1] = np.nan  # of an exposure nothing
    magnitudes = magnitudes + random.normal(0, [0.03, 0.02, 0.02, 0.02, 0.02], magnitudes.shape)
    ids = np.array([f"{1237660 + k}" for k in range(len(KINDS))])
    wrong = np.array([""] * (len(KINDS) - 3) + ["another star is near", "", ""])
    return StarSpectra(
        "20190103v012", "", ids, magnitudes, wrong, np.array([1, 2, 3]), counts, variance, NORM, 1.7, 0.05, len(ids)
    )


def write(path, stars: StarSpectra) -> None:
    """Write stars as the step that measures them does."""
    rows = np.zeros(len(stars.ids), [("star_ID", "S28"), *((band, "f8") for band in "ugriz"), ("flags", "i4")])
    rows["star_ID"], rows["flags"] = np.char.encode(stars.ids), np.where(stars.wrong == "", 16, 2 | 16)
    for k, band in enumerate("ugriz"):
        rows[band] = stars.magnitudes[:, k]
    exposures = np.zeros(stars.norm.size, [("expnum", "i4"), ("norm", "f8")])
    exposures["expnum"], exposures["norm"] = stars.expnums, stars.norm
    with h5py.File(path, "w") as file:
        file.attrs.update(shot=stars.shot, failed=stars.failed)
        if not stars.failed:
            file.attrs.update(fwhm=stars.fwhm, fwhm_error=stars.fwhm_error, n_fwhm=stars.n_fwhm)
            for name, values in (("stars", rows), ("exposures", exposures), ("counts", stars.counts)):
                file[name] = values
            file["variance"] = stars.variance
            file["stars"].attrs["flags"] = "1: on the edge, of an IFU; 2: another star is near; 16: too faint"


@pytest.fixture(scope="module")
def product(measured, tmp_path_factory):
    """The files that the programs write."""
    directory = tmp_path_factory.mktemp("throughput")
    write(directory / "stars.h5", measured)
    given = ["--stars", str(directory / "stars.h5"), "--out", str(directory / "seds.h5"), "--ebv", "0"]
    assert cli.run(seds_program.main, seds_program.build_parser(), given) == 0
    given = ["--stars", str(directory / "stars.h5"), "--seds", str(directory / "seds.h5")]
    given += ["--out", str(directory / "tp.h5"), "--text", str(directory / "20190103v012sedtp_f.dat")]
    assert cli.run(throughput_program.main, throughput_program.build_parser(), given) == 0
    return directory


def test_shape_and_level_are_the_truth(product):
    found = throughput.read_throughput(product / "tp.h5")
    assert found.failed == ""
    inner = (GRID > 3500) & (GRID < 5500)
    ratio = (found.curve / TRUE)[inner]
    assert ratio.mean() == pytest.approx(1, abs=0.03)
    assert ratio.std() / ratio.mean() < 0.02
    at = float(np.interp(4540, *KNOTS))
    assert found.response_4540 == pytest.approx(at, rel=0.04)
    table = found.table
    assert table["throughput"][table["wavelength"] == 4540.0] == found.response_4540
    np.testing.assert_allclose(np.interp(table["wavelength"], GRID, found.curve), table["throughput"], rtol=2e-3)
    fitted = table["wavelength"] < 5450
    np.testing.assert_allclose(table["rat_poly"][fitted], 1, atol=0.06)
    assert (table["tp_low"] < table["throughput"]).all() and (table["throughput"] < table["tp_high"]).all()
    g = np.average(table["tp_gband"] / np.interp(table["wavelength"], GRID, TRUE), weights=table["throughput"])
    assert g == pytest.approx(1, abs=0.05)  # by magnitudes alone; the reference has another shape


def test_stars_that_are_not_like_the_others_are_refused_with_a_reason(product, measured):
    with h5py.File(product / "tp.h5") as file:
        stars = file["stars"][:]
        assert file.attrs["n_taken"] == len(stars) - 3
    assert list(np.char.decode(stars["star_id"])) == list(measured.ids)
    assert stars["taken"].tolist() == [True] * (len(stars) - 3) + [False] * 3
    assert stars["reason"][-3] == b"another star is near"
    assert stars["reason"][-2].startswith(b"scatter 0.") and b"0.2" in stars["reason"][-2]
    assert stars["reason"][-1] != b"" and stars["level_g"][0] == pytest.approx(stars["level"][0], rel=0.1)


def test_the_text_has_six_columns(product):
    found = throughput.read_throughput(product / "tp.h5")
    text = np.loadtxt(product / "20190103v012sedtp_f.dat")
    assert text.shape == (found.table.size, 6)
    for k, name in enumerate(found.table.dtype.names):
        np.testing.assert_allclose(text[:, k], found.table[name], atol=6e-5)


def test_bins_are_where_the_fields_are():
    for width in (20.0, 40.0, 100.0):
        centres = bin_centres(width)
        assert 4540.0 in centres and (np.diff(centres) == width).all()
        assert centres[0] - width / 2 >= 3469 and centres[-1] + width / 2 <= 5541
    assert bin_centres(100.0).tolist() == list(np.arange(3540.0, 5500.0, 100.0))


def test_too_few_stars(measured, tmp_path):
    few = dataclasses.replace(
        measured,
        **{name: getattr(measured, name)[-3:] for name in ("ids", "magnitudes", "wrong", "counts", "variance")},
    )
    flux, _, rows = sed.spectra_of(few, None, Seds(ebv=0.0))
    reasons = np.char.decode(rows["reason"])
    made = throughput.throughput_of(few, flux, reasons, Throughput())
    assert made.failed.startswith(
        "0 of 3 stars are taken, fewer than throughput.min_stars = 2; refused: another star is near; scatter"
    )
    assert np.isnan(made.curve).all() and len(made.table) == 0
    assert throughput.as_text(made).startswith("# 0 of 3")
    dim = throughput.throughput_of(few, flux, reasons, Throughput(faintest=few.magnitudes[1, 1] - 0.1))
    assert dim.stars["reason"][1].startswith(f"g {few.magnitudes[1, 1]:.2f}, fainter than".encode())
    made = throughput.throughput_of(few, flux, reasons, Throughput(gband_alone=True))
    assert made.failed == "" and made.values["from"] == "gband"
    lost = star_spectra.no_stars("20190103v012", "no stars were found")
    write(tmp_path / "stars.h5", lost)
    sed.fit_seds(tmp_path / "stars.h5", None, tmp_path / "seds.h5", Seds())
    throughput.measure_throughput(
        tmp_path / "stars.h5", tmp_path / "seds.h5", tmp_path / "tp.h5", tmp_path / "tp.dat", Throughput()
    )
    assert throughput.read_throughput(tmp_path / "tp.h5").failed == "no stars were found"


def test_spectra_of_the_user_come_first(measured, tmp_path):
    random = np.random.default_rng(11)
    flux, _ = star_fluxes(random)
    first, second, third = measured.ids[:3]
    for name, k in ((f"{first}.txt", 0), (f"20190103v012_{second}.txt", 1)):
        rows = "".join(f"{wave} {value}\n" for wave, value in zip(GRID, flux[k], strict=True))
        (tmp_path / name).write_text(f"wave flux\n{rows}")
    (tmp_path / f"{third}.txt").write_text("<html>\n<body>\n")
    dim = dataclasses.replace(measured, magnitudes=np.where(np.arange(len(KINDS))[:, None] == 4, np.nan, 18.0))
    found, _, rows = sed.spectra_of(dim, tmp_path, Seds(ebv=0.0, max_chi2=2.0))
    np.testing.assert_allclose(found[:2], flux[:2], rtol=1e-12)
    assert rows["source"].tolist() == [b"file"] * 3 + [b"templates"] * (len(KINDS) - 3)
    assert np.isnan(found[2:]).all()
    assert b"line 2" in rows["reason"][2] and b"missing: g" in rows["reason"][4]
    assert rows["reason"][5].startswith(b"no template is like it: chi2 ")  # no star has u = g = r = i = z


def test_a_template_is_no_spectrum_of_the_star_with_its_number(measured, tmp_path):
    """Templates are in any unit: as a star's own spectrum one would be taken for its flux."""
    rows = "".join(f"{wave} 1.0\n" for wave in np.arange(2500.0, 12000.0, 10.0))
    for number in (1, 2):
        (tmp_path / f"star_{number}.txt").write_text(f"wave flux\n{rows}")
    numbered = dataclasses.replace(measured, ids=np.arange(1, len(measured.ids) + 1).astype("U"))
    _, _, told = sed.spectra_of(numbered, tmp_path, Seds(ebv=0.0))
    assert set(told["source"].tolist()) == {b"templates"}


def test_other_files_are_told(tmp_path, product):
    page = tmp_path / "page.h5"
    page.write_text("<html>")
    for read in (star_spectra.read_stars, throughput.read_throughput, sed.read_seds):
        with pytest.raises(MalformedFile, match=r"page\.h5.*remove it"):
            read(page)
    curve = tmp_path / "curve.txt"
    for text, said in (
        ("4000 0.1\n4500 0.1\n", "2 wavelengths"),
        ("one two\n", "columns"),
        ("3400 1\n5600 0\n", "0 or"),
    ):
        curve.write_text(text)
        with pytest.raises(MalformedFile, match=said):
            reference_curve(GRID, curve)


def test_faint_light_is_not_made_fainter():
    """Variances that follow the noise, as they do where they are a pixel's own electrons, do not pull the mean."""
    random = np.random.default_rng(8)
    norm = np.array([1.2, 0.9, 0.9])
    seen = random.poisson(12.0 * norm[:, None] + 30, (400, 3, 1036)).astype(float)
    counts, variance = seen - 30, seen
    counts[0] = np.nan
    counts[1, 0], variance[1, 1] = np.nan, 0.0
    mean, noise = combine_exposures(counts, variance, norm)
    assert np.isnan(mean[0]).all() and np.isnan(noise[0]).all()
    np.testing.assert_allclose(mean[1], counts[1, 2] / 0.9)
    assert mean[2:].mean() == pytest.approx(12, rel=0.005)
    assert (mean[2:] - 12).std() == pytest.approx(np.sqrt(noise[2:].mean()), rel=0.02)
