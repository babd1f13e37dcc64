"""HETDEX's source catalogue: which sources are near, with what columns and spectra, and how few bytes that takes."""

import logging
from pathlib import Path

import astropy.units as u
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits

import match_hetdex_catalogue
from range_server import serve
from skyharvest.archive.archive import Archive
from skyharvest.archive.http.patience import Patience
from skyharvest.core import cli
from skyharvest.core.errors import ArchiveUnavailable, InputError, MalformedFile
from skyharvest.surveys.hetdex import catalogue as hetdexcatalogue
from skyharvest.surveys.hetdex.catalogue import find_version, match_catalogue, read_spectra, write_catalogue
from skyharvest.surveys.hetdex.release import load_release
from small_catalogue import (
    DIRECTORY,
    HPSC2,
    N_WAVE,
    SPECTRA,
    TABLE,
    WAVE,
    N,
    sources,
    spectra_of,
    write_spectra,
    write_table,
)

RELEASE = load_release("pdr1")
QUICK = Patience(tries=2, base_s=0.01, cap_s=0.01, connect_s=2, read_s=5)


@pytest.fixture(scope="module")
def catalogue() -> np.ndarray:
    return sources()


@pytest.fixture(scope="module")
def root(tmp_path_factory, catalogue) -> Path:
    directory = tmp_path_factory.mktemp("pdr1")
    write_table(directory / TABLE, catalogue)
    write_spectra(directory / SPECTRA, catalogue)
    return directory


def targets_near(catalogue, k, seed=2, offset_arcsec=1.0) -> dict[str, np.ndarray]:
    """Positions about an arcsecond from these sources; CSV rows that are not in order."""
    rng = np.random.default_rng(seed)
    ra, dec = catalogue["RA"][k].astype(float), catalogue["DEC"][k].astype(float)
    at = SkyCoord(ra * u.deg, dec * u.deg)
    angle = rng.uniform(0, 360, len(at)) * u.deg
    moved = at.directional_offset_by(angle, rng.uniform(0, 2 * offset_arcsec, len(at)) * u.arcsec)
    rows = rng.permutation(len(at)) * 3
    return {"row": rows, "ra": moved.ra.deg, "dec": moved.dec.deg}


def by_astropy(catalogue, targets, radius):
    """Return every (row, catalogue row) pair, by the separations of all pairs."""
    there = np.isfinite(catalogue["RA"]) & (catalogue["RA"] >= 0)
    known = np.flatnonzero(there)
    place = SkyCoord(catalogue["RA"][there].astype(float) * u.deg, catalogue["DEC"][there].astype(float) * u.deg)
    pairs = {}
    for row, ra, dec in zip(targets["row"], targets["ra"], targets["dec"], strict=True):
        apart = SkyCoord(ra * u.deg, dec * u.deg).separation(place).arcsec
        for j in np.flatnonzero(apart <= radius):
            pairs[int(row), int(known[j])] = apart[j]
    return pairs


EVERYWHERE = np.r_[0:40, 1000:1040, 2000:2040]


@pytest.mark.parametrize("radius", [0.5, 3.0])
@pytest.mark.parametrize("piece", [1 << 24, 10_000])
def test_sources_within_the_radius_are_those_that_astropy_finds(root, catalogue, monkeypatch, radius, piece):
    monkeypatch.setattr(hetdexcatalogue, "PIECE", piece)
    targets = targets_near(catalogue, np.r_[EVERYWHERE[~np.isin(EVERYWHERE, [7, 8, 9])], 9])
    assert targets["ra"][-1] == pytest.approx(-999 % 360, abs=0.01)
    with Archive(str(root)) as archive:
        matched = match_catalogue(archive, TABLE, targets, radius)
    expected = by_astropy(catalogue, targets, radius)
    found = dict(
        zip(zip(matched.row.tolist(), matched.source.tolist(), strict=True), matched.separation_arcsec, strict=True)
    )
    assert len(expected) > 50
    assert found.keys() == expected.keys()
    assert [found[pair] for pair in found] == pytest.approx([expected[pair] for pair in found], abs=1e-6)
    assert matched.n_sources == N
    order = list(zip(matched.row, matched.separation_arcsec, strict=True))
    assert order == sorted(order)


