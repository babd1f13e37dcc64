"""Assembled files: each row's spectrum, redshift and CSV columns belong together, in every layout."""

import csv
import dataclasses
import math

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.coordinates import angular_separation

from skyharvest.core.atomic import atomic_path
from skyharvest.core.errors import MalformedFile
from skyharvest.formats import hdf5
from skyharvest.surveys.desi import assemble as module
from skyharvest.surveys.desi.about import SURVEY as DESI
from skyharvest.surveys.desi.assemble import Layout, assemble
from skyharvest.surveys.desi.spectra import combine_cameras, lsf_sigma
from small_release import (
    ARMS,
    arms_of,
    edit,
    extract_pixel,
    harvest,
    inside,
    near,
    path_of,
    simulated,
    write,
    write_list,
)

PIX, NEXT, OTHER = 27258, 27259, 27247  # the first two lie in one NSIDE=16 pixel, the third in another
PIX16 = PIX >> 4


def observed(pix64, n, program="dark", *, seed=1, first=0, **how):
    places = [inside(pix64, first + k) for k in range(n)]
    return simulated(n, program, pix64, seed=seed, at=tuple(zip(*places, strict=True)), **how)


DARK = observed(PIX, 4, tiles=[1, 2, 3, 4], zwarn=[0, 4, 0, 4])
TWICE = DARK.sources.take([0, 1, 2])  # in the bright program, too
BRIGHT = simulated(
    3,
    "bright",
    PIX,
    seed=2,
    at=(TWICE.ra, TWICE.dec),
    targetid=TWICE.targetid,
    tiles=[4, 4, 4],
    zwarn=[0, 0, 4],
)
BESIDE = observed(NEXT, 3, seed=3)
SPECTRA = {(made.program, made.pix64): made for made in (DARK, BRIGHT, BESIDE)}

BIG = 39628473202710581  # no float has all its digits
HEADER = ["name", "RA_DESI", "DEC_DESI", "obsid", "seen", "sure", "flux", "a/b", ".", "row", "ra", "pix64", "région"]
PLACES = [  # the CSV's rows go to and fro between the pixels
    near(BESIDE, 1, 0.4),
    near(DARK, 0, 0.3),
    inside(OTHER, 5),
    near(BESIDE, 0, 0.9),
    near(DARK, 2, 0.2),
    near(DARK, 0, -0.1),  # the fiber of row 1
    inside(PIX, 60),
    near(DARK, 1, 0.6),
    near(DARK, 3, 0.5),
]


