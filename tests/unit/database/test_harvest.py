"""A harvest as tables: names, columns, and the signal-to-noise; tests/workflow/test_database.py loads a whole one."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skyharvest.database.connection import Database, reading
from skyharvest.database.harvest import load_harvest, median_signal_to_noise, source_table, sql_name
from skyharvest.products.spectra import Spectra
from skyharvest.targets.table import read_targets, write_targets


def test_names_of_the_csv_become_names_that_need_no_quotes():
    names = {"RA_DESI": "ra_desi", "flux (mJy)": "flux_mjy_", "2MASS": "_2mass", "Ζῆτα": "_", "a" * 80: "a" * 55}
    assert {name: sql_name(name) for name in names} == names


def test_signal_to_noise_is_the_median_of_good_pixels():
    flux = np.array([[1, 2, 3, 100], [5, np.nan, 5, 5], [1, 1, 1, 1]], np.float32)
    ivar = np.array([[4, 4, 4, 0], [1, 1, 0, 9], [0, 0, 0, 0]], np.float32)
    spectra = Spectra(np.arange(4.0), flux, ivar, ivar, ivar == 0, "")
    assert median_signal_to_noise(spectra).tolist()[:2] == [4, 10]
    assert np.isnan(median_signal_to_noise(spectra)[2])


def test_each_column_of_the_csv_has_a_name_and_each_row_its_place(tmp_path):
    csv = tmp_path / "t.csv"
    lines = [
        "RA,DEC,Row,name,NAME,pix16,flux (mJy),n,ok",
        "1.5,2,7,a,b,3,1.25,,true",
        "x,2,7,c,d,3,,5,",
        "3,4,7,,,3,2.5,6,no",
    ]
    csv.write_text("\n".join(lines) + "\n")
    write_targets(read_targets(csv, "RA", "DEC"), tmp_path / "targets")
    names = ["row", "ra", "dec", "pix16", "pix64", "rejected"]
    names += ["csv_ra", "csv_dec", "csv_row", "name", "csv_name", "csv_pix16", "flux_mjy_", "n", "ok"]
    table = source_table(tmp_path / "targets/targets.parquet")
    assert list(table.columns) == names
    load_harvest(Database(path=tmp_path), "harvest", tmp_path, [])
    with reading(Database(path=tmp_path)) as database:
        asked = "SELECT row, ra, csv_row, name, csv_name, flux_mjy_, n, rejected FROM harvest.source ORDER BY row"
        first, rejected, last = database.execute(asked).fetchall()
    assert first == (0, 1.5, 7, "a", "b", 1.25, None, None)
    assert rejected == (1, *6 * [None], "RA is not a number: found 'x'")
    assert last == (2, 3.0, 7, "", "", 2.5, 6, None)


def test_types_of_targets_are_kept(tmp_path):
    columns = {"row": pa.array([0], pa.int64()), "x": pa.array([1.5], pa.float32()), "b": pa.array([True])}
    pq.write_table(pa.table(columns | {"s": pa.array(["t"])}), tmp_path / "t.parquet")
    kinds = source_table(tmp_path / "t.parquet").columns
    assert {name: kinds[name] for name in "xbs"} == {"x": "real", "b": "boolean", "s": "text"}