def test_columns_are_those_of_the_matched_rows_without_bad_values(root, catalogue, tmp_path):
    targets = targets_near(catalogue, np.arange(2000, 2040))
    with Archive(str(root)) as archive:
        matched = match_catalogue(archive, TABLE, targets, 3.0)
        write_catalogue(tmp_path / "out.hdf5", matched, read_spectra(archive, SPECTRA, matched), {"radius_arcsec": 3.0})
    flux, error = spectra_of(catalogue)
    with h5py.File(tmp_path / "out.hdf5") as file:
        k = file["catalogue_row"][:]
        assert len(k) >= 40
        given = catalogue[k]
        for name in HPSC2.names:
            column = file[name][:]
            if HPSC2[name].kind == "f":
                expected = np.where(given[name] == -999, np.nan, given[name])
            else:
                expected = np.where(given[name] == b"n/a", b"", given[name]) if HPSC2[name].kind == "S" else given[name]
            np.testing.assert_array_equal(column, expected, err_msg=name)
        assert np.isnan(file["gmag"][:]).any() and (file["source_type"][:] == b"").any()
        np.testing.assert_array_equal(file["spectrum_flux"][:], flux.T[k])
        np.testing.assert_array_equal(file["spectrum_error"][:], error.T[k])
        np.testing.assert_array_equal(file["spectrum_lambda"][:], WAVE)
        assert file["spectrum_flux"].dtype == np.float32
        assert file["spectrum_flux"].attrs["unit"] == "10**-17 erg/(s cm2 Angstrom)"
        assert file["RA"].attrs["unit"] == "deg"
        assert file.attrs["radius_arcsec"] == 3.0


def test_of_the_spectra_little_more_than_the_matched_ones_is_moved(root, catalogue):
    targets = targets_near(catalogue, np.array([700, 2900]))
    with serve(root) as server, Archive(server.url, connections=4) as archive:
        matched = match_catalogue(archive, TABLE, targets, 1e-9)
        assert len(matched.source) == 0
        matched = match_catalogue(archive, TABLE, targets, 2.0)
        before = server.sent
        spectra = read_spectra(archive, SPECTRA, matched)
        moved, size = server.sent - before, (root / SPECTRA).stat().st_size
        assert server.most_open <= 4
    assert len(np.unique(matched.source)) >= 2
    np.testing.assert_array_equal(spectra.flux, spectra_of(catalogue)[0].T[matched.source])
    np.testing.assert_array_equal(spectra.error, spectra_of(catalogue)[1].T[matched.source])
    assert size > 24_000_000
    assert moved < 0.06 * size


def test_spectra_that_lie_row_by_row_are_read_as_well(root, catalogue, tmp_path):
    write_spectra(tmp_path / SPECTRA, catalogue, turned=True)
    targets = targets_near(catalogue, np.array([700, 2900, 2901]))
    with serve(tmp_path) as server, Archive(str(root)) as near, Archive(server.url) as archive:
        matched = match_catalogue(near, TABLE, targets, 2.0)
        spectra = read_spectra(archive, SPECTRA, matched)
        assert server.sent < 0.02 * (tmp_path / SPECTRA).stat().st_size
    np.testing.assert_array_equal(spectra.flux, spectra_of(catalogue)[0].T[matched.source])


def test_a_source_near_two_targets_is_there_twice(tmp_path):
    table = sources(5)
    table["RA"], table["DEC"] = [10, 10.001, 20, 30, 40], 0
    write_table(tmp_path / TABLE, table)
    write_spectra(tmp_path / SPECTRA, table)
    targets = {"row": np.array([9, 4]), "ra": np.array([20.0, 20.0001]), "dec": np.array([0.0, 0.0])}
    with Archive(str(tmp_path)) as archive:
        matched = match_catalogue(archive, TABLE, targets, 1.0)
        spectra = read_spectra(archive, SPECTRA, matched)
    assert (matched.row.tolist(), matched.source.tolist()) == ([4, 9], [2, 2])
    np.testing.assert_array_equal(spectra.flux, spectra_of(table)[0].T[[2, 2]])


@pytest.mark.parametrize("n", [0, 2])
def test_nothing_near_makes_a_file_without_rows_and_reads_no_spectra(root, tmp_path, n):
    targets = {"row": np.arange(n), "ra": np.full(n, 100.0), "dec": np.full(n, -60.0)}
    with Archive(str(root)) as archive:
        matched = match_catalogue(archive, TABLE, targets, 3.0)
        write_catalogue(tmp_path / "out.hdf5", matched, read_spectra(archive, "nowhere.fits", matched), {})
    with h5py.File(tmp_path / "out.hdf5") as file:
        assert file["spectrum_flux"].shape == (0, N_WAVE)
        assert set(HPSC2.names) <= set(file)
        assert len(file["row"]) == 0
        assert file["source_id"].dtype == np.int64
        np.testing.assert_allclose(file["spectrum_lambda"][:], WAVE)


# --- Versions, and files that are not what they should be ------------------------------------------------------------