def csv_rows():
    notes = ["", 'a "quoted", one', "ünïcode", "two\nlines", " blank ", "x", "y", "z", "0"]
    return [
        {
            "name": notes[k],
            "RA_DESI": repr(ra),
            "DEC_DESI": repr(dec),
            "obsid": "" if k in (1, 4) else str(BIG + k),
            "seen": "true" if k % 2 else "False",
            "sure": "" if k == 4 else "TRUE",
            "flux": "" if k == 5 else f"{k}.5e-15",
            "a/b": f"{k}/2",
            ".": str(k),
            "row": str(100 + k),
            "ra": f"0{k}",
            "pix64": str(-k),
            "région": f"n° {k}",
        }
        for k, (ra, dec) in enumerate(PLACES)
    ]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A harvest of everything; nobody writes here."""
    folder = tmp_path_factory.mktemp("harvest")
    for coadd in SPECTRA.values():
        write(folder / "archive", coadd, mask_dtype=np.int32)
    listed = [("main", program, pix64) for program, pix64 in SPECTRA]
    write_list(folder / "archive", [*listed, ("main", "backup", PIX), ("main", "dark", OTHER)])
    with (folder / "targets.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, HEADER)
        writer.writeheader()
        writer.writerows(csv_rows())
    harvest(folder / "archive", folder / "targets.csv", folder / "results", programs=["dark", "bright", "backup"])
    return folder / "results"


@pytest.fixture(scope="module")
def crossmatch(results):
    with h5py.File(DESI.crossmatch(results / "desi_crossmatches", PIX16)) as file:
        yield file


def again(results, out, layout=None, extracted=None, pix16=PIX16):
    """Assemble the pixel once more, in another layout or from other extracted files."""
    files = extracted or [DESI.path(results / "desi" / "extracted", pix) for pix in (PIX, NEXT)]
    return assemble(
        pix16,
        results / "targets" / "targets.parquet",
        files,
        out,
        layout=layout or Layout(),
        attributes={"release": "demo"},
    )


def strings(dataset):
    return [value.decode() for value in dataset[:]]


def source(file, i):
    """Return the simulated coadd and its row that row i of the file came from, told by its id, program and pixel."""
    desi = file["desi"]
    made = SPECTRA[desi["program"][i].decode(), int(desi["pix64"][i])]
    return made, made.sources.targetid.tolist().index(desi["targetid"][i])


def test_every_pair_of_csv_row_and_spectrum_is_a_row_in_the_csvs_order(crossmatch):
    found = list(zip(crossmatch["chandra/row"][:].tolist(), strings(crossmatch["desi/program"]), strict=True))
    pairs = [(0, "dark"), (1, "dark"), (1, "bright"), (3, "dark"), (4, "dark"), (4, "bright")]
    pairs += [(5, "dark"), (5, "bright"), (7, "dark"), (7, "bright"), (8, "dark")]
    assert found == pairs
    assert crossmatch["desi/pix64"][:].tolist() == [NEXT, PIX, PIX, NEXT, *[PIX] * 7]
    assert strings(crossmatch["desi/survey"]) == ["main"] * 11
    fibers = [1, 0, 0, 0, 2, 2, 0, 0, 1, 1, 3]
    ids = [SPECTRA["dark", pix].sources.targetid[k] for k, pix in zip(fibers, crossmatch["desi/pix64"], strict=True)]
    assert crossmatch["desi/targetid"][:].tolist() == ids


def test_the_groups_are_row_aligned(crossmatch):
    desi = crossmatch["desi"]
    ra, dec = np.array(PLACES)[crossmatch["chandra/row"][:]].T
    distance = 3600 * np.degrees(angular_separation(*np.radians([ra, dec, desi["ra"][:], desi["dec"][:]])))
    np.testing.assert_allclose(desi["separation_arcsec"][:], distance, atol=1e-6)
    np.testing.assert_allclose(distance, [0.4, 0.3, 0.3, 0.9, 0.2, 0.2, 0.1, 0.1, 0.6, 0.6, 0.5], atol=1e-6)
    lengths = {len(item) for group in crossmatch.values() for item in group.values()}
    assert lengths == {len(ra), 7781}


def test_spectra_redshifts_and_tables_are_those_of_the_row(crossmatch):
    desi = crossmatch["desi"]
    combined = {key: (combine_cameras(arms_of(made)), lsf_sigma(arms_of(made))) for key, made in SPECTRA.items()}
    for i in range(len(desi["targetid"])):
        made, k = source(crossmatch, i)
        (wave, flux, ivar, mask), sigma = combined[made.program, made.pix64]
        assert np.array_equal(desi["spectrum_lambda"][:], wave)
        for name, values in (("flux", flux), ("ivar", ivar), ("mask", mask), ("lsf_sigma", sigma)):
            stored = desi[f"spectrum_{name}"]
            assert stored.dtype == (np.int32 if name == "mask" else np.float32)
            assert np.array_equal(stored[i], values[k].astype(stored.dtype)), (i, name)
        assert (desi["ra"][i], desi["dec"][i]) == (made.sources.ra[k], made.sources.dec[k])
        fit = made.redshifts[made.redshifts["TARGETID"] == desi["targetid"][i]][0]
        for name in ("z", "zerr", "zwarn", "spectype", "subtype", "deltachi2"):
            assert desi[name][i] == fit[name.upper()]
        for table in (made.fibermap, made.scores):
            for name in set(table.dtype.names) - {"TARGETID", "TARGET_RA", "TARGET_DEC"}:
                assert desi[name.lower()][i] == table[name][k], name
    assert desi["flux_g"].attrs["unit"] == "nanomaggy"
    assert desi["spectrum_lambda"].attrs["medium"] == "vacuum"
    assert desi["spectrum_flux"].attrs["unit"] == "10**-17 erg/(s cm2 Angstrom)"


def test_the_primary_spectrum_is_the_one_without_a_warning_then_the_deepest(crossmatch):
    # Rows 1 and 5: no warning in either, dark is deeper. Row 4: dark has none. Row 7: bright has none.
    primary = crossmatch["desi/primary"][:].tolist()
    assert primary == [True, True, False, True, True, False, True, False, False, True, True]
    depth = crossmatch["desi/tsnr2_lrg"][:]
    assert depth[1] > depth[2]
    assert depth[8] > depth[9]


def test_the_csvs_columns_keep_their_values_and_types(crossmatch):
    group = crossmatch["chandra"]
    rows = [csv_rows()[k] for k in group["row"]]
    names = {item.attrs.get("column", link): item for link, item in group.items() if link != "row"}
    assert set(names) == set(HEADER)
    assert set(group) == {"row", *HEADER} - {"a/b", ".", "row"} | {"a_b", "_", "row", "csv_row"}
    for name in ("name", "a/b", "ra", "région"):
        assert [value.decode("utf-8") for value in names[name][:]] == [row[name] for row in rows]
    for name in (".", "row", "pix64"):
        assert names[name].dtype == np.int64
        assert names[name][:].tolist() == [int(row[name]) for row in rows]
    for name in ("RA_DESI", "DEC_DESI"):
        assert names[name][:].tolist() == [float(row[name]) for row in rows]
    null = names["obsid"].attrs["null_value"]
    assert null == np.iinfo(np.int64).min
    assert names["obsid"][:].tolist() == [int(row["obsid"] or null) for row in rows]
    assert names["seen"][:].tolist() == [row["seen"] == "true" for row in rows]
    assert names["sure"].attrs["null_value"] == -1
    assert names["sure"][:].tolist() == [int(bool(row["sure"])) or -1 for row in rows]
    np.testing.assert_array_equal(names["flux"][:], [float(row["flux"] or math.nan) for row in rows])
    assert dict(group.attrs) == {"csv": "targets.csv", "ra_column": "RA_DESI", "dec_column": "DEC_DESI"}


def test_the_file_says_where_it_comes_from(crossmatch):
    attributes = dict(crossmatch.attrs)
    assert (attributes["healpix"], attributes["nside"], attributes["ordering"]) == (PIX16, 16, "NESTED")
    assert (attributes["release"], attributes["specprod"], attributes["radius_arcsec"]) == ("demo", "demo", 1.0)
    assert attributes["config_hash"] == "abc"
    assert {"workflow", "workflow_version", "git_commit", "created"} <= set(attributes)


def test_a_chunk_is_a_spectrum_and_compressed_with_what_every_h5py_reads(crossmatch):
    for name in ("flux", "ivar", "mask", "lsf_sigma"):
        dataset = crossmatch[f"desi/spectrum_{name}"]
        assert (dataset.chunks, dataset.compression) == ((1, 7781), "gzip")


@pytest.mark.parametrize("rows", [1, 3])
def test_batches_change_nothing(results, crossmatch, tmp_path, monkeypatch, rows):
    monkeypatch.setattr(module, "BATCH_ROWS", rows)
    again(results, tmp_path / "x.hdf5")
    with h5py.File(tmp_path / "x.hdf5") as file:
        for group in crossmatch:
            assert list(file[group]) == list(crossmatch[group])
            for name, item in file[group].items():
                np.testing.assert_array_equal(item[()], crossmatch[group][name][()])


SPECTRUM = {"spectrum_flux", "spectrum_ivar", "spectrum_mask", "spectrum_lambda"}
LSF = {"spectrum_lsf_sigma"}
NATIVE = {f"{arm}_{kind}" for arm in ARMS for kind in ("lambda", "flux", "ivar", "mask")}
RESOLUTION = {f"{arm}_resolution" for arm in ARMS}
REDSHIFTS = {"z", "zerr", "zwarn", "spectype", "subtype", "deltachi2"}


@pytest.mark.parametrize(
    ("layout", "there"),
    [
        (Layout(), SPECTRUM | LSF | REDSHIFTS),
        (Layout(lsf=False), SPECTRUM | REDSHIFTS),
        (Layout(redshifts=False), SPECTRUM | LSF),
        (Layout(combine=False, lsf=False), REDSHIFTS),
        (Layout(arms=True), SPECTRUM | LSF | NATIVE | RESOLUTION | REDSHIFTS),
        (Layout(arms=True, lsf=False), SPECTRUM | NATIVE | REDSHIFTS),
        (Layout(arms=True, combine=False), NATIVE | RESOLUTION | REDSHIFTS),
    ],
)
@pytest.mark.parametrize("n", [0, 11])
def test_what_is_asked_for_is_there_and_nothing_else(results, tmp_path, layout, there, n):
    # The two pixels hold nothing for the other pixel's targets.
    made = again(results, tmp_path / "x.hdf5", layout, pix16=PIX16 if n else OTHER >> 4)
    assert made == n
    with h5py.File(tmp_path / "x.hdf5") as file:
        optional = SPECTRUM | LSF | NATIVE | RESOLUTION | REDSHIFTS
        assert set(file["desi"]) & optional == there
        for name in ("targetid", "ra", "dec", "survey", "program", "pix64", "separation_arcsec", "primary", "flux_g"):
            assert len(file["desi"][name]) == n
        for name in there - {f"{part}_lambda" for part in (*ARMS, "spectrum")}:
            assert len(file["desi"][name]) == n
        assert len(file["chandra/row"]) == len(file["chandra/obsid"]) == n
        if "b_flux" in there:
            assert file["desi/b_flux"].shape == (n, 2751)
            for i in range(n):
                made, k = source(file, i)
                for name in there & (NATIVE | RESOLUTION):
                    arm, kind = name.split("_")
                    values = made.wavelength[arm] if kind == "lambda" else getattr(made, kind)[arm][k]
                    stored = file["desi"][name][...] if kind == "lambda" else file["desi"][name][i]
                    assert np.array_equal(stored, values), name


def test_a_pixel_without_matches_leaves_a_valid_empty_file(results, tmp_path):
    """Here no coadd could be read at all: it is listed, but not in the archive."""
    with h5py.File(DESI.crossmatch(results / "desi_crossmatches", OTHER >> 4)) as file:
        assert file.attrs["healpix"] == OTHER >> 4
        desi = file["desi"]
        assert desi["spectrum_lambda"].shape == (7781,)
        for name in SPECTRUM - {"spectrum_lambda"} | LSF:
            assert desi[name].shape == (0, 7781)
        for name, kind in {"targetid": "i", "ra": "f", "z": "f", "zwarn": "i", "primary": "b", "program": "S"}.items():
            assert desi[name].shape == (0,)
            assert desi[name].dtype.kind == kind
        assert file["chandra/obsid"].shape == (0,)
        assert file["chandra"].attrs["ra_column"] == "RA_DESI"


def test_another_name_for_the_csvs_group(results, tmp_path):
    again(results, tmp_path / "x.hdf5", Layout(name="xmm"))
    with h5py.File(tmp_path / "x.hdf5") as file:
        assert set(file) == {"desi", "xmm"}


def test_arms_with_other_numbers_of_diagonals_go_together(results, tmp_path):
    narrow = dataclasses.replace(BESIDE, resolution={arm: BESIDE.resolution[arm][:, 1:-1] for arm in ARMS})
    write(tmp_path, narrow)
    for name in ("plan.csv", "plan_pixels.csv", "plan_targets.npy"):
        (tmp_path / "desi").mkdir(exist_ok=True)
        (tmp_path / "desi" / name).write_bytes((results / "desi" / name).read_bytes())
    files = [DESI.path(results / "desi" / "extracted", PIX), extract_pixel(tmp_path, tmp_path, NEXT)]
    again(results, tmp_path / "x.hdf5", Layout(arms=True), files[::-1])
    with h5py.File(tmp_path / "x.hdf5") as file:
        assert file["desi/r_resolution"].shape == (11, 11, 2326)
        assert np.array_equal(file["desi/r_resolution"][0, 1:-1], BESIDE.resolution["r"][1, 1:-1])
        assert (file["desi/r_resolution"][0, [0, -1]] == 0).all()
        assert np.array_equal(file["desi/r_resolution"][1], DARK.resolution["r"][0])


def test_a_coadd_without_an_arm_leaves_the_others_as_they_are(results, tmp_path):
    """Of three coadds one has no z; two are in one extracted file."""
    for coadd in SPECTRA.values():
        write(tmp_path, coadd, mask_dtype=np.int32)
    images = [f"Z_{kind}" for kind in ("WAVELENGTH", "FLUX", "IVAR", "MASK", "RESOLUTION")]
    edit(tmp_path / path_of(DARK), lambda hdus: [hdus.pop(name) for name in images])
    (tmp_path / "desi").mkdir()
    for name in ("plan.csv", "plan_pixels.csv", "plan_targets.npy"):
        (tmp_path / "desi" / name).write_bytes((results / "desi" / name).read_bytes())
    files = [extract_pixel(tmp_path, tmp_path, pix) for pix in (PIX, NEXT)]
    again(results, tmp_path / "x.hdf5", Layout(arms=True), files)
    again(results, tmp_path / "whole.hdf5", Layout(arms=True))
    with h5py.File(tmp_path / "x.hdf5") as made, h5py.File(tmp_path / "whole.hdf5") as whole:
        gone = (whole["desi/program"][:] == b"dark") & (whole["desi/pix64"][:] == PIX)
        assert 0 < gone.sum() < len(gone)
        assert set(made["desi"]) == set(whole["desi"])
        by_row = [name for name, item in whole["desi"].items() if len(item) == len(gone)]
        of_arm = ("z_flux", "z_ivar", "z_mask", "z_resolution", "spectrum_flux", "spectrum_ivar", "spectrum_mask")
        for name in by_row:
            values, expected = made["desi"][name][:], whole["desi"][name][:]
            changed = gone if name in (*of_arm, "spectrum_lsf_sigma") else np.zeros(len(gone), bool)
            assert values[~changed].tobytes() == expected[~changed].tobytes(), name
        only_z, overlap = slice(5026, None), slice(4900, 5026)  # of the 7,781 pixels
        desi = {name: made[f"desi/spectrum_{name}"][:][gone] for name in ("flux", "ivar", "mask", "lsf_sigma")}
        assert np.isnan(desi["flux"][:, only_z]).all()
        assert np.isnan(desi["lsf_sigma"][:, only_z]).all()
        assert not desi["ivar"][:, only_z].any()
        assert (desi["mask"][:, only_z] == 256).all()
        for name in ("flux", "ivar", "mask", "lsf_sigma"):
            np.testing.assert_array_equal(desi[name][:, :4900], whole[f"desi/spectrum_{name}"][:][gone][:, :4900])
        r = made["desi/r_flux"][:][gone]
        np.testing.assert_array_equal(desi["flux"][:, overlap], r[:, 4900 - 2700 :])
        assert np.isnan(made["desi/z_flux"][:][gone]).all()


def change(path, out, spoil):
    with h5py.File(path) as before, atomic_path(out) as temporary, h5py.File(temporary, "w") as after:
        for name in before:
            before.copy(name, after)
        spoil(after)
    return out


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda file: file.pop("lsf_sigma"), "has no lsf_sigma.*other settings of `spectra`; remove it"),
        (lambda file: file.pop("redshifts"), "has no redshifts.*`redshifts: false`; remove it"),
        (lambda file: file["r/wavelength"].write_direct(file["r/wavelength"][:] + 1e-3), "its r wavelengths differ"),
    ],
)
def test_extracted_files_that_do_not_fit_are_named(results, tmp_path, spoil, message):
    files = [DESI.path(results / "desi" / "extracted", pix) for pix in (PIX, NEXT)]
    files[1] = change(files[1], tmp_path / "27259.hdf5", spoil)
    with pytest.raises(MalformedFile, match=message) as raised:
        again(results, tmp_path / "x.hdf5", extracted=files)
    assert "27259.hdf5" in str(raised.value)
    assert not (tmp_path / "x.hdf5").exists()


def test_a_torn_extracted_file_is_named(results, tmp_path):
    files = [DESI.path(results / "desi" / "extracted", PIX), tmp_path / "27259.hdf5"]
    files[1].write_bytes(files[0].read_bytes()[:5000])
    with pytest.raises(MalformedFile, match=r"27259\.hdf5 is not a readable HDF5 file.*remove it"):
        again(results, tmp_path / "x.hdf5", extracted=files)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["27259.hdf5"]


def test_targets_of_another_pixel_are_not_taken_along(results, tmp_path):
    """An extracted file holds what matched in it; rows of targets across an NSIDE=16 edge belong elsewhere."""
    table = pq.read_table(results / "targets" / "targets.parquet")
    moved = table.column("pix16").to_numpy().copy()
    moved[[1, 4]] = OTHER >> 4
    at = table.schema.get_field_index("pix16")
    (tmp_path / "targets").mkdir()
    pq.write_table(table.set_column(at, "pix16", pa.array(moved)), tmp_path / "targets" / "targets.parquet")
    files = [DESI.path(results / "desi" / "extracted", pix) for pix in (PIX, NEXT)]
    for pix16, rows in ((PIX16, [0, 3, 5, 5, 7, 7, 8]), (OTHER >> 4, [1, 1, 4, 4])):
        again(tmp_path, tmp_path / "x.hdf5", extracted=files, pix16=pix16)
        with h5py.File(tmp_path / "x.hdf5") as file:
            assert file["chandra/row"][:].tolist() == rows
            assert [file["chandra/pix64"][i] for i in range(len(rows))] == [-row for row in rows]
            for i in range(len(rows)):
                made, k = source(file, i)
                assert np.array_equal(file["desi/ra"][i], made.sources.ra[k])


def test_names_that_hdf5_cannot_have_are_replaced_and_kept_apart():
    assert [hdf5.safe_name(name) for name in ("a/b", ".", "..", "", " x ", "a\0b", "π")] == [
        *("a_b", "_", "__", "_", "x", "a_b", "π")
    ]
    assert hdf5.safe_name("a/b", {"a_b": 1, "a_b_2": 1}) == "a_b_3"


def test_columns_of_every_kind_come_back(tmp_path):
    columns = {
        "long": np.arange(10_000),
        "wide": np.ones((3, 4), np.float32),
        "bytes": np.array([b"a", b"", b"xyz"]),
        "none": np.array([b"", b""]),
        "text": np.array(["π", "", "a\nb"], object),
        "unicode": np.array(["ab", "c"]),
        "bool": np.array([True, False]),
        "empty": np.zeros(0, object),
    }
    with hdf5.create(tmp_path / "x.hdf5") as file:
        hdf5.write_table(file, columns, {"long": "deg"})
    with hdf5.reading(tmp_path / "x.hdf5") as file:
        back = hdf5.read_table(file)
        assert file["long"].attrs["unit"] == "deg"
        assert file["long"].compression == "gzip"
    for name, values in columns.items():
        found = hdf5.text(back[name]) if values.dtype.kind in "OU" else back[name].tolist()
        assert found == values.tolist()
