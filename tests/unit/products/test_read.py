"""The reader for notebooks, on small files of every survey, against what h5py reads."""

import csv
import pickle
import subprocess
import sys
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy import units as u
from astropy.nddata import InverseVariance, StdDevUncertainty
from numpy.testing import assert_allclose, assert_array_equal

from skyharvest.browser.encoding import columns as browser_columns
from skyharvest.browser.encoding import rows_as_text
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.export.hats import stage
from skyharvest.formats.hdf5 import NULL_INTEGER
from skyharvest.harvest import assembled
from skyharvest.read import Crossmatch, crossmatches, open_healpix, pixels
from skyharvest.surveys import SURVEYS
from skyharvest.surveys.hetdex.cube import air_to_vacuum
from skyharvest.targets.csv_columns import write_csv_columns
from skyharvest.targets.table import read_targets
from small_pages import TOY, write_toy

SCRIPTS = Path(__file__).resolve().parents[3] / "scripts"
N, W, FLUX = 5, 120, "10**-17 erg/(s cm2 Angstrom)"
NAMES = ["NGC 5128", "Ζῆτα", "", "a/b", "x"]
RNG = np.random.default_rng(1)


def write(root: Path, survey: str, pix16: int, *, n: int = N) -> Path:
    """An assembled file, as the modules that assemble lay it out, with fewer pixels."""
    path = root / f"{survey}_crossmatches/healpix={pix16}/crossmatch_{survey}.hdf5"
    path.parent.mkdir(parents=True)
    with h5py.File(path, "w") as file:
        file.attrs.update({"healpix": pix16, "nside": 16, "ordering": "NESTED", "radius_arcsec": 1.0})
        file.attrs.update({"survey": survey, "csv_group": "chandra"})
        {"desi": desi, "hetdex": hetdex, "legacysurvey": legacysurvey}[survey](file.create_group(survey), n)
        own = file.create_group("chandra")
        own["row"] = np.arange(n) * 3 + 2
        own["z"] = np.arange(n) / 10
        own.create_dataset("name", data=np.array(NAMES[:n], object), dtype=h5py.string_dtype())
        own["a_b"] = np.arange(n)
        own["a_b"].attrs["column"] = "a/b"
        own["obsid"] = np.where(np.arange(n) == 1, NULL_INTEGER, np.arange(n))
        own["obsid"].attrs["null_value"] = NULL_INTEGER
        own["good"] = np.array([1, 0, -1, 1, 0][:n], np.int8)
        own["good"].attrs["null_value"] = np.int8(-1)
    return path


def spectra(group: h5py.Group, names: str, n: int, shape: tuple[int, ...] = (W,), unit: str = "") -> None:
    for name in names.split():
        values = RNG.uniform(1, 2, (n, *shape)).astype("f4")
        group.create_dataset(name, data=values, chunks=(1, *shape) if n else None)
        if unit:
            group[name].attrs["unit"] = unit


def desi(group: h5py.Group, n: int) -> None:
    group["targetid"] = 39_627_000_000_000_000 + np.arange(n)
    group["z"] = RNG.uniform(0, 3, n)
    group["spectype"] = np.array([b"QSO", b"GALAXY", b"STAR", b"", b"QSO"][:n], "S6")
    group["flux_g"] = RNG.uniform(0, 3, n).astype("f4")
    group["flux_g"].attrs["unit"] = "nanomaggy"
    group["spectrum_lambda"] = 3600 + 0.8 * np.arange(W)
    spectra(group, "spectrum_flux b_flux", n, unit=FLUX)
    spectra(group, "spectrum_ivar spectrum_lsf_sigma b_ivar", n)
    spectra(group, "b_resolution", n, (11, W))
    for kind in ("spectrum", "b"):
        group[f"{kind}_mask"] = RNG.integers(0, 2, (n, W)).astype("i4") * 4
    group["spectrum_ivar"][:, 7] = 0
    group["b_lambda"] = 3600 + 0.8 * np.arange(W)