def test_a_directory_is_asked_for_the_newest_version(tmp_path):
    directory = tmp_path / DIRECTORY
    directory.mkdir()
    for name in ("v1.5", "v1.10", "v1.9", "spec_v2.0", "detinfo_v1.10", "v9.x"):
        (directory / f"hetdex_sc2_{name}.fits").touch()
    (directory / "hetdex_sc2_v3.0.dat").touch()
    assert find_version(Archive(str(tmp_path)), RELEASE) == "v1.10"
    with pytest.raises(InputError, match=r"has no hetdex_sc2_v\*\.fits"):
        find_version(Archive(str(directory)), RELEASE)


@pytest.mark.parametrize(
    ("there", "newest"),
    [
        (["v1.5"], "v1.5"),
        (["v1.5", "v1.6", "v1.8", "v1.9"], "v1.9"),
        (["v1.6"], "v1.6"),
        (["v1.5", "v2", "v2.1", "v3.0"], "v3.0"),
        (["v1.4", "v1.10"], None),
    ],
)
def test_a_server_is_asked_for_later_versions_by_their_names(tmp_path, there, newest):
    (tmp_path / DIRECTORY).mkdir()
    for version in there:
        (tmp_path / RELEASE.catalogue(version)).write_bytes(b"SIMPLE")
    with serve(tmp_path) as server, Archive(server.url, patience=QUICK) as archive:
        if newest is None:
            with pytest.raises(InputError, match=r"asked for: v1\.5, v1\.6, .*hetdex\.catalogue\.version"):
                find_version(archive, RELEASE)
        else:
            assert find_version(archive, RELEASE) == newest
            assert server.sent < 1000


def test_a_server_that_answers_oddly_for_later_versions_still_has_the_known_one(tmp_path, caplog):
    (tmp_path / DIRECTORY).mkdir()
    (tmp_path / RELEASE.catalogue("v1.5")).write_bytes(b"SIMPLE")

    def misbehave(handler, _):
        if handler.path.endswith("v1.5.fits"):
            return False
        handler.answer(*((503, b"") if "v1" in handler.path else (200, b"<html>", {"Content-Type": "text/html"})))
        return True

    with serve(tmp_path) as server, Archive(server.url, patience=QUICK) as archive:
        server.misbehave = misbehave
        assert find_version(archive, RELEASE) == "v1.5"
        assert max(server.count(path) for path, _ in server.requests) == 1
    assert "HTTP 503; taken for a version that there is not" in caplog.text


def test_a_version_that_is_not_there_is_named(root):
    targets = {"row": np.arange(1), "ra": np.zeros(1), "dec": np.zeros(1)}
    with serve(root) as server, Archive(server.url, patience=QUICK) as archive:
        for place in (archive, Archive(str(root))):
            with pytest.raises(InputError, match=r"hetdex_sc2_v7\.fits does not exist.*--catalogue-version"):
                match_catalogue(place, f"{DIRECTORY}/hetdex_sc2_v7.fits", targets, 1.0)


def without(table, column):
    return table[[name for name in table.dtype.names if name != column]].copy()


def as_text(table):
    dtype = [(name, "S8" if name == "RA" else HPSC2[name]) for name in HPSC2.names]
    return table.astype(dtype)


BAD_TABLES = {
    "HTML": (lambda path, _: path.write_bytes(b"<!DOCTYPE html><html>503</html>"), "found an HTML page"),
    "no RA": (
        lambda path, table: write_table_of(path, without(table, "RA")),
        "column RA is missing; found source_name",
    ),
    "no id": (lambda path, table: write_table_of(path, without(table, "source_id")), "column source_id is missing"),
    "text": (lambda path, table: write_table_of(path, as_text(table)), "column RA holds .*, expected a floating"),
    "image": (lambda path, _: fits.PrimaryHDU(np.zeros((3, 3))).writeto(path), "no binary table, expected columns RA"),
}


def write_table_of(path: Path, table: np.ndarray) -> None:
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU(table)]).writeto(path)


@pytest.mark.parametrize("case", BAD_TABLES)
def test_a_table_that_is_none_is_named(tmp_path, case):
    spoil, message = BAD_TABLES[case]
    spoil(tmp_path / "x.fits", sources(20))
    targets = {"row": np.arange(1), "ra": np.zeros(1), "dec": np.zeros(1)}
    with Archive(str(tmp_path)) as archive, pytest.raises(MalformedFile, match=message) as raised:
        match_catalogue(archive, "x.fits", targets, 1.0)
    assert str(tmp_path / "x.fits") in str(raised.value)


def shuffled(table):
    return table[::-1].copy()


BAD_SPECTRA = {
    "another order": (
        lambda path, table: write_spectra(path, shuffled(table)),
        "row 3 is source_id .* not of the same",
    ),
    "fewer rows": (lambda path, table: write_spectra(path, table[:-1]), "has 19 rows, the catalogue 20: they are not"),
    "no errors": (lambda path, table: write_some(path, table, "SPEC_ERR"), "HDU SPEC_ERR is missing"),
    "shape": (
        lambda path, table: write_spectra(path, table, SPEC=np.zeros((1036, 21), "f4")),
        r"shape \(1036, 21\), exp",
    ),
    "integers": (lambda path, table: write_spectra(path, table, SPEC=np.zeros((1036, 20), "i4")), "BITPIX 32 of shape"),
    "wavelengths": (lambda path, table: write_spectra(path, table, WAVELENGTH=WAVE[1:]), r"its shape is \(1035,\)"),
    "truncated": (lambda path, table: cut(write_spectra(path, table)), "it is truncated"),
}


def write_some(path: Path, table: np.ndarray, lacks: str) -> None:
    write_spectra(path, table)
    with fits.open(path) as hdus:
        fits.HDUList([hdu.copy() for hdu in hdus if hdu.name != lacks]).writeto(path, overwrite=True)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2880])


@pytest.mark.parametrize("case", BAD_SPECTRA)
def test_spectra_that_are_not_the_catalogues_are_an_error(tmp_path, case):
    spoil, message = BAD_SPECTRA[case]
    table = sources(20)
    table["RA"], table["DEC"] = np.arange(20), 0
    write_table(tmp_path / TABLE, table)
    spoil(tmp_path / SPECTRA, table)
    targets = {"row": np.arange(1), "ra": np.array([3.0]), "dec": np.zeros(1)}
    with Archive(str(tmp_path)) as archive:
        matched = match_catalogue(archive, TABLE, targets, 1.0)
        with pytest.raises(MalformedFile, match=message):
            read_spectra(archive, SPECTRA, matched)


def test_as_many_sources_as_wavelengths_is_no_riddle(tmp_path):
    """The published layout is meant where both axes are as long."""
    table = sources(N_WAVE)
    table["RA"], table["DEC"] = np.arange(N_WAVE) / 10, 0
    write_table(tmp_path / TABLE, table)
    write_spectra(tmp_path / SPECTRA, table)
    targets = {"row": np.arange(2), "ra": np.array([0.5, 100.0]), "dec": np.zeros(2)}
    with Archive(str(tmp_path)) as archive:
        matched = match_catalogue(archive, TABLE, targets, 1.0)
        spectra = read_spectra(archive, SPECTRA, matched)
    assert matched.source.tolist() == [5, 1000]
    np.testing.assert_array_equal(spectra.flux, spectra_of(table)[0].T[[5, 1000]])


# --- The program -----------------------------------------------------------------------------------------------------


def test_the_program_matches_the_targets(root, catalogue, tmp_path, caplog, capsys, monkeypatch):
    targets = targets_near(catalogue, np.arange(2000, 2010))
    table = pa.table({name: pa.array(values) for name, values in targets.items()})
    pq.write_table(table, tmp_path / "targets.parquet")
    out = tmp_path / "hetdex" / "catalogue.hdf5"
    command = ["--archive", str(root), "--targets", str(tmp_path / "targets.parquet"), "--out", str(out)]
    with caplog.at_level(logging.INFO):
        assert (
            cli.run(match_hetdex_catalogue.main, match_hetdex_catalogue.build_parser(), [*command, "--radius", "2"])
            == 0
        )
    with h5py.File(out) as file:
        pairs = set(zip(file["row"][:].tolist(), file["catalogue_row"][:].tolist(), strict=True))
        assert file.attrs["catalogue"] == f"{root}/{TABLE}"
    assert pairs == set(by_astropy(catalogue, targets, 2.0))
    n_sources, n_rows = (len({pair[k] for pair in pairs}) for k in (1, 0))
    assert f"{n_sources} sources near {n_rows} of 10 targets" in caplog.text
    before = out.read_bytes()
    monkeypatch.setenv("SKYHARVEST_PATIENCE", "tries=1 base_s=0.01")
    with serve(root) as server:
        server.misbehave = lambda handler, _: "spec" in handler.path and handler.answer(503, b"") is None
        command[1] = server.url
        assert (
            cli.run(match_hetdex_catalogue.main, match_hetdex_catalogue.build_parser(), command) == cli.EXIT_TRY_AGAIN
        )
    assert out.read_bytes() == before
    command += ["--radius", "0"]
    assert cli.run(match_hetdex_catalogue.main, match_hetdex_catalogue.build_parser(), command) == cli.EXIT_USAGE
    assert "--radius 0.0: expected arcseconds" in capsys.readouterr().err


def test_a_server_that_is_down_is_no_result(root):
    targets = {"row": np.arange(1), "ra": np.zeros(1), "dec": np.zeros(1)}
    with serve(root) as server, Archive(server.url, patience=QUICK) as archive:
        server.misbehave = lambda handler, _: handler.answer(503, b"") is None
        with pytest.raises(ArchiveUnavailable):
            match_catalogue(archive, TABLE, targets, 1.0)