def hetdex(group: h5py.Group, n: int) -> None:
    group["shotid"] = 20190301012 + np.arange(n)
    group["spectrum_lambda"] = 3470.0 + 2 * np.arange(W)
    group["spectrum_lambda_vacuum"] = air_to_vacuum(group["spectrum_lambda"][:])
    spectra(group, "spectrum_flux spectrum_error", n, unit=FLUX)
    spectra(group, "spectrum_coverage", n)
    group["spectrum_flux"][:, 3:5] = np.nan
    group["spectrum_error"][:, 3] = np.nan
    maps = group.create_group("maps")
    spectra(maps, "broad line", n, (7, 7))
    maps["wave"] = np.full(n, 4500.0)
    wcs(maps.create_group("wcs"), n)


def wcs(group: h5py.Group, n: int) -> None:
    group.attrs.update({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"})
    for axis, (value, step) in enumerate(((150.0, -0.5 / 3600), (2.0, 0.5 / 3600)), 1):
        group[f"CRVAL{axis}"] = value + np.arange(n)
        group[f"CRPIX{axis}"] = np.full(n, 4.0)
        group[f"CDELT{axis}"] = np.full(n, step)


def legacysurvey(group: h5py.Group, n: int) -> None:
    # As many bands and radii as rows: shapes alone do not tell what is row by row.
    group["band"] = np.array([b"g", b"r", b"i", b"z", b"Y"][:N])
    group["aperture_radius"] = np.arange(N) + 0.5
    group.attrs["pixscale"] = 0.262
    group["x"] = np.full(n, 1800.25)
    spectra(group, "image invvar", n, (N, 12, 12))
    spectra(group, "coverage", n, (N,))
    spectra(group, "aperture_flux", n, (N, N))
    group["maskbits"] = RNG.integers(0, 2, (n, 12, 12)).astype("i2")
    wcs(group.create_group("wcs"), n)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("run") / "results"
    for survey, pix16 in (("desi", 1702), ("desi", 766), ("hetdex", 1702), ("legacysurvey", 1702)):
        write(made, survey, pix16)
    (made / "desi_crossmatches/healpix=9").mkdir()  # a job that failed
    return made


def raw(root: Path, name: str, survey: str = "desi"):
    """What h5py reads."""
    with h5py.File(root / f"{survey}_crossmatches/healpix=1702/crossmatch_{survey}.hdf5") as file:
        return file[name][()]


def test_importing_the_reader_imports_no_more_than_h5py_and_numpy():
    code = "import sys, skyharvest.read; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=SCRIPTS, capture_output=True, text=True, check=True)
    found = {name.partition(".")[0] for name in done.stdout.split()}
    assert found >= {"h5py", "numpy"}
    assert found.isdisjoint({"astropy", "specutils", "xarray", "pyarrow", "pandas", "snakemake", "yaml"})


# --- Rows and columns ------------------------------------------------------------------------------------------------

SOME = {
    "one": 3,
    "last": -1,
    "all": None,
    "slice": slice(1, 4),
    "backwards": slice(None, None, -2),
    "any order, twice": [4, 0, 0, 2],
    "tuple": (2, 1),
    "mask": np.array([True, False, False, True, True]),
    "none of them": [],
    "no row is true": np.zeros(N, bool),
}


@pytest.mark.parametrize("case", SOME)
def test_rows_are_taken_as_numpy_takes_them(root, case):
    rows = SOME[case]
    expected = slice(None) if rows is None else list(rows) if isinstance(rows, tuple) else rows
    with open_healpix(root, 1702) as pixel:
        for name in ("desi/spectrum_flux", "desi/z", "chandra/row"):
            assert_array_equal(pixel.read(name.removeprefix("desi/"), rows), raw(root, name)[expected], err_msg=name)
        assert_array_equal(pixel.read("chandra/name", rows), np.array(NAMES)[expected])
        assert_array_equal(pixel.spectra(rows).ivar, raw(root, "desi/spectrum_ivar")[expected])
        table = pixel.table(["targetid", "b_resolution"], rows)
        assert_array_equal(table["targetid"], np.atleast_1d(raw(root, "desi/targetid")[expected]))
        assert_array_equal(table["b_resolution"], raw(root, "desi/b_resolution")[expected].reshape(-1, 11, W))


def test_a_masked_table_column_selects_rows(root):
    with open_healpix(root, 1702) as pixel:
        table = pixel.table()
        assert_array_equal(pixel.read("targetid", table["obsid"] < 3), raw(root, "desi/targetid")[[0, 2]])


@pytest.mark.parametrize("rows", [N, [0, N], -N - 1, np.ones(N + 1, bool), [[0, 1]], 1.5])
def test_rows_that_are_not_there_are_errors_with_the_files_name(root, rows):
    with open_healpix(root, 1702) as pixel, pytest.raises(IndexError, match=r"healpix=1702/crossmatch_desi\.hdf5"):
        pixel.spectra(rows)


def test_a_table_has_the_surveys_columns_and_the_csvs_beside_them(root):
    with open_healpix(root, 1702) as pixel:
        table = pixel.table()
    assert set(table.colnames) == {
        *("targetid", "z", "spectype", "flux_g"),
        *("row", "name", "a/b", "obsid", "good", "z_chandra"),
    }
    assert_array_equal(table["z"], raw(root, "desi/z"))
    assert_array_equal(table["z_chandra"], raw(root, "chandra/z"))
    assert table["name"].tolist() == NAMES
    assert table["spectype"].tolist() == ["QSO", "GALAXY", "STAR", "", "QSO"]
    assert table["obsid"].tolist() == [0, None, 2, 3, 4]
    assert table["good"].tolist() == [True, False, None, True, False]
    assert table["flux_g"].unit == u.nanomaggy
    assert (table.meta["healpix"], table.meta["radius_arcsec"]) == (1702, 1.0)


NAMES_IN_THE_WAY = [
    *("row", "csv_row", "csv_csv_row", "row_chandra", "Row", " row", "ra", "pix64", "reason"),
    *("targetid", "z", "z_chandra", "z_chandra_chandra", "chandra/z", "Z", "spectrum_lambda", "wavelength", "y_pixel"),
    *("a/b", "a_b", "a//b", "/a", ".", "..", "_", "desi", "/desi/z", "Größe", "x y", "-5", "spectrum"),
]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """An assembled file of a CSV whose columns' names are taken elsewhere, and the values by name."""
    folder = tmp_path_factory.mktemp("hostile")
    columns = {name: [100 * k + i for i in range(N)] for k, name in enumerate(NAMES_IN_THE_WAY, 1)}
    with (folder / "t.csv").open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(["RA_DESI", "DEC_DESI", *columns])
        rows.writerows([10 + i, 20, *cells] for i, cells in enumerate(zip(*columns.values(), strict=True)))
    path = folder / "crossmatch_desi.hdf5"
    with h5py.File(path, "w") as file:
        desi(file.create_group("desi"), N)
        for name in ("ra", "dec"):
            file[f"desi/{name}"] = np.arange(N) / 7
        table = read_targets(folder / "t.csv").table
        assembled.describe(file, "desi", "chandra", 1702, targets=table, attributes={})
        write_csv_columns(file.create_group("chandra"), table, np.arange(N)[::-1])
    return path, {name: cells[::-1] for name, cells in columns.items()}


def test_every_column_of_the_csv_comes_back_under_its_own_name(hostile):
    path, columns = hostile
    with open_healpix(path) as pixel:
        assert pixel["row"].tolist() == [4, 3, 2, 1, 0], "the number of the CSV row"
        for name, values in columns.items():
            assert pixel[f"chandra/{name}"].tolist() == values, name
            assert pixel.read(f"chandra/{name}", [1, 0]).tolist() == [values[1], values[0]]
            assert f"chandra/{name}" in pixel.names
        table, dataset = pixel.table(), pixel.to_xarray()
        ours = pixel["z"]
    assert table["row"].tolist() == [4, 3, 2, 1, 0]
    assert_array_equal(table["z"], ours)
    assert table["row_chandra_chandra"].tolist() == columns["row"]
    for found in (
        {name: table[name].tolist() for name in table.colnames},
        {k: v.values.tolist() for k, v in dataset.items()},
    ):
        once = [values for values in columns.values() if list(found.values()).count(values) == 1]
        assert len(once) == len(columns)
    kept = set(columns) - {"row", "ra", "z", "targetid", "spectrum_lambda", "wavelength", "y_pixel"}
    assert {name for name in kept if table[name].tolist() != columns[name]} == set()


def test_the_browser_shows_every_column_of_the_csv_by_a_name_of_its_own(hostile):
    path, columns = hostile
    with h5py.File(path) as file:
        shown = [name for name, _ in browser_columns(file["chandra"])]
        cells = rows_as_text(file["chandra"], slice(0, 1))[0]
    assert sorted(shown) == sorted(["CSV row", "RA_DESI", "DEC_DESI", *columns])
    found = dict(zip(shown, cells, strict=True))
    assert found["CSV row"] == "4"
    assert {name: found[name] for name in columns} == {name: str(values[0]) for name, values in columns.items()}


def test_every_column_of_the_csv_is_in_the_hats_catalogue(hostile, tmp_path):
    path, columns = hostile
    assert stage(path, tmp_path / "part.parquet", name="chandra") == N
    part = pq.read_table(tmp_path / "part.parquet")
    assert part["chandra_row"].to_pylist() == [4, 3, 2, 1, 0]
    assert part["chandra_csv_csv_csv_row"].to_pylist() == columns["row"]
    for name in set(columns) - {"row"}:
        assert part[f"chandra_{name}"].to_pylist() == columns[name], name


def test_spectra_are_in_a_table_if_asked_for(root):
    with open_healpix(root, 1702) as pixel:
        table = pixel.table(wide=True)
        assert_array_equal(table["spectrum_flux"], raw(root, "desi/spectrum_flux"))
        assert table["spectrum_flux"].unit == 1e-17 * u.erg / u.s / u.cm**2 / u.AA
        assert "spectrum_lambda" not in table.colnames
        table = pixel.table(["spectrum_mask", "z_chandra", "chandra/name"])
        assert table.colnames == ["spectrum_mask", "z_chandra", "chandra/name"]


def test_what_is_not_asked_for_is_not_read(tmp_path):
    n = 300_000
    path = tmp_path / "crossmatch_desi.hdf5"
    with h5py.File(path, "w") as file:
        group = file.create_group("desi")
        group["spectrum_lambda"] = 3600 + 0.8 * np.arange(7781)
        for name in ("flux", "ivar"):  # 9 GB each, if they were read
            group.create_dataset(f"spectrum_{name}", (n, 7781), "f4", chunks=(1, 7781), fillvalue=2)
            group[f"spectrum_{name}"].attrs["unit"] = FLUX
        group.create_dataset("spectrum_mask", (n, 7781), "i4", chunks=(1, 7781))
        file["csv/row"] = np.arange(n)
        file.attrs.update({"survey": "desi", "csv_group": "csv"})
    with open_healpix(path) as pixel:
        pixel.to_xarray(["row"], 0)  # imports
    tracemalloc.start()
    try:
        with open_healpix(path) as pixel:
            assert len(pixel) == n
            assert pixel.table()["row"][-1] == n - 1
            assert pixel.spectra([n - 1, 5]).flux.sum() == 2 * 2 * 7781
            assert pixel.to_xarray(["row"]).sizes == {"row": n}
        assert tracemalloc.get_traced_memory()[1] < 5e7
    finally:
        tracemalloc.stop()


# --- Spectra and images ----------------------------------------------------------------------------------------------


def test_desi_spectra_have_errors_and_masks_bit_for_bit(root):
    with open_healpix(root, 1702) as pixel:
        found = pixel.spectra()
        for kind in ("flux", "ivar", "mask", "lsf_sigma"):
            assert_array_equal(getattr(found, kind), raw(root, f"desi/spectrum_{kind}"))
        assert found.mask.dtype == np.int32
        assert np.isnan(found.error[:, 7]).all()
        good = np.arange(W) != 7
        assert_allclose(found.error[:, good], 1 / np.sqrt(raw(root, "desi/spectrum_ivar")[:, good]), rtol=1e-6)
        arm = pixel.spectra([1], "b")
        assert_array_equal(arm.resolution, raw(root, "desi/b_resolution")[[1]])
        assert_array_equal(arm.flux, raw(root, "desi/b_flux")[[1]])
        with pytest.raises(InputError, match=r"no spectra 'r'; it has spectrum, b; 'arms: true'"):
            pixel.spectra(kind="r")


def test_hetdex_spectra_are_on_vacuum_wavelengths_with_their_own_errors(root):
    with open_healpix(root, 1702, "hetdex") as pixel:
        found = pixel.spectra(2)
    assert_array_equal(found.wavelength, raw(root, "hetdex/spectrum_lambda_vacuum", "hetdex"))
    assert_array_equal(found.wavelength_air, raw(root, "hetdex/spectrum_lambda", "hetdex"))
    error = raw(root, "hetdex/spectrum_error", "hetdex")[2]
    assert_array_equal(found.error, error)
    assert found.mask.tolist() == [k in (3, 4) for k in range(W)]
    assert found.ivar[3:5].tolist() == [0, 0]
    assert_allclose(np.delete(found.ivar, [3, 4]), np.delete(error, [3, 4]) ** -2.0, rtol=1e-6)
    assert_array_equal(found.coverage, raw(root, "hetdex/spectrum_coverage", "hetdex")[2])


def test_images_are_read_by_rows(root):
    with open_healpix(root, 1702, "legacysurvey") as pixel:
        assert set(pixel.image_names) == {"image", "invvar", "maskbits"}
        found = pixel.images([3, 1])
        assert_array_equal(found["image"], raw(root, "legacysurvey/image", "legacysurvey")[[3, 1]])
        assert set(found) == {"image", "invvar", "maskbits"}
        assert pixel.images(0, ["maskbits"])["maskbits"].shape == (12, 12)
        assert pixel["band"].tolist() == ["g", "r", "i", "z", "Y"]
        table = pixel.table()
        assert {"band", "aperture_radius", "image"}.isdisjoint(table.colnames)
        assert table["aperture_flux"].shape == (N, N, N)
        with pytest.raises(InputError, match="band is not row by row"):
            pixel.table(["band"])
        with pytest.raises(InputError, match=r"no image 'imge'; did you mean image\?"):
            pixel.images(names="imge")
        with pytest.raises(InputError, match="it has none"):
            pixel.spectra()
    with open_healpix(root, 1702) as pixel, pytest.raises(InputError, match="has no images"):
        pixel.images()


def test_images_come_with_their_wcs(root):
    for survey in ("hetdex", "legacysurvey"):
        with open_healpix(root, 1702, survey) as pixel:
            ra, dec = pixel.wcs(4).pixel_to_world_values(3, 3)
            assert_allclose((ra, dec), (154, 6))
            assert not [name for name in pixel.table().colnames if "CR" in name]
    with open_healpix(root, 1702, "hetdex") as pixel:
        assert_array_equal(pixel.images([4])["line"], raw(root, "hetdex/maps/line", "hetdex")[[4]])
        assert pixel.table(["maps/wave"])["maps/wave"].tolist() == [4500.0] * N
        assert pixel.to_xarray().maps_line.dims == ("row", "y_pixel", "x_pixel")
    with open_healpix(root, 1702) as pixel, pytest.raises(InputError, match="no WCS"):
        pixel.wcs(0)


# --- Other people's objects ------------------------------------------------------------------------------------------


def test_specutils_gets_every_row_with_its_columns(root):
    with open_healpix(root, 1702) as pixel:
        collection = pixel.to_specutils([4, 2])
        one = pixel.to_specutils(2)
    assert collection.flux.shape == (2, W)
    for spectrum in (collection[1], one):
        assert_array_equal(spectrum.flux.value, raw(root, "desi/spectrum_flux")[2])
        assert spectrum.flux.unit == 1e-17 * u.erg / u.s / u.cm**2 / u.AA
        assert_allclose(spectrum.spectral_axis.to_value("nm"), 360 + 0.08 * np.arange(W))
        assert isinstance(spectrum.uncertainty, InverseVariance)
        assert_array_equal(spectrum.uncertainty.array, raw(root, "desi/spectrum_ivar")[2])
        assert spectrum.uncertainty.unit == spectrum.flux.unit**-2
        assert_array_equal(spectrum.mask, raw(root, "desi/spectrum_mask")[2] == 4)
        assert spectrum.meta["targetid"] == 39_627_000_000_000_002
        assert spectrum.meta["row"] == 8
    with open_healpix(root, 1702, "hetdex") as pixel:
        spectrum = pixel.to_specutils()[0]
    assert isinstance(spectrum.uncertainty, StdDevUncertainty)
    assert_array_equal(np.flatnonzero(spectrum.mask), [3, 4])


def test_xarray_selects_by_csv_row_and_wavelength(root):
    with open_healpix(root, 1702) as pixel:
        data = pixel.to_xarray()
        assert set(pixel.to_xarray(["z"]).variables) == {"z", "row"}
        assert pixel.to_xarray(["z"], 3).z.item() == raw(root, "desi/z")[3]
    found = data.spectrum_flux.sel(row=8, wavelength=3608.0, method="nearest")
    assert found == raw(root, "desi/spectrum_flux")[2, 10]
    assert data.spectrum_flux.attrs["unit"] == FLUX
    assert data.b_resolution.dims == ("row", "b_diagonal", "b_wavelength")
    assert data.attrs["healpix"] == 1702
    assert data.name.values.tolist() == NAMES
    with open_healpix(root, 1702, "hetdex") as pixel:
        data = pixel.to_xarray(["spectrum_flux"])
        assert set(data.coords) == {"row", "wavelength", "wavelength_air"}
        assert data.wavelength_air.dims == ("wavelength",)
    with open_healpix(root, 1702, "legacysurvey") as pixel:
        data = pixel.to_xarray()
    assert data.image.dims == ("row", "band", "y_pixel", "x_pixel")
    assert data.maskbits.dims == ("row", "y_pixel", "x_pixel")
    assert data.aperture_flux.sel(band="i", radius=1.5).values.tolist() == [
        of_row[2, 1] for of_row in raw(root, "legacysurvey/aperture_flux", "legacysurvey")
    ]
    assert data.coverage.dims == ("row", "band")
    assert data.x.dims == ("row",)


@pytest.mark.parametrize("package", ["specutils", "xarray"])
def test_a_package_that_is_not_installed_is_named(root, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with (
        open_healpix(root, 1702) as pixel,
        pytest.raises(ImportError, match=f"to_{package} needs {package}.*pip install {package}"),
    ):
        getattr(pixel, f"to_{package}")()


# --- Files -----------------------------------------------------------------------------------------------------------


def test_a_run_is_read_pixel_by_pixel(root):
    assert pixels(root) == [766, 1702]
    assert pixels(str(root), "hetdex") == [1702]
    seen = []
    for pixel in crossmatches(root):
        assert len(pixel["z"]) == N
        seen.append(pixel)
    assert [pixel.pix16 for pixel in seen] == [766, 1702]
    with pytest.raises(InputError, match="has been closed"):
        seen[0]["z"]
    assert "closed" in repr(seen[0])


def test_a_file_is_opened_by_its_path_and_in_another_process(root):
    path = root / "hetdex_crossmatches/healpix=1702/crossmatch_hetdex.hdf5"
    with open_healpix(path) as pixel:
        assert (pixel.survey, pixel.csv, pixel.pix16, len(pixel)) == ("hetdex", "chandra", 1702, N)
        with pickle.loads(pickle.dumps(pixel)) as copy:
            assert_array_equal(copy["shotid"], pixel["shotid"])
    with pytest.raises(InputError, match="is of pixel 1702, not 3"):
        open_healpix(path, 3)
    with pytest.raises(InputError, match="is of survey hetdex, not desi"):
        open_healpix(path, survey="desi")


@pytest.mark.parametrize("survey", ["desi", "hetdex", "legacysurvey"])
def test_a_pixel_where_nothing_matched_has_no_rows(tmp_path, survey):
    with Crossmatch(write(tmp_path, survey, 5, n=0)) as pixel:
        assert len(pixel) == len(pixel.table(wide=True)) == pixel.to_xarray().sizes["row"] == 0
        if survey != "legacysurvey":
            assert pixel.spectra().flux.shape == pixel.to_specutils().flux.shape == (0, W)


def test_a_survey_that_no_module_knows_is_read(tmp_path, monkeypatch):
    monkeypatch.setitem(SURVEYS, "toy", TOY)
    path = write_toy(TOY.crossmatch(tmp_path / "toy_crossmatches", 1702), [3, 5, 5])
    assert pixels(tmp_path, "toy") == [1702]
    with h5py.File(path) as file, open_healpix(tmp_path, 1702, "toy") as pixel:
        found = pixel.spectra([2, 0])
        assert_array_equal(found.flux, file["toy/spectrum_flux"][:][[2, 0]])
        assert_array_equal(found.ivar, file["toy/spectrum_ivar"][:][[2, 0]])
        assert_array_equal(found.wavelength, file["toy/spectrum_lambda"])
        assert pixel.table()["row"].tolist() == [3, 5, 5]
        assert {"ra", "plate", "RA_DESI"} <= set(pixel.table().colnames)
        assert pixel.to_xarray().spectrum_flux.dims == ("row", "wavelength")
        assert_array_equal(pixel.to_specutils(1).uncertainty.array, file["toy/spectrum_ivar"][1])
    monkeypatch.delitem(SURVEYS, "toy")
    with pytest.raises(InputError, match="is of survey toy, expected one of desi, hetdex"):
        Crossmatch(path)


WRONG = {
    "no such pixel": (lambda root: open_healpix(root, 17), r"no desi file of pixel 17; those of desi are 766, 1702"),
    "a pixel without a file": (lambda root: open_healpix(root, 9), r"no desi file of pixel 9; .* 766, 1702$"),
    "which pixel?": (open_healpix, r"say which pixel to open; .* 766, 1702$"),
    "above the results": (lambda root: pixels(root.parent), r"has results: the results directory is .*/results$"),
    "below the results": (lambda root: pixels(root / "desi_crossmatches"), r"the results directory is .*/results$"),
    "no such directory": (lambda root: pixels(root / "other"), r"other does not exist"),
    "no such file": (lambda root: open_healpix(root / "x.hdf5", 17), r"x\.hdf5 is no file; .* has desi_crossmatches, "),
    "no such survey": (
        lambda root: open_healpix(root, 1702, "sdss"),
        r"no survey 'sdss'; expected one of desi, hetdex",
    ),
    "no such column": (lambda root: open_healpix(root, 1702)["specktype"], r"no 'specktype'; did you mean spectype\?"),
    "of the CSV": (lambda root: open_healpix(root, 1702)["chandra/nam"], r"did you mean chandra/name\?"),
    "in a table": (lambda root: open_healpix(root, 1702).table(["z", "targetids"]), r"did you mean targetid\?"),
}


@pytest.mark.parametrize("case", WRONG)
def test_errors_say_what_there_is_instead(root, case):
    make, message = WRONG[case]
    with pytest.raises(InputError, match=message):
        make(root)


def test_files_of_other_kinds_are_named_and_only_torn_ones_are_to_be_removed(root, tmp_path):
    with h5py.File(tmp_path / "extracted.hdf5", "w") as file:
        file["coadds/path"] = np.arange(3)
    with pytest.raises(InputError, match=r"extracted\.hdf5 holds coadds .*older version.*run the workflow again"):
        open_healpix(tmp_path / "extracted.hdf5")
    (tmp_path / "mine.csv").write_text("a,b\n")
    with pytest.raises(MalformedFile, match=r"mine\.csv is not a readable HDF5 file .*: expected a crossmatch_"):
        open_healpix(tmp_path / "mine.csv")
    whole = (root / "desi_crossmatches/healpix=1702/crossmatch_desi.hdf5").read_bytes()
    (tmp_path / "crossmatch_desi.hdf5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MalformedFile, match=r"crossmatch_desi\.hdf5 is not a readable HDF5 file .*: remove it"):
        open_healpix(tmp_path / "crossmatch_desi.hdf5")


def test_a_damaged_spectrum_costs_itself_and_names_its_file(root, tmp_path):
    path = tmp_path / "crossmatch_desi.hdf5"
    with h5py.File(path, "w") as file, h5py.File(root / "desi_crossmatches/healpix=1702/crossmatch_desi.hdf5") as whole:
        file.attrs.update(whole.attrs)
        for name in ("chandra", "desi"):
            whole.copy(name, file)
        flux = file["desi/spectrum_flux"][:]
        del file["desi/spectrum_flux"]
        made = file.create_dataset("desi/spectrum_flux", data=flux, chunks=(1, W), compression="gzip")
        made.attrs["unit"] = FLUX
        begin, length = (getattr(made.id.get_chunk_info(2), what) for what in ("byte_offset", "size"))
    content = bytearray(path.read_bytes())
    content[begin : begin + length] = bytes(length)
    path.write_bytes(content)
    with open_healpix(path) as pixel:
        assert_array_equal(pixel.spectra([0, 1, 3, 4]).flux, flux[[0, 1, 3, 4]])
        with pytest.raises(
            MalformedFile, match=r"crossmatch_desi\.hdf5: /desi/spectrum_flux cannot be read .*remove the"
        ):
            pixel.spectra(2)
